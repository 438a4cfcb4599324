// The collector numa-topology: which memory, processors and network cards belong together. A machine whose
// kernel tells something odd has no topology, which is no failure. Rules: hardware specification 11.2.

import { IncompatibleNumaFormatError } from "../errors.ts";
import { interfaceNames } from "../hardware/network-interfaces.ts";
import type { JsonObject } from "../json.ts";
import { FileError } from "../system/files.ts";
import type { System } from "../system/system.ts";
import type { Collector } from "./collector.ts";

const NODES = "/sys/devices/system/node";

/** kB by the unit of meminfo's numbers. */
const UNITS: Readonly<Record<string, number>> = { kb: 1, mb: 1024, gb: 1024 * 1024 };

type NumaNode = { readonly id: number; readonly path: string };

export const collectNuma: Collector = async ({ system }) => {
  try {
    const nodes = await numaNodes(system);
    const [ram, cpus, nics] = await Promise.all([
      Promise.all(nodes.map((node) => memoryOf(system, node))),
      Promise.all(nodes.map((node) => coresOf(system, node))),
      networkCards(system),
    ]);
    return { numa_topology: { ram, cpus: cpus.flat(), nics } };
  } catch (error) {
    if (!(error instanceof IncompatibleNumaFormatError || error instanceof FileError)) throw error;
    const reason = error instanceof FileError ? error.message : error.details;
    system.log.warning(`the NUMA topology is left out: ${reason}`);
    return {};
  }
};

/** By id. */
async function numaNodes(system: System): Promise<NumaNode[]> {
  const names = (await system.files.list(NODES)).filter((name) => name.startsWith("node"));
  const nodes = names.map((name) => ({
    id: wholeNumber(name.slice("node".length), `${NODES}/${name}`),
    path: `${NODES}/${name}`,
  }));
  if (nodes.length === 0) throw new IncompatibleNumaFormatError(`there are no nodes in ${NODES}`);
  return nodes.sort((left, right) => left.id - right.id);
}

async function memoryOf(system: System, { id, path }: NumaNode): Promise<JsonObject> {
  const meminfo = (await system.files.readAttribute(`${path}/meminfo`)) ?? "";
  const total = meminfo.split("\n").find((line) => line.includes("MemTotal"));
  const [, digits = "", unit = ""] = /:\s*(\d+)\s*([a-zA-Z]+)\s*$/.exec(total ?? "") ?? [];
  const factor = UNITS[unit.toLowerCase()];
  if (digits === "" || factor === undefined)
    throw new IncompatibleNumaFormatError(`${path}/meminfo does not tell the size of the memory`);
  return { numa_node: id, size_kb: Number(digits) * factor };
}

/** One entry for each core, with the numbers of its threads. */
async function coresOf(system: System, { id, path }: NumaNode): Promise<JsonObject[]> {
  const threads = new Map<number, number[]>();
  for (const name of await system.files.list(path)) {
    if (!name.startsWith("cpu") || (await system.files.targetKind(`${path}/${name}`)) !== "directory")
      continue;
    const thread = wholeNumber(name.slice("cpu".length), `${path}/${name}`);
    const file = `${path}/${name}/topology/core_id`;
    const core = wholeNumber(await system.files.readAttribute(file), file);
    threads.set(core, [...(threads.get(core) ?? []), thread]);
  }
  return [...threads]
    .sort(([left], [right]) => left - right)
    .map(([core, siblings]) => ({
      thread_siblings: siblings.sort((left, right) => left - right),
      cpu: core,
      numa_node: id,
    }));
}

/** Those that belong to a node; the number is -1 where the firmware does not tell which. */
async function networkCards(system: System): Promise<JsonObject[]> {
  const cards: JsonObject[] = [];
  for (const name of await interfaceNames(system)) {
    const file = `/sys/class/net/${name}/device/numa_node`;
    const node = await system.files.readAttribute(file);
    if (node !== null) cards.push({ name, numa_node: wholeNumber(node, file) });
  }
  return cards;
}

function wholeNumber(text: string | null, place: string): number {
  if (text === null || !/^-?\d+$/.test(text))
    throw new IncompatibleNumaFormatError(`${place} holds no number`);
  return Number(text);
}
