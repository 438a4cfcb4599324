// The demo's command line: what it takes, and that everything else is refused in one line.

import { expect, test } from "bun:test";
import { resolve } from "node:path";
import { parseOptions, UsageError } from "./options.ts";

test("without options: BIOS, raw, virtio", () => {
  expect(parseOptions([])).toEqual({
    firmware: "bios",
    image: "raw",
    imageGiB: null,
    disk: "virtio",
    partitionImage: false,
    raid: null,
    ironic: false,
    ramdisk: null,
    append: "",
    memoryMiB: 2048,
    iscsi: false,
    fresh: false,
    keep: false,
    timeout: 1_200_000,
  });
});

test("all options", () => {
  const args =
    "--uefi --image qcow2 --image-size 4 --disk nvme --ironic --memory 512 --fresh --keep --timeout 60".split(
      " ",
    );
  expect(parseOptions([...args, "--append", "ipa-debug=1 quiet"])).toEqual({
    firmware: "uefi",
    image: "qcow2",
    imageGiB: 4,
    disk: "nvme",
    partitionImage: false,
    raid: null,
    ironic: true,
    ramdisk: null,
    append: "ipa-debug=1 quiet",
    memoryMiB: 512,
    iscsi: false,
    fresh: true,
    keep: true,
    timeout: 60_000,
  });
});

test("a kernel and a ramdisk made elsewhere", () => {
  const { ramdisk } = parseOptions(["--kernel", "package.json", "--ramdisk", import.meta.path]) ?? {};
  expect(ramdisk).toEqual({ kernel: resolve("package.json"), initrd: import.meta.path });
});

test("a partition image, and a RAID", () => {
  expect(parseOptions(["--partition-image", "--raid", "1"])).toMatchObject({
    partitionImage: true,
    raid: "1",
    image: "raw",
  });
});

test("iSCSI instead of the direct deploy interface", () => {
  expect(parseOptions(["--iscsi"])?.iscsi).toBe(true);
});

test("help wins", () => {
  expect(parseOptions(["--uefi", "--help"])).toBeNull();
});

test.each([
  [["--image", "vhd"], '--image must be raw or qcow2, not "vhd"'],
  [["--image-size", "4"], "--image-size goes with --image qcow2"],
  [["--image", "qcow2", "--image-size", "8"], '--image-size must be 1 to 7 GiB, not "8"'],
  [["--disk", "ide"], '--disk must be virtio or sata or nvme, not "ide"'],
  [["--raid", "5"], '--raid must be 1, not "5"'],
  [["--partition-image", "--image", "qcow2"], "--partition-image is a raw image: leave --image away"],
  [["--iscsi", "--raid", "1"], "--iscsi writes a whole-disk image to one disk"],
  [["--iscsi", "--ironic"], "--iscsi does not go with --ironic: this Ironic has no iscsi deploy interface"],
  [["--timeout", "0"], '--timeout must be a number of seconds, not "0"'],
  [["--timeout", "1m"], '--timeout must be a number of seconds, not "1m"'],
  [["--memory", "2G"], '--memory must be a number of MiB, not "2G"'],
  [["--kernel", "package.json"], "--kernel and --ramdisk are given together or not at all"],
  [["--kernel", "missing", "--ramdisk", "missing"], "--kernel missing cannot be read: ENOENT"],
  [["--unknown"], "Unknown option '--unknown'"],
  [["extra"], "Unexpected argument 'extra'"],
  [["--image"], "argument missing"],
])("%j is refused in one line", (args, message) => {
  const refused = (): unknown => parseOptions(args);
  expect(refused).toThrow(UsageError);
  expect(refused).toThrow(message);
  try {
    refused();
  } catch (error) {
    expect((error as Error).message).not.toContain("\n");
  }
});
