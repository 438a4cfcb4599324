// Every scenario, in the order in which a full run plays them: contract 10.66.

import type { Scenario } from "../scenario.ts";
import { certificateRenewed, manualCertificate, tokenRefused } from "./agent-api.ts";
import { cleanLeftovers } from "./clean.ts";
import { deployments } from "./deploy.ts";
import { eraseDevices } from "./erase.ts";
import { imageServerDies, noRootDevice, wrongChecksum } from "./failures.ts";
import { fastTrack } from "./fast-track.ts";
import { everyCollector, inspection } from "./inspection.ts";
import { deployAgain, tlsRequired, twoAtOnce } from "./lifecycle.ts";
import { ramdiskLogs } from "./logs.ts";
import { partitionImages, preserveEphemeral } from "./partition-image.ts";
import { pluginSteps, versionMismatch } from "./plugins.ts";
import { powerCut } from "./power-cut.ts";
import { raid, raid10, raidTemplate } from "./raid.ts";
import { newDisks } from "./raid-new-disk.ts";
import { rescue } from "./rescue.ts";
import { agentByHand, agentRestarted, conductorRestarted, ironicDown } from "./restarts.ts";
import { rootDeviceHints } from "./root-device-hints.ts";

export const SCENARIOS: readonly Scenario[] = [
  cleanLeftovers,
  ...deployments,
  ...partitionImages,
  preserveEphemeral,
  deployAgain,
  wrongChecksum,
  noRootDevice,
  imageServerDies,
  powerCut,
  tlsRequired,
  agentRestarted,
  conductorRestarted,
  twoAtOnce,
  inspection,
  everyCollector,
  rootDeviceHints,
  ramdiskLogs,
  fastTrack,
  rescue,
  raid,
  raidTemplate,
  raid10,
  ...newDisks,
  eraseDevices,
  pluginSteps,
  versionMismatch,
  tokenRefused,
  manualCertificate,
  certificateRenewed,
  ironicDown,
  agentByHand,
];
