import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { inventoryDisk, listBlockDevices } from "../../src/hardware/block-devices.ts";
import type { BlockDevice } from "../../src/hardware/manager.ts";
import { parseUdevDatabase } from "../../src/hardware/udev.ts";
import { type RecordedFile, type Recording, recordedSystem } from "../support/recorded-system.ts";
import { loadMachine } from "./recording/recording.ts";

const LSBLK = "lsblk -bia --json -oKNAME,MODEL,SIZE,ROTA,TYPE,UUID,PARTUUID,SERIAL,WWN,LOG-SEC,PHY-SEC,TRAN";

/**
 * By serial number where that is one disk's alone, because the kernel gives sd names in the order it finds
 * them.
 */
async function disksOf(name: string) {
  const devices = await listBlockDevices(recordedSystem(await loadMachine(name)));
  const key = ({ tran, serial, name }: BlockDevice) => (tran === "nvme" ? name : (serial ?? name));
  return Object.fromEntries(devices.map((device) => [key(device), device]));
}

/** A machine with one disk, sda, that lsblk knows nothing of but the size. */
function oneDisk(files: Record<string, RecordedFile>, more: object = {}): Recording {
  const row = {
    kname: "sda",
    model: null,
    size: 1024,
    rota: true,
    type: "disk",
    uuid: null,
    partuuid: null,
    serial: null,
    wwn: null,
    "log-sec": 512,
    "phy-sec": 512,
    tran: null,
    ...more,
  };
  return {
    programs: { "udevadm settle": {}, [LSBLK]: { stdout: JSON.stringify({ blockdevices: [row] }) } },
    files,
  };
}

// What was set on QEMU's command line: see recording/machines.ts.
describe("the disks of the recorded BIOS machine", () => {
  // hardware 13.21
  test("are those it has: no floppy, no CD, the array once", async () => {
    expect(new Set(Object.keys(await disksOf("qemu-bios")))).toEqual(
      new Set([
        ...["SCSI77", "IDE001", "STICK", "/dev/md0", "RECORD", "VBLK1", "MEMBER1", "MEMBER2"],
        ...["/dev/nvme0n1", "/dev/nvme0n2"],
      ]),
    );
  });

  // hardware 13.19, 13.22
  test("SCSI with a WWN", async () => {
    const { SCSI77: disk } = await disksOf("qemu-bios");
    expect(disk).toMatchObject({
      model: "SPINNER",
      vendor: "ACME",
      size: 7 * 2 ** 30,
      rotational: true,
      wwn: "0x5000c500a1b2c3d4",
      wwn_with_extension: "0x5000c500a1b2c3d4",
      hctl: expect.stringMatching(/^\d+:0:0:0$/),
      by_path: "/dev/disk/by-path/pci-0000:00:04.0-scsi-0:0:0:0",
    });
    expect(disk!.all_serials).toEqual(["SCSI77", "5000c500a1b2c3d4", "35000c500a1b2c3d4"]);
  });

  test("SATA, of whose two links the shorter is shown", async () => {
    expect((await disksOf("qemu-bios")).IDE001).toMatchObject({
      model: "ATADISK",
      vendor: "ATA",
      size: 100 * 2 ** 20,
      rotational: false,
      wwn: "0x5000c50012345678",
      tran: "sata",
      by_path: "/dev/disk/by-path/pci-0000:00:1f.2-ata-2",
    });
  });

  // hardware 13.18
  test("virtio, USB and the array", async () => {
    const disks = await disksOf("qemu-bios");
    expect(disks.VBLK1).toMatchObject({ vendor: "0x1af4", hctl: null, tran: null, size: 12 * 2 ** 30 });
    expect(disks.STICK).toMatchObject({ tran: "usb" });
    expect(disks["/dev/md0"]).toMatchObject({
      serial: null,
      wwn: null,
      vendor: null,
      hctl: null,
      by_path: null,
    });
  });

  // hardware 13.20, 13.21
  test("NVMe namespaces of 512 and 4096 bytes a sector", async () => {
    const { "/dev/nvme0n1": first, "/dev/nvme0n2": second } = await disksOf("qemu-bios");
    expect(first).toMatchObject({
      serial: "NVME42",
      vendor: null,
      hctl: null,
      tran: "nvme",
      rotational: false,
      logical_sectors: 512,
    });
    expect(first!.wwn).toStartWith("nvme.");
    expect(second).toMatchObject({ logical_sectors: 4096, physical_sectors: 4096, size: 256 * 2 ** 20 });
  });
});

test("partitions come after the disks, with the identity of their disk and no address of their own", async () => {
  const system = recordedSystem(await loadMachine("qemu-uefi"));
  const devices = await listBlockDevices(system, { includePartitions: true });
  expect(devices.map(({ name }) => name)).toEqual([
    "/dev/sda",
    "/dev/vda",
    "/dev/nvme0n1",
    "/dev/sda1",
    "/dev/sda2",
  ]);
  expect(devices[3]).toMatchObject({ size: 64 * 2 ** 20, serial: "SATA1", vendor: null, hctl: null });
  expect(system.calls.filter(([program]) => program === "lsblk")).toHaveLength(1);
});

describe("sources of an identifier", () => {
  const udev = (text: string): Record<string, RecordedFile> => ({
    "/sys/class/block/sda/dev": "8:0\n",
    "/run/udev/data/b8:0": text,
  });
  const one = async (recording: Recording) => (await listBlockDevices(recordedSystem(recording)))[0]!;

  test("lsblk before udev's short serial before its long one", async () => {
    const files = udev("E:ID_SERIAL_SHORT=short\nE:ID_SERIAL=long\nE:ID_WWN=0x1\n");
    expect(await one(oneDisk(files, { serial: "lsblk", wwn: "0x2" }))).toMatchObject({
      serial: "lsblk",
      all_serials: ["lsblk", "short", "long"],
      wwn: "0x2",
      all_wwns: ["0x2", "0x1"],
    });
    expect(await one(oneDisk(files, { serial: "" }))).toMatchObject({ serial: "short", wwn: "0x1" });
    expect(await one(oneDisk(udev("E:ID_SERIAL=long\n")))).toMatchObject({ serial: "long", wwn: null });
  });

  test("maps have DM_ properties", async () => {
    const files = udev(
      "E:DM_SERIAL=s\nE:DM_WWN=0x1\nE:DM_WWN_WITH_EXTENSION=0x12\nE:DM_WWN_VENDOR_EXTENSION=0x2\n",
    );
    expect(await one(oneDisk(files))).toMatchObject({
      serial: "s",
      wwn: "0x1",
      wwn_with_extension: "0x12",
      wwn_vendor_extension: "0x2",
    });
  });

  // hardware 13.23
  test("without udev's database or sysfs the disk is listed all the same", async () => {
    expect(await one(oneDisk({}))).toMatchObject({ name: "/dev/sda", serial: null, wwn: null, vendor: null });
  });

  test("without udevadm there is a warning", async () => {
    const recording = oneDisk({});
    const { "udevadm settle": _settle, ...programs } = recording.programs!;
    const system = recordedSystem({ ...recording, programs });
    expect(await listBlockDevices(system)).toHaveLength(1);
    expect(system.records.map(({ level }) => level)).toEqual(["WARNING"]);
  });

  test("a slash in a kernel name is an exclamation mark in sysfs", async () => {
    const files = { "/sys/class/block/cciss!c0d0/device/vendor": "HP      \n" };
    expect(await one(oneDisk(files, { kname: "cciss/c0d0" }))).toMatchObject({
      name: "/dev/cciss/c0d0",
      vendor: "HP",
    });
  });
});

test("the inventory does not show what is only for the agent", async () => {
  const [device] = await listBlockDevices(recordedSystem(oneDisk({}, { uuid: "u", partuuid: "p" })));
  expect(device).toMatchObject({ uuid: "u", partuuid: "p" });
  expect(Object.keys(inventoryDisk(device!))).toEqual([
    ...["name", "model", "size", "rotational", "wwn", "serial", "vendor"],
    ...["wwn_with_extension", "wwn_vendor_extension", "hctl", "by_path"],
    ...["logical_sectors", "physical_sectors", "tran"],
  ]);
});

describe("udev's database", () => {
  test("only property lines count; a value may hold anything", () => {
    const text = "S:disk/by-id/x\nI:123\nE:ID_MODEL=a=b c\nE:=x\nE:EMPTY=\nG:systemd\nE:ID_MODEL=last\n";
    expect([...parseUdevDatabase(text)]).toEqual([
      ["ID_MODEL", "last"],
      ["EMPTY", ""],
    ]);
  });

  test("what was written is read, and junk is passed over", () => {
    const key = fc.stringMatching(/^[A-Z_][A-Z0-9_]{0,12}$/);
    const value = fc.string().filter((text) => !text.includes("\n"));
    fc.assert(
      fc.property(fc.dictionary(key, value), fc.array(value), (properties, junk) => {
        const lines = [
          ...junk.map((line) => `N:${line}`),
          ...Object.entries(properties).map(([k, v]) => `E:${k}=${v}`),
        ];
        expect(Object.fromEntries(parseUdevDatabase(lines.join("\n")))).toEqual({ ...properties });
      }),
    );
  });
});
