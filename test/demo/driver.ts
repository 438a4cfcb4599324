// The seam between what conducts a deployment and what shows it. A driver gets the same machine, image and config
// drive whoever it is, moves the same phases, and says at the end what it learnt about the agent.

import { createHash, X509Certificate } from "node:crypto";
import type { JsonObject } from "../../src/json.ts";
import type { ConfigDriveData } from "../kit/config-drive.ts";
import type { BootMode } from "../kit/direct-deploy.ts";
import type { Machine } from "../rig/machine.ts";
import type { Ramdisk } from "../rig/ramdisk.ts";
import type { Phases } from "./phases.ts";

export interface DeployedImage {
  url: string;
  format: "raw" | "qcow2";
  sha256: string;
  virtualSizeBytes: number;
  /** Of the root file system, as the image's metadata tells it. */
  rootUuid: string;
  /** The image is a root file system, and the disk is to be divided so. */
  partitions?: { rootGiB: number; swapMiB: number };
}

export interface Deployment {
  node: { uuid: string; name: string; macs: readonly [string, ...string[]] };
  machine: Machine;
  ramdisk: Ramdisk;
  /** What the ramdisk's kernel is told beyond what the conductor says by itself. */
  kernelParameters: readonly string[];
  bootMode: BootMode;
  image: DeployedImage;
  /** Ironic's target_raid_config, to be made first; null without a RAID. */
  raid: JsonObject | null;
  configDrive: ConfigDriveData;
  /** The address in the rig's network that services listen on. */
  address: string;
  /** Where the driver may leave files that help to understand a failure. */
  directory: string;
}

/** What the agent told about itself. */
export interface AgentFacts {
  version: string;
  url: string;
  /** SHA-256 of its TLS certificate, null without TLS. */
  fingerprint: string | null;
}

export interface Excerpt {
  title: string;
  text: string;
}

export interface Driver extends AsyncDisposable {
  readonly name: string;
  /** What the driver needs the machine to have, as further arguments for QEMU. */
  readonly qemuArguments: readonly string[];
  /**
   * Deploys, phase by phase up to and with "power off", and boots the machine from its disk: "boot from disk" is
   * under way when this returns. Throws an error whose message is the node's last_error. What it has started runs until
   * the driver is disposed of.
   */
  deploy(deployment: Deployment, phases: Phases, signal: AbortSignal): Promise<AgentFacts>;
  /** What it has to say about a failure beyond the error itself: titles and last lines of its logs. */
  excerpts(): readonly Excerpt[];
}

/** SHA-256 of the certificate in DER, as `openssl x509 -fingerprint -sha256` prints it. */
export function fingerprintOf(pem: string): string {
  const { raw } = new X509Certificate(pem);
  return (createHash("sha256").update(raw).digest("hex").toUpperCase().match(/../g) ?? []).join(":");
}
