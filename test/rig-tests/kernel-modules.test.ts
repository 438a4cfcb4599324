// modules.dep lines as depmod of Debian 12 wrote them for Linux 6.1.

import { expect, test } from "bun:test";
import { modulesToKeep, parseModulesDep } from "../rig/kernel-modules.ts";

const MODULES_DEP = `kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko kernel/fs/mbcache.ko kernel/fs/jbd2/jbd2.ko kernel/crypto/crc32c_generic.ko
kernel/fs/mbcache.ko:
kernel/fs/jbd2/jbd2.ko:
kernel/lib/crc16.ko:
kernel/crypto/crc32c_generic.ko:
kernel/sound/soundcore.ko:
kernel/drivers/usb/storage/usb-storage.ko: kernel/drivers/scsi/scsi_mod.ko
kernel/drivers/scsi/scsi_mod.ko: kernel/drivers/scsi/scsi_common.ko
kernel/drivers/scsi/scsi_common.ko:
`;

test("modules.dep names a module and what it needs", () => {
  const dependencies = parseModulesDep(MODULES_DEP);
  expect(dependencies.size).toBe(9);
  expect(dependencies.get("kernel/sound/soundcore.ko")).toEqual([]);
  expect(dependencies.get("kernel/drivers/usb/storage/usb-storage.ko")).toEqual([
    "kernel/drivers/scsi/scsi_mod.ko",
  ]);
});

test("a kept directory brings what its modules depend on, and nothing else", () => {
  const kept = modulesToKeep(parseModulesDep(MODULES_DEP), ["fs/ext4"], []);
  expect([...kept].sort()).toEqual([
    "kernel/crypto/crc32c_generic.ko",
    "kernel/fs/ext4/ext4.ko",
    "kernel/fs/jbd2/jbd2.ko",
    "kernel/fs/mbcache.ko",
    "kernel/lib/crc16.ko",
  ]);
});

test("a directory is not a prefix of a name", () => {
  expect(modulesToKeep(parseModulesDep(MODULES_DEP), ["fs/ext", "sound/sound"], []).size).toBe(0);
});

test("names are told with dashes or underscores", () => {
  const kept = modulesToKeep(parseModulesDep(MODULES_DEP), [], ["usb_storage"]);
  expect(kept).toContain("kernel/drivers/usb/storage/usb-storage.ko");
  expect(kept).toContain("kernel/drivers/scsi/scsi_mod.ko");
});
