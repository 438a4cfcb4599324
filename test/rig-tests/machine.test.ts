// A real QEMU machine whose operating system is a boot sector of a few bytes: it prints a line on the first serial
// port and then waits or powers off. Boots in a second, so the machine's own behaviour can be tested.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Machine, MachineError, type MachineOptions } from "../rig/machine.ts";
import { qemuArguments } from "../rig/qemu.ts";
import { thrower } from "../support/rejection.ts";

const TIMEOUT = 60_000;

const HALT = [0xf4, 0xeb, 0xfd]; // hlt; jmp back
const POWER_OFF = [0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, ...HALT]; // outw 0x2000 to q35's power management port
const RESET = [0xb0, 0x06, 0xba, 0xf9, 0x0c, 0xee, ...HALT]; // outb 6 to the reset control port

/** A boot sector that prints `text` on the first serial port and ends as told. */
function bootSector(text: string, ending: readonly number[]): Uint8Array {
  const message = [...new TextEncoder().encode(text), 0];
  const address = 0x7c00 + 18 + ending.length;
  const program = [
    ...[0x31, 0xc0, 0x8e, 0xd8], // ds = 0
    ...[0xbe, address & 0xff, address >> 8], // si = message
    ...[0xba, 0xf8, 0x03], // dx = serial port
    ...[0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8], // print until zero
    ...ending,
    ...message,
  ];
  const sector = new Uint8Array(512);
  sector.set(program);
  sector.set([0x55, 0xaa], 510);
  return sector;
}

function options(directory: string, more: Partial<MachineOptions> = {}): MachineOptions {
  return { name: "test", directory, firmware: "bios", memoryMiB: 64, cpus: 1, disks: [], nics: [], ...more };
}

describe.skipIf(Bun.which("qemu-system-x86_64") === null)("a machine", () => {
  let directory = "";
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "machine-test-"));
  });
  afterEach(() => rm(directory, { recursive: true }));

  async function withSector(text: string, ending: readonly number[]): Promise<Machine> {
    const file = join(directory, "boot.raw");
    const disk = new Uint8Array(1024 * 1024);
    disk.set(bootSector(text, ending));
    await Bun.write(file, disk);
    return await Machine.create(options(directory, { disks: [{ bus: "virtio", serial: "BOOT", file }] }));
  }

  test(
    "boots its disk, its console is read, and a guest that powers off ends it",
    async () => {
      await using machine = await withSector("\r\nanswer=42\r\n", POWER_OFF);
      expect(machine.running).toBe(false);
      await machine.start({ disk: true });
      const match = await machine.waitForConsole(/answer=(?<answer>\d+)/, { timeout: TIMEOUT });
      expect(match.groups).toEqual({ answer: "42" });
      await machine.waitForExit(TIMEOUT);
      expect(machine.running).toBe(false);
      // What was printed can still be asked for.
      await machine.waitForConsole(/answer/, { timeout: TIMEOUT });
      expect(machine.consoleTail(5)).toContain("answer=42");
    },
    TIMEOUT,
  );

  test(
    "going off without the line that is waited for is an error at once, with the console's last lines",
    async () => {
      await using machine = await withSector("kernel panic\r\n", POWER_OFF);
      await machine.start({ disk: true });
      const error = await machine
        .waitForConsole(/login:/, { timeout: TIMEOUT })
        .catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(MachineError);
      expect((error as Error).message).toContain("went off before it did: print /login:/");
      expect((error as Error).message).toContain("| kernel panic");
    },
    TIMEOUT,
  );

  test(
    "the reset button boots it again, pulling the plug ends it, and it can be started again",
    async () => {
      await using machine = await withSector("booted\r\n", HALT);
      await machine.start({ disk: "BOOT" });
      const boots = async () => (await Bun.file(machine.consoleLog).text()).split("booted").length - 1;
      await machine.waitForConsole(/booted/, { timeout: TIMEOUT });
      expect(await thrower(machine.start({ disk: true }))).toThrow("is running already");
      await machine.reset();
      while ((await boots()) < 2) await Bun.sleep(20);
      await machine.powerOff();
      expect(machine.running).toBe(false);
      expect(await thrower(machine.reset())).toThrow("is not running");
      const firstLog = machine.consoleLog;
      await machine.start({ disk: true });
      expect(machine.consoleLog).not.toBe(firstLog);
      await machine.waitForConsole(/booted/, { timeout: TIMEOUT });
    },
    TIMEOUT,
  );

  test(
    "a guest that reboots boots its disk again",
    async () => {
      await using machine = await withSector("round\r\n", RESET);
      await machine.start({ disk: true });
      while ((await Bun.file(machine.consoleLog).text()).split("round").length < 4) await Bun.sleep(20);
      expect(machine.running).toBe(true);
    },
    TIMEOUT,
  );

  test(
    "waiting can be cancelled",
    async () => {
      await using machine = await withSector("quiet\r\n", HALT);
      await machine.start({ disk: true });
      const signal = AbortSignal.abort(new Error("interrupted"));
      expect(await thrower(machine.waitForConsole(/x/, { timeout: TIMEOUT, signal }))).toThrow("interrupted");
      expect(await thrower(machine.waitForExit(TIMEOUT, signal))).toThrow("interrupted");
    },
    TIMEOUT,
  );

  test("a QEMU that refuses its arguments is quoted", async () => {
    await using machine = await Machine.create(
      options(directory, { qemuArguments: ["-device", "no-such-thing"] }),
    );
    expect(await thrower(machine.start({ disk: true }))).toThrow(
      "'no-such-thing' is not a valid device model name",
    );
  });
});

test("new disks are sparse files, and a disk without a size or a file is refused", async () => {
  const directory = await mkdtemp(join(tmpdir(), "machine-test-"));
  try {
    const size = 4 * 1024 ** 3;
    const disks = [{ bus: "nvme" as const, serial: "A", sizeBytes: size }];
    const machine = await Machine.create(options(directory, { disks }));
    const { size: length, blocks } = await stat(machine.diskFiles[0]!);
    expect(length).toBe(size);
    expect(blocks).toBe(0);
    const without = options(directory, { disks: [{ bus: "sata", serial: "B" }] });
    expect(await thrower(Machine.create(without))).toThrow("disk B of test");
  } finally {
    await rm(directory, { recursive: true });
  }
});

describe("QEMU's arguments", () => {
  const disks = (["virtio", "sata", "nvme", "scsi"] as const).map((bus) => ({
    bus,
    serial: bus,
    sizeBytes: 1,
  }));
  const files = disks.map(({ bus }) => `/tmp/${bus}`);
  const arguments_ = (more: Partial<MachineOptions>, source: Parameters<typeof qemuArguments>[2]) =>
    qemuArguments(options("/tmp", { disks, ...more }), files, source, "console.log").join(" ");

  test("BIOS boots the disks in their order; UEFI decides by its own variables", () => {
    const bios = arguments_({}, { disk: true });
    expect(bios).toContain("nvme,drive=disk2,serial=nvme,bootindex=3");
    expect(arguments_({ firmware: "uefi" }, { disk: true })).not.toContain("bootindex");
  });

  test("one disk can be named under both", () => {
    for (const firmware of ["bios", "uefi"] as const) {
      const line = arguments_({ firmware }, { disk: "scsi" });
      expect(line.match(/bootindex=\d+/g)).toEqual(["bootindex=1"]);
      expect(line).toContain("serial=scsi,bootindex=1");
    }
  });

  test("a guest's reboot ends a machine only when its kernel came from outside", () => {
    expect(arguments_({}, { kernel: "k", initrd: "i", cmdline: "c" })).toContain("-no-reboot");
    expect(arguments_({}, { disk: true })).not.toContain("-no-reboot");
  });

  test("a comma in a value stays in the value", () => {
    expect(arguments_({ smbios: { product: "R740, rack" } }, { disk: true })).toContain(
      "product=R740,, rack",
    );
  });
});
