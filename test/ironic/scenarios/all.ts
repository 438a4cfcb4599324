// Every scenario, in the order in which a full run plays them.

import type { Scenario } from "../scenario.ts";
import { cleanLeftovers } from "./clean.ts";
import { deployments } from "./deploy.ts";
import { imageServerDies, noRootDevice, wrongChecksum } from "./failures.ts";
import { deployAgain, tlsRequired, twoAtOnce } from "./lifecycle.ts";
import { partitionImages } from "./partition-image.ts";
import { agentRestarted, conductorRestarted } from "./restarts.ts";

export const SCENARIOS: readonly Scenario[] = [
  cleanLeftovers,
  ...deployments,
  ...partitionImages,
  deployAgain,
  wrongChecksum,
  noRootDevice,
  imageServerDies,
  tlsRequired,
  agentRestarted,
  conductorRestarted,
  twoAtOnce,
];
