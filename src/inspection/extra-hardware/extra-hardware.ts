// The collector extra-hardware: the facts that the reference gets from the program hardware-detect, made here
// so that the ramdisk needs no Python. Left out are the parts for the command line tools of single vendors'
// RAID controllers. Rules: control-plane specification 8.3, hardware specification 11.

import type { Collector } from "../collector.ts";
import { runBenchmarks } from "./benchmarks.ts";
import { addBmc } from "./bmc.ts";
import { addDisks } from "./disks.ts";
import { Facts } from "./facts.ts";
import { addMachine } from "./machine.ts";
import { addOperatingSystem } from "./operating-system.ts";
import { addProcessors } from "./processors.ts";

/** @throws what lshw and lscpu fail with; BenchmarkError */
export const collectExtraHardware: Collector = async ({ system, config, managers, earlier, signal }) => {
  const parts: readonly ((facts: Facts) => Promise<void>)[] = [
    (facts) => addDisks(facts, system),
    async (facts) => addMachine(facts, system, await managers.lshw.tree()),
    (facts) => addProcessors(facts, system),
    (facts) => addOperatingSystem(facts, system),
    (facts) => addBmc(facts, system),
  ];
  const collected = await Promise.all(
    parts.map(async (add) => {
      const facts = new Facts();
      await add(facts);
      return facts;
    }),
  );
  const all = Facts.join(collected);
  const benchmarks = config.get("inspection_benchmarks");
  if (benchmarks.length > 0) {
    // Other collectors at work would be measured with them.
    await earlier;
    await runBenchmarks(all, system, benchmarks, signal);
  }
  return { data: all.list() };
};
