// What the steps of software RAID need from the hardware layer, which stands above them: the machine's disks, and a place to remember
// which array the operating system is to go to.

import type { JsonObject } from "../json.ts";
import type { StepContext } from "./step.ts";

export type RaidContext = Pick<StepContext, "system" | "config" | "node" | "signal" | "report">;

export type RaidHost = {
  /** Paths of whole disks and arrays, in the order of the listing. */
  readonly disks: () => Promise<readonly string[]>;
  /** The same with the partitions after them. */
  readonly devices: () => Promise<readonly string[]>;
  /** Devices, and partitions on them, that the operator wants left alone whatever is on them. @throws DeviceNotFound */
  readonly spared: (node: JsonObject) => Promise<ReadonlySet<string>>;
  /** Those of `disks` that satisfy all the root device hints. @throws SoftwareRAIDError if the hints are wrong */
  readonly matching: (hints: JsonObject) => Promise<readonly string[]>;
  /** An array was made and the operator said whether it is for the operating system. */
  readonly volumeCreated: (device: string, isRootVolume: boolean) => void;
  /** What was said of earlier arrays is void. */
  readonly volumesDeleted: () => void;
};
