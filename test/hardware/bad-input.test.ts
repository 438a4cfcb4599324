// Machines whose tools are missing, hang or print garbage, whose disks come and go, and whose names are odd: an inventory with
// nulls or a clear error, never a crash. The faults are put into recorded machines one at a time.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { BlockDeviceError } from "../../src/errors.ts";
import { listBlockDevices } from "../../src/hardware/block-devices.ts";
import { parseCpuInfoFlags } from "../../src/hardware/cpu.ts";
import { fastestLink } from "../../src/hardware/link-speed.ts";
import { lshwUsbDevices } from "../../src/hardware/lshw.ts";
import type { Inventory } from "../../src/hardware/manager.ts";
import { parseMemTotal, readMemory } from "../../src/hardware/memory.ts";
import { interfaceNames } from "../../src/hardware/network-interfaces.ts";
import { parseSmbios } from "../../src/hardware/smbios.ts";
import type { CollectorContext } from "../../src/inspection/collector.ts";
import { collectPci } from "../../src/inspection/pci.ts";
import { ProgramFailedError, ProgramMissingError } from "../../src/system/programs.ts";
import {
  type RecordedFile,
  type RecordedProgram,
  type Recording,
  recordedSystem,
} from "../support/recorded-system.ts";
import { cards } from "./network-machines.ts";
import { loadMachine } from "./recording/recording.ts";
import { END_OF_TABLE } from "./recording/smbios-tables.ts";
import { managersOn, RAMDISK_FILES } from "./support.ts";

const DEVICES = 2000;

async function inventoryOf(recording: Recording): Promise<Inventory> {
  const { managers } = managersOn(
    { ...recording, files: { ...recording.files, ...RAMDISK_FILES } },
    { disk_wait_attempts: 0 },
  );
  await managers.load();
  return managers.inventory({ useCache: false });
}

/** The recorded machine with another answer of one program, whatever it is asked; null: not installed. */
async function machineWith(program: string, answer: RecordedProgram | null): Promise<Recording> {
  const recording = await loadMachine("qemu-bios");
  const others = Object.entries(recording.programs!).filter(([line]) => line.split(" ")[0] !== program);
  return {
    ...recording,
    programs: { ...Object.fromEntries(others), ...(answer === null ? {} : { [program]: answer }) },
  };
}

const FAULTS: Readonly<Record<string, RecordedProgram | null>> = {
  missing: null,
  failing: { exitCode: 1, stderr: "no such luck" },
  silent: {},
  hanging: (argv) => {
    throw new ProgramFailedError(argv, "gave up after 60 s and ended it", null, "", "");
  },
  garbage: { stdout: "\u0000\u0001}{:\n\t\u001b[2J: = \ufffd\n" },
  "another language": { stdout: "Architektur: x86_64\nProzessor(en): 8\nModellname: X\n" },
};

describe("a tool that is missing, fails, says nothing, hangs, or prints something else", () => {
  for (const program of ["udevadm", "ip", "ipmitool", "biosdevname", "lshw", "mdadm", "modprobe"])
    test(`${program}: the inventory is there without what it tells`, async () => {
      for (const answer of Object.values(FAULTS)) {
        const inventory = await inventoryOf(await machineWith(program, answer));
        expect(inventory.disks).toHaveLength(10);
        expect(inventory.cpu.count).toBe(2);
        expect(inventory.interfaces.length).toBeGreaterThan(0);
      }
    });

  // hardware 13.97
  test("lscpu: without it there is no inventory, and the error names it; what it does not tell is null", async () => {
    for (const [fault, answer] of Object.entries(FAULTS)) {
      const outcome = await inventoryOf(await machineWith("lscpu", answer)).catch((error: unknown) => error);
      if (fault === "missing") expect(outcome).toBeInstanceOf(ProgramMissingError);
      else if (fault === "failing" || fault === "hanging") expect(outcome).toBeInstanceOf(ProgramFailedError);
      else expect((outcome as Inventory).cpu).toMatchObject({ count: 0, model_name: null, socket_count: 0 });
      if (outcome instanceof Error) expect(outcome.message).toContain("lscpu");
    }
  });

  test("lsblk: without it there is no inventory, and the error names it", async () => {
    for (const [fault, answer] of Object.entries(FAULTS)) {
      const outcome = await inventoryOf(await machineWith("lsblk", answer)).catch((error: unknown) => error);
      if (fault === "silent") expect((outcome as Inventory).disks).toEqual([]);
      else if (fault === "missing") expect(outcome).toBeInstanceOf(ProgramMissingError);
      else if (fault === "failing" || fault === "hanging") expect(outcome).toBeInstanceOf(ProgramFailedError);
      else expect(outcome).toBeInstanceOf(BlockDeviceError);
      if (outcome instanceof Error) expect(String(outcome)).toContain("lsblk");
    }
  });
});

describe("disks", () => {
  const row = (kname: string, type = "disk") => ({
    kname,
    type,
    ...{ model: "M", size: 2 ** 33, rota: true, uuid: null, partuuid: null, serial: `S-${kname}`, wwn: null },
    ...{ "log-sec": 512, "phy-sec": 512, tran: "sas" },
  });
  const machine = (rows: readonly object[], files: Record<string, RecordedFile> = {}): Recording => ({
    programs: { udevadm: {}, lsblk: { stdout: JSON.stringify({ blockdevices: rows }) } },
    files,
  });

  test(`${DEVICES} of them, and a map over two of them: one call of each tool`, async () => {
    const files: Record<string, RecordedFile> = {
      "/sys/class/block/dm-0/slaves/sd0": { directory: true },
      "/sys/class/block/dm-0/slaves/sd1": { directory: true },
      "/dev/disk/by-path/pci-7": { link: "../../sd7" },
    };
    const rows: object[] = [row("dm-0", "mpath")];
    for (let index = 0; index < DEVICES; index++) {
      files[`/sys/class/block/sd${index}/dev`] = `8:${index}\n`;
      rows.push(row(`sd${index}`));
    }
    const system = recordedSystem(machine(rows, files));
    const disks = await listBlockDevices(system);
    expect(disks.map(({ name }) => name)).not.toContain("/dev/sd1");
    expect(disks).toHaveLength(DEVICES - 1);
    expect(disks.filter(({ by_path }) => by_path !== null).map(({ name }) => name)).toEqual(["/dev/sd7"]);
    expect(system.calls).toHaveLength(2);
  });

  test("one that disappears after lsblk has named it is listed with what lsblk told", async () => {
    const [disk] = await listBlockDevices(recordedSystem(machine([row("sdz")])));
    expect(disk).toMatchObject({ name: "/dev/sdz", serial: "S-sdz", wwn: null, vendor: null, by_path: null });
    // Between two calls: the second listing does not have it, and nothing remembers it.
    const answers = [{ blockdevices: [row("sdy"), row("sdz")] }, { blockdevices: [row("sdy")] }];
    const programs = { udevadm: {}, lsblk: () => ({ stdout: JSON.stringify(answers.shift()) }) };
    const system = recordedSystem({ programs });
    expect(await listBlockDevices(system)).toHaveLength(2);
    expect((await listBlockDevices(system)).map(({ name }) => name)).toEqual(["/dev/sdy"]);
  });

  test("names and texts of any characters come through, or are no device", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), async (kname, model) => {
        const rows = [{ ...row("sda"), kname, model }];
        const disks = await listBlockDevices(recordedSystem(machine(rows))).catch((error: unknown) => error);
        if (disks instanceof Error) expect(disks).toBeInstanceOf(BlockDeviceError);
        else expect(disks).toBeArray();
      }),
    );
  });
});

describe("network interfaces", () => {
  test("with every character the kernel lets through: told as they are", async () => {
    const names = ["eth 0", "wan%d", "brücke", "a:b", "-x", "e'th\"", "$(id)", "...", "lan;1", "\u200bx"];
    const recording: Recording = {
      files: cards(Object.fromEntries(names.map((name) => [name, "52:54:00:00:00:01"]))),
      programs: {
        lscpu: { stdout: "CPU(s): 1\n" },
        lsblk: {},
        "ip -j addr": {
          stdout: JSON.stringify(
            names.map((ifname, index) => ({
              ifname,
              addr_info: [
                { family: "inet", local: `192.0.2.${index}`, scope: "global" },
                { family: "inet6", local: "fe80::1", scope: "link" },
              ],
            })),
          ),
        },
      },
    };
    const { interfaces } = await inventoryOf(recording);
    expect(interfaces.map(({ name }) => name)).toEqual(names);
    expect(interfaces.map(({ ipv6_address }) => ipv6_address)).toEqual(
      names.map((name) => `fe80::1%${name}`),
    );
    expect(interfaces.map(({ ipv4_address }) => ipv4_address)).toEqual(names.map((_, at) => `192.0.2.${at}`));
  });

  test("one that disappears while it is looked at is left out", async () => {
    const files = cards({ eth0: "52:54:00:00:00:01", eth1: "52:54:00:00:00:02" });
    delete files["/sys/class/net/eth1/address"];
    const programs = { lscpu: { stdout: "CPU(s): 1\n" }, lsblk: {} };
    const { interfaces } = await inventoryOf({ files, programs });
    expect(interfaces.map(({ name }) => name)).toEqual(["eth0"]);
  });

  test("a thousand are listed in the kernel's order", async () => {
    const names = Array.from({ length: 1000 }, (_, index) => `port${index}`);
    const files = cards(Object.fromEntries(names.map((name) => [name, "52:54:00:00:00:01"])));
    expect(await interfaceNames(recordedSystem({ files }))).toEqual(names);
  });
});

test("few files are open at the same time, however many devices and memory blocks there are", async () => {
  const files: Record<string, RecordedFile> = {
    ...RAMDISK_FILES,
    "/sys/devices/system/memory/block_size_bytes": "8000000\n",
  };
  for (let index = 0; index < 200; index++) {
    files[`/sys/devices/system/memory/memory${index}/online`] = "1\n";
    files[`/sys/bus/pci/devices/0000:00:${index}/vendor`] = "0x8086\n";
    files[`/sys/class/net/eth${index}/device/vendor`] = "0x8086\n";
  }
  const rows = Array.from({ length: 200 }, (_, index) => ({ kname: `sd${index}`, type: "disk", size: 1 }));
  const complete = rows.map((row) => ({
    ...{ model: null, rota: true, uuid: null, partuuid: null, serial: null, wwn: null, tran: null },
    ...{ "log-sec": 512, "phy-sec": 512 },
    ...row,
  }));
  const programs = { lsblk: { stdout: JSON.stringify({ blockdevices: complete }) }, udevadm: {} };
  const recorded = recordedSystem({ files, programs });
  let open = 0;
  let most = 0;
  const readAttribute = async (path: string) => {
    most = Math.max(most, ++open);
    await Promise.resolve();
    open--;
    return recorded.files.readAttribute(path);
  };
  const system = { ...recorded, files: { ...recorded.files, readAttribute } };
  const structures = parseSmbios(Uint8Array.from(END_OF_TABLE));
  await readMemory(system, { source: "smbios", structures });
  await listBlockDevices(system);
  await interfaceNames(system);
  await collectPci({ system } as unknown as CollectorContext);
  // Of the 256 that the smallest of processes may have.
  expect(most).toBeLessThan(200);
  expect(most).toBeGreaterThan(10);
});

describe("parsers, whatever they are given", () => {
  const text = fc.string({ unit: "binary" });

  test("sizes and flags of the kernel", () => {
    fc.assert(
      fc.property(text, fc.bigInt({ min: 0n, max: 2n ** 80n }), (junk, size) => {
        expect(parseMemTotal(junk) ?? 0).toBeGreaterThanOrEqual(0);
        expect(parseMemTotal(`${junk}\nMemTotal: ${size} kB\n`)).not.toBeNaN();
        expect(parseCpuInfoFlags(`flags\t: ${junk}\n`)).toBeArray();
        for (const flag of parseCpuInfoFlags(junk)) expect(flag).toMatch(/^\S+$/);
      }),
    );
  });

  test("link modes are a speed or none", () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 200 })), (modes) => {
        const speed = fastestLink(modes);
        expect(speed === null || speed >= 10).toBe(true);
      }),
    );
  });

  test("lshw's tree gives USB devices with texts", () => {
    const node = fc.record({
      id: fc.constantFrom("usb", 5),
      class: fc.constant("generic"),
      product: fc.jsonValue(),
    });
    fc.assert(
      fc.property(fc.array(node), fc.jsonValue(), (children, more) => {
        const tree = { id: "x", children: [...children, more] } as never;
        for (const device of lshwUsbDevices(tree))
          for (const value of Object.values(device)) expect(value).toBeString();
      }),
    );
  });
});
