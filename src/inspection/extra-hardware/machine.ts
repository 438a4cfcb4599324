// The machine, its board, firmware, memory and network cards as hardware-detect tells of them: from lshw's
// tree.

import { lshwRecords } from "../../hardware/lshw.ts";
import { linkAddresses } from "../../hardware/network-interfaces.ts";
import { type Json, type JsonObject, member } from "../../json.ts";
import { mapLimited } from "../../map-limited.ts";
import type { System } from "../../system/system.ts";
import { addEthtool } from "./ethtool.ts";
import { Facts } from "./facts.ts";

/** Serial numbers that makers leave in when they forget to write one. */
const PLACEHOLDER_SERIALS = ["0123456789", "0000000000"];

/** Programs run for each of them. */
const CARDS_AT_ONCE = 8;

const BANK_PROPERTIES = ["size", "clock", "description", "vendor", "product", "serial", "slot"];

export async function addMachine(facts: Facts, system: System, tree: JsonObject): Promise<void> {
  const records = lshwRecords(tree);
  const uuid = await system.files.readAttribute("/sys/class/dmi/id/product_uuid");
  const board = records.find(({ id, physid }) => id === "core" && physid !== undefined);
  addProduct(facts, records, { tree, uuid, board });
  for (const record of records.filter(({ id, physid }) => id === "firmware" && physid !== undefined)) {
    facts.add("firmware", "bios", "version", text(record.version));
    facts.add("firmware", "bios", "date", text(record.date));
    facts.add("firmware", "bios", "vendor", text(record.vendor));
  }
  addMemory(facts, records);
  await addNetwork(facts, system, records);
}

type ProductSources = {
  readonly tree: JsonObject;
  readonly uuid: string | null;
  readonly board: JsonObject | undefined;
};

/** A placeholder for a serial number is replaced by whatever tells this machine from others. */
function addProduct(
  facts: Facts,
  records: readonly JsonObject[],
  { tree, uuid, board }: ProductSources,
): void {
  const serial = text(tree.serial);
  const firstCard = records.find((record) => record.class === "network" && logicalName(record) !== null);
  const genuine =
    serial !== null && PLACEHOLDER_SERIALS.includes(serial)
      ? (uuid ?? text(board?.serial) ?? text(firstCard?.serial)?.toLowerCase().replaceAll(":", "") ?? serial)
      : serial;
  facts.add("system", "product", "serial", genuine);
  facts.add("system", "product", "name", text(tree.product));
  facts.add("system", "product", "vendor", text(tree.vendor));
  facts.add("system", "product", "version", text(tree.version));
  facts.add("system", "product", "uuid", uuid);
  facts.add("system", "motherboard", "name", text(board?.product));
  facts.add("system", "motherboard", "vendor", text(board?.vendor));
  facts.add("system", "motherboard", "version", text(board?.version));
  facts.add("system", "motherboard", "serial", text(board?.serial));
}

function addMemory(facts: Facts, records: readonly JsonObject[]): void {
  let banks = 0;
  for (const record of records) {
    const id = text(record.id) ?? "";
    if (record.class !== "memory" || !id.startsWith("memory") || record.physid === undefined) continue;
    facts.add("memory", "total", "size", text(record.size));
    const location = /^memory(:.*)$/.exec(id)?.[1] ?? "";
    for (const bank of lshwRecords(record)) {
      const name = text(bank.id) ?? "";
      if (!name.includes("bank:")) continue;
      banks++;
      for (const property of BANK_PROPERTIES)
        facts.add("memory", name.replace("bank:", `bank${location}:`), property, text(bank[property]));
    }
  }
  if (banks > 0) facts.add("memory", "banks", "count", String(banks));
}

async function addNetwork(facts: Facts, system: System, records: readonly JsonObject[]): Promise<void> {
  const prefixes = await ipv4Prefixes(system);
  const cards = records.flatMap((record) => {
    const name = logicalName(record);
    return record.class === "network" && name !== null ? [{ name, record }] : [];
  });
  facts.append(
    await mapLimited(
      cards,
      ({ name, record }) => cardFacts(system, { name, record, prefixes }),
      CARDS_AT_ONCE,
    ),
  );
}

type Card = {
  readonly name: string;
  readonly record: JsonObject;
  readonly prefixes: ReadonlyMap<string, number>;
};

async function cardFacts(system: System, { name, record, prefixes }: Card): Promise<Facts> {
  const facts = new Facts();
  const setting = (key: string) => text(member(record.configuration, key));
  facts.add("network", name, "businfo", text(record.businfo));
  facts.add("network", name, "vendor", text(record.vendor));
  facts.add("network", name, "product", text(record.product));
  facts.add("network", name, "firmware", setting("firmware"));
  facts.add("network", name, "size", text(record.size));
  const ip = setting("ip");
  facts.add("network", name, "ipv4", ip);
  addSubnet(facts, name, ip, prefixes.get(`${name} ${ip}`));
  for (const key of ["link", "driver", "duplex", "speed", "latency", "autonegotiation"])
    facts.add("network", name, key, setting(key));
  // lshw shows only a part of an InfiniBand address.
  const serial = name.startsWith("ib")
    ? await system.files.readAttribute(`/sys/class/net/${name}/address`)
    : text(record.serial);
  facts.add("network", name, "serial", serial?.toLowerCase());
  await addEthtool(facts, system, name);
  return facts;
}

function addSubnet(facts: Facts, name: string, ip: string | null, prefix: number | undefined): void {
  if (ip === null || prefix === undefined) return;
  const mask = prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0;
  const address = ip.split(".").reduce((value, part) => value * 256 + Number(part), 0);
  facts.add("network", name, "ipv4-netmask", dotted(mask));
  facts.add("network", name, "ipv4-cidr", String(prefix));
  facts.add("network", name, "ipv4-network", dotted((address & mask) >>> 0));
}

function dotted(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join(".");
}

/** Prefix lengths by `interface address`; none, with a warning, where iproute2 cannot tell. */
async function ipv4Prefixes(system: System): Promise<Map<string, number>> {
  const prefixes = new Map<string, number>();
  for (const [name, { ipv4, ipv4PrefixLengths }] of await linkAddresses(system))
    for (const [index, address] of ipv4.entries())
      prefixes.set(`${name} ${address}`, ipv4PrefixLengths[index] ?? 32);
  return prefixes;
}

/** The first, where a device has several. */
function logicalName({ logicalname }: JsonObject): string | null {
  return text(Array.isArray(logicalname) ? (logicalname[0] ?? null) : (logicalname ?? null));
}

/** Numbers become text: the program reads lshw's XML. */
function text(value: Json | undefined): string | null {
  if (typeof value === "number") return String(value);
  return typeof value === "string" ? value : null;
}
