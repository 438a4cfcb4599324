import { expect, test } from "bun:test";
import { describeDiskFault, ioErrors } from "../../src/disk/disk-fault.ts";
import { type RecordedFile, recordedSystem } from "../support/recorded-system.ts";

/** As Linux 6.1 has them for disks of QEMU; other releases put a function's name in front or "critical medium" before "error". */
const KERNEL_LOG = `[    1.204511] virtio_blk virtio2: [vda] 10485760 512-byte logical blocks (5.37 GB/5.00 GiB)
[   61.034427] I/O error, dev vda, sector 409600 op 0x1:(WRITE) flags 0x4800 phys_seg 254 prio class 2
[   61.034999] Buffer I/O error on dev vda, logical block 51200, lost async page write
[   61.100012] blk_update_request: critical medium error, dev sda, sector 8 op 0x1:(WRITE) flags 0x0 phys_seg 1 prio class 0
`;

/** A disk as sysfs has it. */
function block(name: string, minor: number, directory: string): Record<string, RecordedFile> {
  return {
    [`/dev/${name}`]: { device: { major: 254, minor } },
    [`/sys/dev/block/254:${minor}`]: { link: directory },
    [`/sys/class/block/${name}`]: { link: directory },
    [`${directory}/size`]: "10485760",
  };
}

test("the kernel's failed requests of one disk, and of no other", () => {
  expect(ioErrors(KERNEL_LOG, ["vda"])).toEqual([
    "I/O error, dev vda, sector 409600 op 0x1:(WRITE) flags 0x4800 phys_seg 254 prio class 2",
  ]);
  expect(ioErrors(KERNEL_LOG, ["sda"])[0]).toStartWith("blk_update_request: critical medium error, dev sda");
  expect(ioErrors(KERNEL_LOG, ["vd"])).toEqual([]);
});

test("a fault says which disk it is in the rack and what the kernel said; of an array, of its disks", async () => {
  const system = recordedSystem({
    files: {
      ...block("vda", 0, "/sys/devices/pci0/virtio0/block/vda"),
      ...block("md0", 9, "/sys/devices/virtual/block/md0"),
      "/sys/class/block/vda1": { link: "/sys/devices/pci0/virtio0/block/vda/vda1" },
      "/sys/devices/pci0/virtio0/block/vda/vda1/partition": "1",
      "/sys/devices/virtual/block/md0/slaves/vda1": { directory: true },
    },
    programs: {
      lsblk: { stdout: 'KNAME="/dev/vda" MODEL="QEMU HARDDISK   " SERIAL="BAD1"\n' },
      dmesg: { stdout: KERNEL_LOG },
    },
  });
  expect(await describeDiskFault(system, "/dev/vda")).toBe(
    "/dev/vda is model QEMU HARDDISK, serial number BAD1. The kernel says: " +
      "I/O error, dev vda, sector 409600 op 0x1:(WRITE) flags 0x4800 phys_seg 254 prio class 2.",
  );
  expect(await describeDiskFault(system, "/dev/md0")).toStartWith(
    "/dev/vda is model QEMU HARDDISK, serial number BAD1. The kernel says: I/O error, dev vda, sector",
  );
});

test("tools that are missing leave it open", async () => {
  expect(await describeDiskFault(recordedSystem(), "/dev/sdb")).toBe(
    "/dev/sdb is model unknown, serial number unknown. The kernel's log has no I/O error.",
  );
});
