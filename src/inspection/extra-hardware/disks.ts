// Disks as hardware-detect tells of them: from sysfs, with sizes in whole gigabytes, and from themselves by SMART.

import { mapLimited } from "../../map-limited.ts";
import type { Files } from "../../system/files.ts";
import type { System } from "../../system/system.ts";
import { Facts } from "./facts.ts";
import { smartFacts } from "./smart.ts";

const BYTES_PER_BLOCK = 512;
const GIGABYTE = 1e9;

/**
 * Attributes below /sys/block/<name>, by the name of their fact; places are tried in turn (NVMe nests its
 * device).
 */
const ATTRIBUTES: readonly (readonly [property: string, ...places: string[]])[] = [
  ["vendor", "device/vendor", "device/device/vendor"],
  ["model", "device/model", "device/device/model"],
  ["rev", "device/rev"],
  ["revision", "device/device/revision"],
  ["optimal_io_size", "queue/optimal_io_size"],
  ["physical_block_size", "queue/physical_block_size"],
  ["rotational", "queue/rotational"],
  ["nr_requests", "queue/nr_requests"],
];

export async function addDisks(facts: Facts, system: System): Promise<void> {
  const { files } = system;
  const names = (await files.list("/sys/block")).filter((name) => /^[shv]d|^nvme/.test(name));
  const [sizes, links] = await Promise.all([
    mapLimited(names, async (name) => [name, await gigabytes(files, name)] as const),
    diskLinks(files),
  ]);
  const disks = sizes.filter(([, size]) => size > 0);
  facts.add("disk", "logical", "count", String(disks.length));
  facts.append(
    await mapLimited(disks, async ([name, size]) =>
      diskFacts(system, name, { size, links: links.get(name) }),
    ),
  );
}

async function gigabytes(files: Files, name: string): Promise<number> {
  const blocks = Number((await files.readAttribute(`/sys/block/${name}/size`)) ?? 0);
  return Math.floor((blocks * BYTES_PER_BLOCK) / GIGABYTE);
}

async function diskFacts(
  system: System,
  name: string,
  { size, links = [] }: { readonly size: number; readonly links: readonly string[] | undefined },
): Promise<Facts> {
  const { files } = system;
  const facts = new Facts();
  facts.add("disk", name, "size", String(size));
  for (const [property, ...places] of ATTRIBUTES)
    facts.add("disk", name, property, await firstLine(files, name, places));
  const schedulers = (await files.readAttribute(`/sys/block/${name}/queue/scheduler`)) ?? "";
  facts.add("disk", name, "scheduler", /\[(.*?)\]/.exec(schedulers)?.[1]);
  if (!name.startsWith("nvme")) await addCache(facts, files, name);
  for (const link of links) facts.add("disk", name, linkProperty(link), link);
  for (const [disk, property, value] of await smartFacts(system, name))
    facts.add("disk", disk, property, value);
  return facts;
}

async function firstLine(files: Files, name: string, places: readonly string[]): Promise<string | null> {
  for (const place of places) {
    const text = await files.readAttribute(`/sys/block/${name}/${place}`);
    if (text !== null) return (text.split("\n")[0] ?? "").trim();
  }
  return null;
}

/** The kernel's word for a SCSI disk's cache as the two bits of the caching mode page behind it. */
async function addCache(facts: Facts, files: Files, name: string): Promise<void> {
  const address = (await files.readLink(`/sys/block/${name}/device`))?.split("/").at(-1);
  const type = await files.readAttribute(`/sys/block/${name}/device/scsi_disk/${address}/cache_type`);
  if (type === null) return;
  facts.add("disk", name, "Write Cache Enable", type === "write through" || type === "none" ? "0" : "1");
  facts.add("disk", name, "Read Cache Disable", type === "none" || type.includes("daft") ? "1" : "0");
}

/** Names in /dev/disk/by-id by the name of their disk. */
async function diskLinks(files: Files): Promise<Map<string, string[]>> {
  const names = await files.list("/dev/disk/by-id");
  const targets = await mapLimited(names, (name) => files.readLink(`/dev/disk/by-id/${name}`));
  const links = new Map<string, string[]>();
  for (const [index, name] of names.entries()) {
    const disk = targets[index]?.split("/").at(-1);
    if (disk === undefined) continue;
    const known = links.get(disk);
    if (known === undefined) links.set(disk, [name]);
    else known.push(name);
  }
  return links;
}

function linkProperty(link: string): string {
  if (link.startsWith("wwn")) return "wwn-id";
  return link.startsWith("scsi") ? "scsi-id" : "id";
}
