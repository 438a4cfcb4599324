// The benchmarks of extra-hardware, with the tools that hardware-detect uses for them: sysbench for
// processors and memory, fio for disks, which it only reads. They take minutes and run only when they are
// asked for, one after the other.

import { isJsonObject, type JsonObject, member } from "../../json.ts";
import type { System } from "../../system/system.ts";
import type { Facts } from "./facts.ts";

/** Seconds of one run. */
const CPU_TIME = 10;
const MEMORY_TIME = 5;
const DISK_TIME = 10;
/** Seconds a disk is read before fio begins to measure. */
const DISK_RAMP = 5;
/** Seconds that a tool may take longer than it was told. */
const GRACE = 60;

/** Of memory that is read and written at once, with its size in bytes. */
const BLOCK_SIZES: readonly (readonly [name: string, bytes: number])[] = [
  ["1K", 2 ** 10],
  ["4K", 2 ** 12],
  ["1M", 2 ** 20],
  ["16M", 2 ** 24],
  ["128M", 2 ** 27],
  ["1G", 2 ** 30],
  ["2G", 2 ** 31],
];

type Benchmark = (facts: Facts, system: System, signal: AbortSignal) => Promise<void>;

const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  cpu: benchmarkProcessors,
  mem: benchmarkMemory,
  disk: benchmarkDisks,
};

export class BenchmarkError extends Error {}

/**
 * In the order cpu, mem, disk, whatever the order of `names`. @throws BenchmarkError; what the tools fail
 * with
 */
export async function runBenchmarks(
  facts: Facts,
  system: System,
  names: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const unknown = names.filter((name) => !Object.hasOwn(BENCHMARKS, name));
  if (unknown.length > 0)
    throw new BenchmarkError(
      `inspection_benchmarks: there is no benchmark ${unknown.join(", ")}; there are ${Object.keys(BENCHMARKS).join(", ")}`,
    );
  for (const [name, benchmark] of Object.entries(BENCHMARKS))
    if (names.includes(name)) await benchmark(facts, system, signal);
}

async function benchmarkProcessors(facts: Facts, system: System, signal: AbortSignal): Promise<void> {
  const loops = async (threads: number, processor: number | null) =>
    String(Math.floor((await sysbenchCpu(system, { threads, processor, signal })) / CPU_TIME));
  for (const processor of await firstOfEachSocket(system)) {
    const name = `logical_${processor}`;
    facts.add("cpu", name, "bogomips", await cpuInfo(system, processor, "bogomips"));
    facts.add("cpu", name, "cache_size", await cpuInfo(system, processor, "cache size"));
    facts.add("cpu", name, "loops_per_sec", await loops(1, processor));
  }
  facts.add("cpu", "logical", "loops_per_sec", await loops(logicalProcessors(facts), null));
}

/**
 * One processor of each socket, all as threads, and all as programs of their own. Sizes that do not fit are
 * left out.
 */
async function benchmarkMemory(facts: Facts, system: System, signal: AbortSignal): Promise<void> {
  const run = (block: string, threads: number, processor: number | null) =>
    sysbenchMemory(system, { block, threads, processor, signal });
  const fits = async (bytes: number, count: number) => bytes * count <= (await freeMemory(system));
  for (const processor of await firstOfEachSocket(system))
    for (const [block, bytes] of BLOCK_SIZES)
      if (await fits(bytes, 1))
        facts.add(
          "cpu",
          `logical_${processor}`,
          `bandwidth_${block}`,
          String(await run(block, 1, processor)),
        );
  const all = logicalProcessors(facts);
  if (all < 2) return;
  for (const [block, bytes] of BLOCK_SIZES)
    if (await fits(bytes, all))
      facts.add("cpu", "logical", `threaded_bandwidth_${block}`, String(await run(block, all, null)));
  for (const [block, bytes] of BLOCK_SIZES) {
    if (!(await fits(bytes, all))) continue;
    const rates = await Promise.all(Array.from({ length: all }, () => run(block, 1, null)));
    const total = rates.reduce((sum, rate) => sum + rate, 0);
    facts.add("cpu", "logical", `forked_bandwidth_${block}`, String(total));
  }
}

/** Each disk for itself, then all together. */
async function benchmarkDisks(facts: Facts, system: System, signal: AbortSignal): Promise<void> {
  const disks = facts
    .list()
    .filter(([kind, , property]) => kind === "disk" && property === "size")
    .map(([, name]) => name);
  const together = disks.length > 1 ? [disks] : [];
  for (const group of [...disks.map((disk) => [disk]), ...together]) {
    const manner = group.length > 1 ? "simultaneous" : "standalone";
    for (const [mode, block] of [
      ["read", "1M"],
      ["randread", "4k"],
    ] as const) {
      for (const { disk, kilobytes, operations } of await fioRead(system, {
        disks: group,
        mode,
        block,
        signal,
      })) {
        facts.add("disk", disk, `${manner}_${mode}_${block}_KBps`, String(Math.floor(kilobytes)));
        facts.add("disk", disk, `${manner}_${mode}_${block}_IOps`, String(Math.floor(operations)));
      }
    }
  }
}

type SysbenchRun = {
  readonly threads: number;
  /** Number of the processor to run on; null for any. */
  readonly processor: number | null;
  readonly signal: AbortSignal;
};

/** Events in CPU_TIME seconds. */
async function sysbenchCpu(system: System, run: SysbenchRun): Promise<number> {
  const output = await sysbench(system, run, [
    "cpu",
    `--time=${CPU_TIME}`,
    "--events=0",
    "--cpu-max-prime=15000",
  ]);
  return numberIn(output, /total number of events:\s*(\d+)/);
}

/** MiB per second. */
async function sysbenchMemory(
  system: System,
  run: SysbenchRun & { readonly block: string },
): Promise<number> {
  // The limit on what is transferred in all is one that no machine reaches in the time.
  const output = await sysbench(system, run, [
    "memory",
    `--time=${MEMORY_TIME}`,
    `--memory-block-size=${run.block}`,
    "--memory-total-size=1000T",
  ]);
  return numberIn(output, /transferred \((\d+)/);
}

async function sysbench(system: System, run: SysbenchRun, words: readonly string[]): Promise<string> {
  const pinned = run.processor === null ? [] : ["taskset", "-c", String(run.processor)];
  const argv = [...pinned, "sysbench", ...words, `--threads=${run.threads}`, "run"];
  return (await system.run(argv, { timeout: CPU_TIME + GRACE, signal: run.signal })).stdout;
}

type FioRun = {
  readonly disks: readonly string[];
  readonly mode: "read" | "randread";
  readonly block: string;
  readonly signal: AbortSignal;
};

export type FioResult = { readonly disk: string; readonly kilobytes: number; readonly operations: number };

/** All disks at the same time; what each gave per second. */
async function fioRead(system: System, { disks, mode, block, signal }: FioRun): Promise<FioResult[]> {
  const common = [
    ...["--readonly", "--ioengine=libaio", "--invalidate=1", "--iodepth=32", "--direct=1"],
    ...[`--ramp_time=${DISK_RAMP}`, `--runtime=${DISK_TIME}`, "--time_based"],
    ...[`--bs=${block}`, `--rw=${mode}`, "--output-format=json"],
  ];
  const jobs = disks.flatMap((disk) => [`--name=${disk}`, `--filename=/dev/${disk}`]);
  const { stdout } = await system.run(["fio", ...common, ...jobs], {
    timeout: DISK_RAMP + DISK_TIME + GRACE,
    maxOutput: 16 * 2 ** 20,
    signal,
  });
  return parseFio(stdout);
}

/** @throws BenchmarkError if it is not fio's JSON */
export function parseFio(text: string): FioResult[] {
  const jobs = member(parseObject(text), "jobs");
  if (!Array.isArray(jobs)) throw new BenchmarkError("fio told no results");
  return jobs.flatMap((job) => {
    const disk = member(job, "jobname");
    const [kilobytes, operations] = [member(member(job, "read"), "bw"), member(member(job, "read"), "iops")];
    if (typeof disk !== "string" || typeof kilobytes !== "number" || typeof operations !== "number")
      return [];
    return [{ disk, kilobytes, operations }];
  });
}

function parseObject(text: string): JsonObject | null {
  try {
    // Warnings may stand in front of it.
    const value: unknown = JSON.parse(text.slice(Math.max(0, text.indexOf("{"))));
    return isJsonObject(value) ? value : null;
  } catch {
    return null; // not JSON: the caller reports it
  }
}

function numberIn(output: string, pattern: RegExp): number {
  const digits = pattern.exec(output)?.[1];
  if (digits === undefined) throw new BenchmarkError(`sysbench told no result: ${output.trim().slice(-200)}`);
  return Number(digits);
}

/** The processor with the lowest number of each socket. */
async function firstOfEachSocket(system: System): Promise<number[]> {
  const cpus = "/sys/devices/system/cpu";
  const first = new Map<string, number>();
  const numbers = (await system.files.list(cpus)).flatMap((name) => /^cpu(\d+)$/.exec(name)?.[1] ?? []);
  for (const processor of numbers.map(Number).sort((left, right) => left - right)) {
    const socket = await system.files.readAttribute(`${cpus}/cpu${processor}/topology/physical_package_id`);
    if (socket !== null && !first.has(socket)) first.set(socket, processor);
  }
  return [...first.values()];
}

function logicalProcessors(facts: Facts): number {
  return Number(facts.find("cpu", "logical", "number") ?? 1);
}

/** A value of /proc/cpuinfo without its blanks. */
async function cpuInfo(system: System, processor: number, key: string): Promise<string | null> {
  const text = await system.files.readText("/proc/cpuinfo", 64 * 2 ** 20);
  const paragraph = text
    .split("\n\n")
    .find((part) => new RegExp(`^processor\\s*: ${processor}$`, "m").test(part));
  const line = paragraph?.split("\n").find((candidate) => candidate.startsWith(key));
  return line?.split(":")[1]?.replaceAll(" ", "") ?? null;
}

/** Bytes. */
async function freeMemory(system: System): Promise<number> {
  const meminfo = (await system.files.readAttribute("/proc/meminfo")) ?? "";
  return Number(/^MemFree:\s*(\d+) kB$/m.exec(meminfo)?.[1] ?? 0) * 1024;
}
