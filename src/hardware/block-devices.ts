// The disks of the machine: lsblk says which there are, udev's database and sysfs what else is known of them.
// Rules: hardware specification 2.

import { devicePath } from "../disk/block-tree.ts";
import { settleUdev } from "../disk/rescan.ts";
import { mapLimited } from "../map-limited.ts";
import type { System } from "../system/system.ts";
import { type LsblkDevice, listBlockDeviceRows, selectDevices } from "./lsblk.ts";
import type { BlockDevice, InventoryDisk } from "./manager.ts";
import { withoutPaths } from "./multipath.ts";
import { readUdevProperties } from "./udev.ts";

const BY_PATH = "/dev/disk/by-path";

/**
 * Whole disks (arrays and multipath maps included) in lsblk's order; with `includePartitions`, all partitions
 * after them.
 * @throws BlockDeviceError, ProgramFailedError, ProgramMissingError when lsblk cannot tell.
 */
export async function listBlockDevices(
  system: System,
  options: { readonly includePartitions?: boolean } = {},
): Promise<BlockDevice[]> {
  await settleUdev(system);
  const [all, links] = await Promise.all([listBlockDeviceRows(system), readByPathLinks(system)]);
  const rows = await withoutPaths(system, all);
  const devices = selectDevices(rows, { types: ["disk"], ignoreRaid: false });
  if (options.includePartitions === true) {
    devices.push(...selectDevices(rows, { types: ["part"], ignoreRaid: true }));
  }
  return mapLimited(devices, (device) => describeDevice(system, device, links));
}

/** What the inventory shows of a device: no file system identifiers, no lists. */
export function inventoryDisk(device: BlockDevice): InventoryDisk {
  const { uuid: _uuid, partuuid: _partuuid, all_serials: _serials, all_wwns: _wwns, ...disk } = device;
  return disk;
}

async function describeDevice(
  system: System,
  device: LsblkDevice,
  links: ReadonlyMap<string, string>,
): Promise<BlockDevice> {
  const { files } = system;
  // In sysfs a slash of the kernel name is an exclamation mark.
  const directory = `/sys/class/block/${device.kname.replaceAll("/", "!")}`;
  const [number, vendor, scsiAddresses] = await Promise.all([
    files.readAttribute(`${directory}/dev`),
    files.readAttribute(`${directory}/device/vendor`),
    files.list(`${directory}/device/scsi_device`),
  ]);
  const udev = number === null ? new Map<string, string>() : await readUdevProperties(system, number);
  // Device-mapper devices have no ID_* of their own but may carry those of their paths as DM_*.
  const known = (name: string) => udev.get(`ID_${name}`) || udev.get(`DM_${name}`) || null;
  const serials = [device.serial, known("SERIAL_SHORT"), known("SERIAL")];
  const wwns = [device.wwn, known("WWN")];
  const name = devicePath(device.kname);
  return {
    name,
    model: device.model,
    size: device.size,
    rotational: device.rotational,
    wwn: firstOf(wwns),
    serial: firstOf(serials),
    vendor: vendor === "" ? null : vendor,
    wwn_with_extension: known("WWN_WITH_EXTENSION"),
    wwn_vendor_extension: known("WWN_VENDOR_EXTENSION"),
    hctl: scsiAddresses[0] ?? null,
    by_path: links.get(name) ?? null,
    logical_sectors: device.logicalSectorSize,
    physical_sectors: device.physicalSectorSize,
    tran: device.transport,
    uuid: device.uuid,
    partuuid: device.partuuid,
    all_serials: serials,
    all_wwns: wwns,
  };
}

/** Device node → its shortest link below /dev/disk/by-path, the first by name among equals. */
async function readByPathLinks(system: System): Promise<Map<string, string>> {
  const links = new Map<string, string>();
  const names = await system.files.list(BY_PATH);
  const targets = await mapLimited(names, (name) => system.files.readLink(`${BY_PATH}/${name}`));
  for (const [index, name] of names.entries()) {
    const target = targets[index];
    if (target === null || target === undefined) continue;
    const device = resolveFrom(BY_PATH, target);
    const link = `${BY_PATH}/${name}`;
    const known = links.get(device);
    if (known === undefined || link.length < known.length) links.set(device, link);
  }
  return links;
}

/** `target` of a link in `directory` as an absolute path without dots. */
function resolveFrom(directory: string, target: string): string {
  const parts: string[] = [];
  for (const part of (target.startsWith("/") ? target : `${directory}/${target}`).split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

function firstOf(values: readonly (string | null)[]): string | null {
  return values.find((value) => value !== null) ?? null;
}
