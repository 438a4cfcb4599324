import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  formatErasure,
  formatNvme,
  identifyController,
  isNvmeNamespace,
  parseIdentifyController,
  siblingNamespaces,
} from "../../src/disk/nvme-format.ts";
import { BlockDeviceEraseError } from "../../src/errors.ts";
import { type RecordedProgram, recordedSystem } from "../support/recorded-system.ts";
import { rejection, thrower } from "../support/rejection.ts";
import { recordedOutput } from "./recording/sessions.ts";

const signal = new AbortController().signal;
const QEMU = await recordedOutput("erase", "nvme id-ctrl /dev/nvme0n1 -o json");

function controller(oacs: number, fna: number): RecordedProgram {
  return { stdout: JSON.stringify({ ...JSON.parse(QEMU.stdout), oacs, fna }) };
}

async function erasureWith(nvme: RecordedProgram) {
  const system = recordedSystem({ programs: { nvme } });
  return formatErasure(await identifyController(system, "/dev/nvme0n1", signal), "/dev/nvme0n1");
}

// hardware 13.62
describe("what the controller can do", () => {
  test("recorded from QEMU: format of the user data, of one namespace", async () => {
    expect(await erasureWith(QEMU)).toEqual({ mode: "user-data", allNamespaces: false });
  });

  test("a crypto erase is preferred; bit 1 of FNA makes every erase one of all namespaces", async () => {
    expect(await erasureWith(controller(2, 4))).toEqual({ mode: "crypto", allNamespaces: false });
    expect(await erasureWith(controller(266, 2))).toEqual({ mode: "user-data", allNamespaces: true });
  });

  test("no Format command, no answer, no program and no sense are errors of the erase", async () => {
    expect(await thrower(erasureWith(controller(264, 0)))).toThrow(/\/dev\/nvme0n1 has no Format command/);
    const refused = await recordedOutput("erase", "nvme id-ctrl /dev/vda -o json");
    expect(await thrower(erasureWith(refused))).toThrow(/Inappropriate ioctl/);
    for (const nvme of [{ stdout: "" }, { stdout: "{}" }, { stdout: "[1]" }, { stdout: '{"oacs": "2"}' }])
      expect(await rejection(erasureWith(nvme))).toBeInstanceOf(BlockDeviceEraseError);
    const missing = identifyController(recordedSystem({}), "/dev/nvme0n1", signal);
    expect(await rejection(missing)).toBeInstanceOf(BlockDeviceEraseError);
  });

  test("whatever the program prints, the answer is a way or an error of the erase", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        try {
          const { mode } = formatErasure(parseIdentifyController(text, "/dev/nvme0n1"), "/dev/nvme0n1");
          expect(["user-data", "crypto"]).toContain(mode);
        } catch (error) {
          expect(error).toBeInstanceOf(BlockDeviceEraseError);
        }
      }),
    );
  });
});

test("the format names its setting, and its words are kept", async () => {
  const done = await recordedOutput("erase", "nvme format /dev/nvme0n1 -s 1 -f");
  const system = recordedSystem({ programs: { nvme: done } });
  const format = (mode: "user-data" | "crypto") =>
    formatNvme(system, "/dev/nvme0n1", { mode, allNamespaces: false }, { signal, report: () => {} });
  expect(await format("user-data")).toBe("Success formatting namespace:1");
  await format("crypto");
  expect(system.calls).toEqual([
    ["nvme", "format", "/dev/nvme0n1", "-s", "1", "-f"],
    ["nvme", "format", "/dev/nvme0n1", "-s", "2", "-f"],
  ]);
  const failed = recordedSystem({
    programs: { nvme: await recordedOutput("erase", "nvme format /dev/vda -s 1 -f") },
  });
  const options = { signal, report: () => {} };
  const run = formatNvme(failed, "/dev/nvme0n1", { mode: "crypto", allNamespaces: false }, options);
  expect(await rejection(run)).toBeInstanceOf(BlockDeviceEraseError);
  expect(await thrower(run)).toThrow(
    /NVMe format \(crypto\) of \/dev\/nvme0n1 failed: .*Inappropriate ioctl/,
  );
});

test("namespaces are told from partitions and controllers, and know their siblings", async () => {
  const names = ["/dev/nvme0n1", "/dev/nvme10n12", "/dev/nvme0n1p1", "/dev/nvme0", "/dev/sda"];
  expect(names.map(isNvmeNamespace)).toEqual([true, true, false, false, false]);
  const system = recordedSystem({
    files: {
      "/sys/class/block/nvme0n1": { link: "../../devices/nvme0/nvme0n1" },
      "/sys/devices/nvme0/nvme0n1/device": { link: "../../nvme0" },
      "/sys/devices/nvme0/nvme0n2/size": "8\n",
      "/sys/devices/nvme0/model": "QEMU NVMe Ctrl\n",
    },
  });
  expect(await siblingNamespaces(system, "/dev/nvme0n1")).toEqual(["/dev/nvme0n2"]);
});
