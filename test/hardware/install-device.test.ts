import { describe, expect, test } from "bun:test";
import { DeviceNotFound } from "../../src/errors.ts";
import { chooseInstallDevice, rootDeviceHints } from "../../src/hardware/install-device.ts";
import type { JsonObject } from "../../src/json.ts";
import { loadMachine } from "./recording/recording.ts";
import { disk, managersOn } from "./support.ts";

const GIB = 2 ** 30;
const LIMIT = 4 * GIB;

function choose(disks: readonly ReturnType<typeof disk>[], hints: JsonObject | null = null): string {
  return chooseInstallDevice({ offered: disks, withheld: new Map() }, hints);
}

/** Details of the DeviceNotFound it ends with. */
async function details(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (error) {
    if (error instanceof DeviceNotFound) return error.details;
    throw error;
  }
  throw new Error("a device was found");
}

describe("without hints", () => {
  // hardware 13.27
  test("disks below 4 GiB are too small, exactly 4 GiB is enough", async () => {
    const small = [disk({ name: "/dev/sda", size: 3 * GIB }), disk({ name: "/dev/sdb", size: LIMIT - 1 })];
    const said = await details(() => choose(small));
    expect(said).toContain("4294967296 bytes");
    expect(said).toContain("/dev/sda (3221225472 bytes), /dev/sdb (4294967295 bytes)");
    expect(choose([...small, disk({ name: "/dev/sdc", size: LIMIT })])).toBe("/dev/sdc");
  });

  // hardware 13.28
  test("the smallest wins, then the name; an array a little smaller than its members wins over them", () => {
    const gib = (name: string, size: number) => disk({ name, size: size * GIB });
    expect(choose([gib("/dev/sdb", 10), gib("/dev/sda", 10)])).toBe("/dev/sda");
    expect(choose([gib("/dev/sda", 20), gib("/dev/nvme0n1", 10)])).toBe("/dev/nvme0n1");
    expect(choose([gib("/dev/sda", 10), gib("/dev/sdb", 10), gib("/dev/md0", 9.9)])).toBe("/dev/md0");
  });

  test("no disk at all says so", async () => {
    expect(await details(() => choose([]))).toContain("The machine shows no disk");
  });
});

describe("with hints", () => {
  const disks = [disk({ name: "/dev/sda", size: 50 * GIB }), disk({ name: "/dev/sdb", serial: "S1" })];

  test("the first match in the order of the list", () => {
    expect(choose(disks, { size: ">= 1" })).toBe("/dev/sda");
    expect(choose(disks, { serial: "s1" })).toBe("/dev/sdb");
  });

  // hardware 13.30
  test("no match and wrong hints are the same error, with the hints", async () => {
    expect(await details(() => choose(disks, { serial: "S2" }))).toContain('{"serial":"S2"}');
    expect(await details(() => choose(disks, { serial: "S2", rotational: true, size: 1 }))).toContain(
      "/dev/sdb (10737418240 bytes, serial S1, rotational false)",
    );
    const twice = disk({ name: "/dev/sdc", all_serials: ["S3", "S3"] });
    expect(await details(() => choose([twice], { serial: "S2" }))).toContain("bytes, serial S3)");
    const unknown = await details(() => choose(disks, { colour: "red" }));
    expect(unknown).toContain('{"colour":"red"}');
    expect(unknown).toContain("valid hints are: size, rotational, name");
    expect(await details(() => choose(disks, { model: "> 5" }))).toContain("not a number");
  });

  // hardware 13.32
  test("those of the instance are before those of the node; empty ones are none", () => {
    const node = { instance_info: { root_device: { size: 5 } }, properties: { root_device: { size: 6 } } };
    expect(rootDeviceHints(node)).toEqual({ size: 5 });
    expect(rootDeviceHints({ ...node, instance_info: { root_device: {} } })).toEqual({ size: 6 });
    expect(rootDeviceHints({ properties: { root_device: null }, instance_info: null })).toBeNull();
    expect(rootDeviceHints(null)).toBeNull();
  });
});

describe("on a recorded machine", () => {
  async function loaded(node: JsonObject) {
    const harness = managersOn(await loadMachine("qemu-bios"));
    await harness.managers.load();
    await harness.managers.node.cache(node);
    return harness;
  }

  test("hints of every kind choose the right one of its disks", async () => {
    // Disks by their serial numbers, because the kernel gives names and SCSI addresses in the order it finds
    // them.
    const { managers } = await loaded({ uuid: "u" });
    const disks = await managers.dispatch("listBlockDevices");
    const bySerial = (serial: string) => disks.find((found) => found.serial === serial)!;
    const byHint: [JsonObject, string][] = [
      [{ serial: "VBLK1" }, "VBLK1"],
      [{ serial: "SCSI77" }, "SCSI77"],
      // The serial number of releases that asked udev only.
      [{ serial: "5000c500a1b2c3d4" }, "SCSI77"],
      [{ wwn: "0x5000C50012345678" }, "IDE001"],
      [{ wwn_with_extension: "0x5000c500a1b2c3d4" }, "SCSI77"],
      [{ hctl: bySerial("IDE001").hctl }, "IDE001"],
      [{ name: bySerial("STICK").name }, "STICK"],
      [{ model: "<in> spin" }, "SCSI77"],
      [{ vendor: "acme" }, "SCSI77"],
      [{ tran: "usb" }, "STICK"],
      [{ by_path: "/dev/disk/by-path/pci-0000:00:03.0" }, "VBLK1"],
      [{ size: 12 }, "VBLK1"],
      [{ rotational: false, tran: "s== sata" }, "IDE001"],
    ];
    for (const [hints, serial] of byHint) {
      await managers.node.cache({ uuid: "u", properties: { root_device: hints } });
      expect(await managers.dispatch("getOsInstallDevice")).toBe(bySerial(serial).name);
    }
    await managers.node.cache({ uuid: "u", properties: { root_device: { name: "/dev/nvme0n2" } } });
    expect(await managers.dispatch("getOsInstallDevice")).toBe("/dev/nvme0n2");
  });

  // hardware 13.32
  test("an empty hint is worth one look-up, and only if it is allowed", async () => {
    const { managers } = await loaded({ uuid: "u", properties: {} });
    let lookups = 0;
    managers.node.refreshWith(async () => {
      lookups += 1;
      return { uuid: "u", properties: { root_device: { serial: "VBLK1" } } };
    });
    // The smallest of the two that are large enough: 7 GiB.
    const scsi = (await managers.dispatch("listBlockDevices")).find(({ serial }) => serial === "SCSI77")!;
    expect(await managers.dispatch("getOsInstallDevice")).toBe(scsi.name);
    expect(lookups).toBe(0);
    expect(await managers.dispatch("getOsInstallDevice", { refresh: true })).toBe("/dev/vdb");
    expect(await managers.dispatch("getOsInstallDevice", { refresh: true })).toBe("/dev/vdb");
    expect(lookups).toBe(1);
  });

  test("the disk that the running system is on is never offered, whatever the hints say", async () => {
    const { managers } = managersOn(await loadMachine("microvm"));
    await managers.load();
    await managers.node.cache({ uuid: "u", properties: { root_device: { name: "/dev/vda" } } });
    const said = await details(() => managers.dispatch("getOsInstallDevice"));
    expect(said).toContain("/dev/vda (not offered: /dev/vda is mounted on /)");
  });
});
