// Processors and NUMA nodes as hardware-detect tells of them: from lscpu, where numbers stay numbers, and
// sysfs.

import { readLscpu } from "../../hardware/cpu.ts";
import type { Files } from "../../system/files.ts";
import type { System } from "../../system/system.ts";
import type { Facts } from "./facts.ts";

/** NR_CPUS of a kernel for the largest machines is 8192. */
const MOST_PROCESSORS = 65_536;

const CPUS = "/sys/devices/system/cpu";

type Form = "text" | "number" | "number if it is one";

/** Properties of a processor by lscpu's name of them, in their order. */
const PROPERTIES: readonly (readonly [property: string, field: string, form: Form])[] = [
  ["vendor", "vendor id", "text"],
  ["product", "model name", "text"],
  ["cores", "core(s) per socket", "number"],
  ["threads", "", "number"],
  ["family", "cpu family", "number"],
  ["model", "model", "number if it is one"],
  ["stepping", "stepping", "number if it is one"],
  ["architecture", "architecture", "text"],
  ["l1d cache", "l1d cache", "text"],
  ["l1i cache", "l1i cache", "text"],
  ["l2 cache", "l2 cache", "text"],
  ["l3 cache", "l3 cache", "text"],
  ["min_Mhz", "cpu min mhz", "number"],
  ["max_Mhz", "cpu max mhz", "number"],
  ["current_Mhz", "cpu mhz", "number"],
  ["flags", "flags", "text"],
  ["threads_per_core", "thread(s) per core", "number"],
];

/** @throws ProgramMissingError, ProgramFailedError */
export async function addProcessors(facts: Facts, system: System): Promise<void> {
  const { files } = system;
  const [fields, masks] = await Promise.all([
    readLscpu(system, { masks: false }),
    readLscpu(system, { masks: true }),
  ]);
  const count = (field: string, otherwise: number) => wholeNumber(fields.get(field)) ?? otherwise;
  const sockets = count("socket(s)", 1);
  const logical = count("cpu(s)", 1);
  facts.add("cpu", "physical", "number", sockets);
  facts.add("cpu", "physical", "smt", await files.readAttribute(`${CPUS}/smt/control`));
  const boost = await files.readAttribute(`${CPUS}/cpufreq/boost`);
  for (let socket = 0; socket < sockets; socket++) {
    const name = `physical_${socket}`;
    if (boost !== null) facts.add("cpu", name, "boost", boost === "1" ? "enabled" : "disabled");
    for (const [property, field, form] of PROPERTIES) {
      const value =
        property === "threads"
          ? count("thread(s) per core", 1) * count("core(s) per socket", 1)
          : inForm(fields.get(field), form);
      facts.add("cpu", name, property, value);
    }
  }
  facts.add("cpu", "logical", "number", logical);
  for (let processor = 0; processor < logical; processor++)
    facts.add("cpu", `logical_${processor}`, "governor", await governor(files, processor));
  addNodes(facts, fields, masks);
}

function addNodes(
  facts: Facts,
  fields: ReadonlyMap<string, string>,
  masks: ReadonlyMap<string, string>,
): void {
  facts.add("numa", "nodes", "count", wholeNumber(fields.get("numa node(s)")));
  const nodes = [...fields.keys()]
    .flatMap((field) => {
      const id = /^numa node(\d+) cpu\(s\)$/.exec(field)?.[1];
      return id === undefined ? [] : [{ field, id: Number(id) }];
    })
    .sort((left, right) => left.id - right.id);
  for (const { field, id } of nodes) {
    facts.add("numa", `node_${id}`, "cpu_count", listLength(fields.get(field) ?? ""));
    facts.add("numa", `node_${id}`, "cpu_mask", masks.get(field));
  }
}

/** How many numbers a list like `0-5,48` means; null if it is none. */
function listLength(list: string): number | null {
  const length = list
    .split(",")
    .filter((part) => part !== "")
    .map((part) => part.split("-").map(Number))
    .reduce((sum, [first = 0, last = first]) => sum + last - first + 1, 0);
  return Number.isFinite(length) ? length : null;
}

/** The second place is that of kernels before 4.3. */
async function governor(files: Files, processor: number): Promise<string | null> {
  return (
    (await files.readAttribute(`${CPUS}/cpufreq/policy${processor}/scaling_governor`)) ??
    (await files.readAttribute(`${CPUS}/cpu${processor}/cpufreq/scaling_governor`))
  );
}

/** A value that should be a number and is none (`-`) is no fact. */
function inForm(text: string | undefined, form: Form): string | number | null {
  if (text === undefined) return null;
  if (form === "text") return text;
  const number = text === "" ? Number.NaN : Number(text);
  if (Number.isFinite(number)) return number;
  return form === "number" ? null : text;
}

/** Null also for more processors than Linux can number: each one is a fact. */
function wholeNumber(text: string | undefined): number | null {
  const number = text !== undefined && /^\d+$/.test(text) ? Number(text) : null;
  return number !== null && number <= MOST_PROCESSORS ? number : null;
}
