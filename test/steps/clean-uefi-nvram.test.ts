// clean_uefi_nvram with boot entries recorded from OVMF.

import { expect, test } from "bun:test";
import { Config } from "../../src/config/config.ts";
import { HostDiskError, InvalidCommandParamsError } from "../../src/errors.ts";
import type { Json } from "../../src/json.ts";
import { cleanUefiNvram } from "../../src/steps/clean-uefi-nvram.ts";
import { recordedSystem } from "../support/recorded-system.ts";
import { rejection } from "../support/rejection.ts";

const RECORDED = await Bun.file(`${import.meta.dir}/../fixtures/efibootmgr/ovmf.txt`).text();

async function clean(
  patterns: Json,
  output = RECORDED,
  files: Record<string, string> = { "/sys/firmware/efi/efivars/x": "" },
) {
  const system = recordedSystem({
    files,
    programs: { "efibootmgr -v": { stdout: output }, efibootmgr: {}, mount: {} },
  });
  const config = Config.of({ allow_host_disks: true });
  await cleanUefiNvram({ system, config, signal: new AbortController().signal }, patterns);
  return system.calls.filter((argv) => argv.includes("-B")).map((argv) => argv[2]);
}

/** Numbers of the recorded entries whose line has the text. */
const numbersWith = (text: string) =>
  RECORDED.split("\n")
    .filter((line) => /^Boot[0-9A-F]{4}/.test(line) && line.includes(text))
    .map((line) => line.slice(4, 8));

test("deploy 11.89: the entries of disks go, the firmware's own stay", async () => {
  const deleted = await clean(null);
  expect(deleted).toEqual(numbersWith("HD("));
  expect(deleted.length).toBeGreaterThan(0);
  for (const own of numbersWith("FvVol(")) expect(deleted).not.toContain(own);
});

test("hardware 13.52: UTF-16 output, and patterns of one's own", async () => {
  const wide = Buffer.from(RECORDED, "utf16le").toString("latin1");
  expect(await clean(null, wide)).toEqual(numbersWith("HD("));
  expect(await clean(["fvVOL"])).toEqual(numbersWith("FvVol("));
});

test("a machine that was booted by BIOS has no entries", async () => {
  expect(await clean(null, RECORDED, {})).toEqual([]);
});

test.each([["x"], [[]], [["("]], [[5]], [[null]], [{}]])(
  "deploy 11.89: patterns %j are refused",
  async (patterns) => {
    expect(await rejection(clean(patterns as Json))).toBeInstanceOf(InvalidCommandParamsError);
  },
);

test("a machine in use keeps its entries", async () => {
  const system = recordedSystem({
    files: {
      "/sys/firmware/efi/efivars/x": "",
      "/proc/self/mountinfo": "1 0 254:0 / / rw - ext4 /dev/vda rw\n",
      "/proc/cmdline": "",
    },
  });
  const context = { system, config: Config.of({}), signal: new AbortController().signal };
  expect(await rejection(cleanUefiNvram(context, null))).toBeInstanceOf(HostDiskError);
  expect(system.calls).toEqual([]);
});
