// What the tests of the RAID steps share: a step's context and the hardware layer's answers, on a RaidMachine.

import { Config } from "../../src/config/config.ts";
import type { OptionValues } from "../../src/config/options.ts";
import type { JsonObject } from "../../src/json.ts";
import type { Progress } from "../../src/progress.ts";
import type { RaidContext, RaidHost } from "../../src/steps/raid-host.ts";
import type { RaidMachine } from "./raid-machine.ts";

export type RaidHarness = {
  readonly context: RaidContext;
  readonly host: RaidHost;
  readonly reports: Progress[];
  /** What was said of new arrays: `/dev/md0 true`. */
  readonly volumes: string[];
};

/** Hints are `{name: "/dev/sda"}` or `{size: …}`, which matches every disk. */
export function harness(
  machine: RaidMachine,
  node: JsonObject = {},
  options: Partial<OptionValues> = {},
  spared: ReadonlySet<string> = new Set(),
): RaidHarness {
  const reports: Progress[] = [];
  const volumes: string[] = [];
  return {
    context: {
      system: machine.system,
      config: Config.of(options),
      node: { uuid: "node-1", ...node },
      signal: new AbortController().signal,
      report: (progress) => void reports.push(progress),
    },
    host: {
      disks: async () => machine.disks,
      devices: async () => machine.devices,
      spared: async () => spared,
      matching: async ({ name }) => machine.disks.filter((disk) => name === undefined || name === disk),
      volumeCreated: (device, isRootVolume) => void volumes.push(`${device} ${isRootVolume}`),
      volumesDeleted: () => void volumes.splice(0),
    },
    reports,
    volumes,
  };
}

export function software(...disks: JsonObject[]): { logical_disks: JsonObject[] } {
  return { logical_disks: disks.map((disk) => ({ controller: "software", ...disk })) };
}
