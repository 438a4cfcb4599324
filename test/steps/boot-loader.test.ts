// install_bootloader on a loop device with a real table. This kernel has no FAT and no EFI variables, so the mount and
// efibootmgr answer from a recording (of OVMF), and the EFI system partition's content is a directory.

import { describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { Config } from "../../src/config/config.ts";
import type { OptionValues } from "../../src/config/options.ts";
import { CommandExecutionError, DeviceNotFound, HostDiskError, type RestError } from "../../src/errors.ts";
import { type BootLoaderRequest, installBootLoader } from "../../src/steps/boot-loader.ts";
import { Deployment } from "../../src/steps/deployment.ts";
import { ProgramFailedError, ProgramMissingError, type ProgramResult } from "../../src/system/programs.ts";
import { createSystem } from "../../src/system/real.ts";
import type { System } from "../../src/system/system.ts";
import { loopDevice, noLoopDevices, tool } from "../support/loop-device.ts";

const MEBIBYTE = 1024 * 1024;
const RECORDED = await Bun.file(`${import.meta.dir}/../fixtures/efibootmgr/ovmf.txt`).text();

/** A CSV as shim's packages ship it: UTF-16 without BOM. */
const CSV = Buffer.from("shimx64.efi,debian,,This is the boot entry for debian\n", "utf16le");

type Setup = {
  readonly uefi?: boolean;
  /** sgdisk's words for the partitions; null leaves the disk blank. */
  readonly partitions?: readonly string[] | null;
  /** Content of the ESP. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** Answers of programs by name or first words; a function for failures. */
  readonly programs?: Readonly<Record<string, Partial<ProgramResult> | "missing">>;
  readonly config?: Partial<OptionValues>;
  readonly request?: Partial<BootLoaderRequest>;
};

const ESP = ["-n", "1:1M:+8M", "-t", "1:ef00", "-n", "2:10M:+20M"];

/** Runs install_bootloader; its error, and what efibootmgr was asked. */
async function install(
  setup: Setup,
): Promise<{ error: RestError | null; asked: string[]; programs: string[]; disk: string; changed: boolean }> {
  await using loop = await loopDevice(64 * MEBIBYTE);
  const partitions = setup.partitions === undefined ? ESP : setup.partitions;
  if (partitions !== null) await tool("sgdisk", ...partitions, loop.path);
  const esp = await mkdtemp(`${tmpdir()}/esp-`);
  for (const [path, content] of Object.entries(setup.files ?? {})) {
    await mkdir(`${esp}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    await Bun.write(`${esp}/${path}`, content);
  }
  const real = createSystem({ name: "test", debug: false, json: false, file: "/dev/null", stream: "stderr" });
  const calls: string[][] = [];
  const answers = {
    "efibootmgr -v": { stdout: RECORDED },
    efibootmgr: {},
    mount: {},
    umount: {},
    ...setup.programs,
  };
  const system: System = {
    ...real,
    architecture: "x64",
    run: async (argv, options) => {
      calls.push([...argv]);
      const line = argv.join(" ");
      const key = Object.keys(answers)
        .filter((name) => line === name || (name === argv[0] && !(line in answers)))
        .at(-1);
      if (key === undefined) return real.run(argv, options);
      const answer = answers[key as keyof typeof answers] as Partial<ProgramResult> | "missing";
      if (answer === "missing") throw new ProgramMissingError(argv[0] ?? "", "not found in PATH");
      const result = { exitCode: 0, stdout: "", stderr: "", ...answer };
      if (result.exitCode !== 0)
        throw new ProgramFailedError(
          argv,
          `exit code ${result.exitCode}`,
          result.exitCode,
          "",
          result.stderr,
        );
      return result;
    },
    files: {
      ...real.files,
      targetKind: async (path) =>
        path === "/sys/firmware/efi"
          ? setup.uefi === false
            ? null
            : "directory"
          : real.files.targetKind(path),
      list: async (path) => (path === "/sys/firmware/efi/efivars" ? ["BootOrder-x"] : real.files.list(path)),
      temporaryMountPoint: async () => ({ path: esp, [Symbol.asyncDispose]: async () => {} }),
    },
  };
  const request = {
    rootUuid: "0x00000000",
    efiSystemPartUuid: null,
    prepBootPartUuid: null,
    targetBootMode: setup.uefi === false ? "bios" : "uefi",
    ignoreBootloaderFailure: null,
    ...setup.request,
  };
  const context = {
    system,
    config: Config.of({ allow_host_disks: true, ...setup.config }),
    signal: new AbortController().signal,
    installDevice: async () => loop.path,
    deployment: new Deployment(),
  };
  const before = Bun.hash(await Bun.file(loop.backingFile).bytes());
  const error = await installBootLoader(context, request).then(
    () => null,
    (thrown: unknown) => thrown as RestError,
  );
  expect(await Bun.file(`${esp}/canary`).exists()).toBe(setup.files?.canary !== undefined);
  await rm(esp, { recursive: true });
  const asked = calls.filter(([program]) => program === "efibootmgr").map((argv) => argv.slice(1).join(" "));
  await tool("blockdev", "--flushbufs", loop.path);
  const changed = Bun.hash(await Bun.file(loop.backingFile).bytes()) !== before;
  return { error, asked, programs: calls.map(([program]) => program ?? ""), disk: loop.path, changed };
}

/** Beside each other, and patiently: sgdisk flushes all file systems of the machine and sleeps for a second in each call. */
function onLoop(name: string, work: () => Promise<void>): void {
  test.concurrent.skipIf(noLoopDevices !== null)(name, work, 180_000);
}
if (noLoopDevices !== null) console.warn(`boot loader tests are skipped: ${noLoopDevices}`);

describe("UEFI", () => {
  onLoop(
    "the vendor's CSV names the one entry; its old one goes first, and no other (deploy 11.64)",
    async () => {
      const { error, asked, disk } = await install({
        files: { "EFI/debian/BOOTX64.CSV": CSV, "EFI/debian/shimx64.efi": "x", "EFI/BOOT/BOOTX64.EFI": "x" },
      });
      expect(error).toBeNull();
      expect(asked).toEqual([
        "--version",
        "-v",
        "-b 0001 -B",
        `-v -c -d ${disk} -p 1 -w -L debian -l \\EFI\\debian\\shimx64.efi`,
      ]);
    },
  );

  onLoop("without a CSV it is ironic1, and ironic10 stays (deploy 11.64)", async () => {
    const { asked, disk } = await install({ files: { "EFI/BOOT/BOOTX64.EFI": "x" } });
    expect(asked.slice(2)).toEqual([
      "-b 0002 -B",
      `-v -c -d ${disk} -p 1 -w -L ironic1 -l \\EFI\\BOOT\\BOOTX64.EFI`,
    ]);
  });

  onLoop("of several loaders the first is created last, so that it boots first (deploy 11.66)", async () => {
    const { asked } = await install({ files: { "EFI/BOOT/bootx64.efi": "x", "EFI/other/bootx64.efi": "x" } });
    expect(asked.slice(-2).map((line) => line.replace(/^.* -L /, ""))).toEqual([
      "ironic2 -l \\EFI\\other\\bootx64.efi",
      "ironic1 -l \\EFI\\BOOT\\bootx64.efi",
    ]);
  });

  onLoop("an MBR disk with an EF partition has an ESP too (deploy 11.67)", async () => {
    const { error, asked } = await install({
      partitions: ["-n", "1:1M:+8M", "-t", "1:ef00", "-m", "1"],
      files: { "EFI/BOOT/BOOTX64.EFI": "x" },
    });
    expect(error).toBeNull();
    expect(asked.at(-1)).toContain("-p 1 -w -L ironic1");
  });

  onLoop("a partition known only by its UUID serves as ESP", async () => {
    const uuid = "0FD11FF5-CD7A-4A55-A3F4-0F1E2D3C4B5A";
    const { error, asked } = await install({
      partitions: ["-n", "1:1M:+8M", "-n", "3:10M:+8M", "-u", `3:${uuid}`],
      files: { "EFI/BOOT/BOOTX64.EFI": "x" },
      request: { efiSystemPartUuid: uuid.toLowerCase() },
    });
    expect(error).toBeNull();
    expect(asked.at(-1)).toContain("-p 3 ");
  });

  onLoop("no ESP is DeviceNotFound, and success if failures are to be ignored (deploy 11.68)", async () => {
    const none = { partitions: ["-n", "1:1M:+8M"] };
    const { error, asked, disk } = await install(none);
    expect(error).toBeInstanceOf(DeviceNotFound);
    expect(error?.details).toStartWith(`No EFI partition could be detected on device ${disk}`);
    expect(asked).toEqual(["--version"]);
    expect((await install({ ...none, request: { ignoreBootloaderFailure: true } })).error).toBeNull();
    expect((await install({ ...none, config: { ignore_bootloader_failure: true } })).error).toBeNull();
    const call = { request: { ignoreBootloaderFailure: false }, config: { ignore_bootloader_failure: true } };
    expect((await install({ ...none, ...call })).error).toBeInstanceOf(DeviceNotFound);
  });

  onLoop("a blank disk has no ESP either", async () => {
    const { error } = await install({ partitions: null });
    expect(error).toBeInstanceOf(DeviceNotFound);
    // Whoever reads this does not look for another image.
    expect(error?.details).toEndWith(
      "Its partition table cannot be used: the boot sector has no signature (55 AA): no partition table.",
    );
  });

  onLoop("an ESP without a loader is no error, and changes no entry", async () => {
    const { error, asked } = await install({ files: { "EFI/readme.txt": "x" } });
    expect(error).toBeNull();
    expect(asked).toEqual(["--version"]);
  });

  onLoop(
    "efibootmgr that is missing is no error; one that fails is, with its words (deploy 11.70)",
    async () => {
      expect((await install({ programs: { efibootmgr: "missing" } })).error).toBeNull();
      const broken = await install({
        files: { "EFI/BOOT/BOOTX64.EFI": "x" },
        programs: { "efibootmgr -v": { exitCode: 2, stderr: "EFI variables are not supported" } },
      });
      expect(broken.error).toBeInstanceOf(CommandExecutionError);
      expect(broken.error?.details).toStartWith(`Could not configure UEFI boot on device ${broken.disk}: `);
      expect(broken.error?.details).toContain("EFI variables are not supported");
    },
  );

  onLoop(
    "an ESP that cannot be unmounted is an error after three attempts, and loses nothing (deploy 11.74)",
    async () => {
      const { error } = await install({
        files: { "EFI/BOOT/BOOTX64.EFI": "x", canary: "alive" },
        programs: { umount: { exitCode: 32, stderr: "target is busy" } },
      });
      expect(error).toBeInstanceOf(CommandExecutionError);
      expect(error?.details).toContain("Attempted 3 times");
    },
  );
});

// contract 10.51: what becomes of a root_uuid that is null, the signature of the disk, or unknown
describe("BIOS", () => {
  onLoop(
    "a whole disk brings its own boot code: nothing to do, whatever its signature (deploy 11.76)",
    async () => {
      for (const rootUuid of [null, "0x00000000", "0x1A2b3c4d"]) {
        const { error, programs, changed } = await install({ uefi: false, request: { rootUuid } });
        expect(error).toBeNull();
        expect(programs).toEqual([]);
        expect(changed).toBe(false);
      }
    },
  );

  onLoop("a root file system that is not on the disk", async () => {
    const { error, disk } = await install({ uefi: false, request: { rootUuid: "0fd11ff5-cd7a-4a55" } });
    expect(error).toBeInstanceOf(DeviceNotFound);
    expect(error?.details).toBe(`No partition with UUID 0fd11ff5-cd7a-4a55 found on device ${disk}`);
  });
});

onLoop("on a machine in use nothing is installed, ignored failures or not", async () => {
  const { error, programs } = await install({
    config: { allow_host_disks: false },
    request: { ignoreBootloaderFailure: true },
  });
  expect(error).toBeInstanceOf(HostDiskError);
  expect(programs).toEqual([]);
});
