// Deploys with the real Ironic and a BMC, instead of the embedded conductor: the same machine, image and config drive, and
// the same phases, read off Ironic's view of the node.

import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { bmcQemuArguments } from "../ironic/bmc.ts";
import { Ironic } from "../ironic/ironic.ts";
import { ManagedNode } from "../ironic/managed-node.ts";
import { type AgentFacts, type Deployment, type Driver, type Excerpt, fingerprintOf } from "./driver.ts";
import type { Phases } from "./phases.ts";

const BMC_INDEX = 0;
const COMPLAINTS = 12;
const BUILD_RAID = ["delete_configuration", "create_configuration"].map((step) => ({
  interface: "raid",
  step,
}));

export class IronicDriver implements Driver {
  readonly name = "Ironic";
  readonly qemuArguments = bmcQemuArguments(BMC_INDEX);
  readonly #timeout: number;
  readonly #resources = new AsyncDisposableStack();
  #ironic: Ironic | null = null;

  /** `timeout` in milliseconds, for the deployment. */
  constructor(timeout: number) {
    this.#timeout = timeout;
  }

  async deploy(deployment: Deployment, phases: Phases, signal: AbortSignal): Promise<AgentFacts> {
    const { machine, ramdisk, kernelParameters, address, image, configDrive, raid } = deployment;
    phases.begin("Ironic");
    const ironic = this.#resources.use(
      await Ironic.start({
        address,
        directory: join(deployment.directory, "ironic"),
        bootFiles: [dirname(ramdisk.kernel), dirname(ramdisk.initrd)],
        signal,
      }),
    );
    this.#ironic = ironic;
    const node = this.#resources.use(
      await ManagedNode.enrol({
        ironic,
        machine,
        ramdisk,
        index: BMC_INDEX,
        address,
        uuid: deployment.node.uuid,
        name: deployment.node.name,
        firmware: deployment.bootMode,
        macs: deployment.node.macs,
        ...(kernelParameters.length === 0
          ? {}
          : { driverInfo: { kernel_append_params: ["%default%", ...kernelParameters].join(" ") } }),
        phases,
        signal,
      }),
    );
    if (raid !== null) {
      await ironic.client.setTargetRaidConfig(node.uuid, raid);
      await node.clean(BUILD_RAID, { timeout: this.#timeout });
    }
    await node.provide({ clean: false, timeout: this.#timeout });
    await node.deploy({ image, configDrive, timeout: this.#timeout });
    const { agent } = node;
    if (agent === null) throw new Error("The node is active, but no agent has ever called.");
    const { version, url, certificateFile } = agent;
    return {
      version,
      url,
      fingerprint: certificateFile === null ? null : fingerprintOf(await readFile(certificateFile, "utf8")),
    };
  }

  excerpts(): readonly Excerpt[] {
    if (this.#ironic === null) return [];
    return [{ title: "The conductor's last complaints", text: this.#ironic.complaints(COMPLAINTS) }];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}
