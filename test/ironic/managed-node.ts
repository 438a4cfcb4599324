// A machine in Ironic's hands: enrolled with its BMC, moved through provision states by operations, and watched while
// Ironic works. The phases are read off Ironic's own view of the node, so what they show is what an operator could see.

import type { JsonObject } from "../../src/json.ts";
import type { Phases } from "../demo/phases.ts";
import type { ConfigDriveData } from "../kit/config-drive.ts";
import { type BootedSystem, waitUntilBooted } from "../rig/booted.ts";
import type { Firmware, Machine } from "../rig/machine.ts";
import type { Ramdisk } from "../rig/ramdisk.ts";
import { type AgentMemory, agentMemory, agentProgress } from "./agent-probe.ts";
import { Bmc } from "./bmc.ts";
import { MachineChassis } from "./chassis.ts";
import { IronicUnreachable, type NodeRecord } from "./client.ts";
import type { Ironic } from "./ironic.ts";

const POLL_MS = 1000;
const MEMORY_INTERVAL_MS = 4000;
const BOOT_TIMEOUT_MS = 600_000;

const FAILED_STATES = [
  ...["clean failed", "deploy failed", "error", "inspect failed", "rescue failed", "unrescue failed"],
];

const WORKING_STATES = [
  ...["cleaning", "clean wait", "deploying", "wait call-back", "inspecting", "inspect wait"],
  ...["rescuing", "rescue wait"],
];

/** What an operation begins with, if not with power. */
const FIRST_PHASES: Readonly<Record<string, string>> = { manage: "enrol", provide: "provide" };

/** Ironic's names of steps, in the words of the demo. */
const STEP_PHASES: Readonly<Record<string, string>> = {
  write_image: "write image",
  prepare_instance_boot: "install boot loader",
  tear_down_agent: "power off",
  switch_to_tenant_network: "power off",
  boot_instance: "boot from disk",
};

export interface NodeOptions {
  ironic: Ironic;
  machine: Machine;
  ramdisk: Ramdisk;
  /** Position among the BMCs of the run; the machine was made with bmcQemuArguments() of the same. */
  index: number;
  /** Where the BMC listens. */
  address: string;
  uuid: string;
  name: string;
  firmware: Firmware;
  /** Of the machine's cards; the first one boots. */
  macs: readonly [string, ...string[]];
  /** How many of the cards Ironic is told; all unless said otherwise. */
  ports?: number | undefined;
  /** Added to the node's properties: root device hints, for example. */
  properties?: JsonObject;
  /** Added to the node's driver_info. */
  driverInfo?: JsonObject;
  phases: Phases;
  signal: AbortSignal;
}

export interface ImageReference {
  url: string;
  format: "raw" | "qcow2";
  sha256: string;
  /** Of its root file system: what a whole disk on a software RAID is made bootable with in BIOS mode. */
  rootUuid?: string;
  /** The image is a root file system, and the disk is to be divided so. */
  partitions?: PartitionSizes;
}

export interface PartitionSizes {
  rootGiB: number;
  swapMiB?: number;
  ephemeralGiB?: number;
  preserveEphemeral?: boolean;
}

export interface DeployRequest {
  image: ImageReference;
  configDrive?: ConfigDriveData;
  /** The instance's traits: each brings in the deploy template of its name. */
  traits?: readonly string[];
  /** Longest time until the node is active, in milliseconds. */
  timeout: number;
}

/** An operation that ended in a failed state; the message is the node's last_error. */
export class ProvisionFailed extends Error {
  override readonly name = "ProvisionFailed";
  readonly node: NodeRecord;

  constructor(node: NodeRecord) {
    super(`node ${node.name} is in state "${node.provision_state}": ${node.last_error}`);
    this.node = node;
  }
}

export class ManagedNode implements AsyncDisposable {
  readonly uuid: string;
  readonly name: string;
  readonly firmware: Firmware;
  readonly machine: Machine;
  /** The MAC address that its BMC says it has, to both sides. */
  readonly bmcMac: string;
  readonly phases: Phases;
  /** The last sample, with the largest peak of all its agents so far. */
  memory: AgentMemory | null = null;
  /** What Ironic knew of the agent when it called last. */
  agent: { version: string; url: string; certificateFile: string | null } | null = null;
  readonly #options: NodeOptions;
  readonly #chassis: MachineChassis;
  readonly #bmc: Bmc;
  #sampledAt = 0;
  /** In the operation under way. */
  #agentCalled = false;

  private constructor(options: NodeOptions, chassis: MachineChassis, bmc: Bmc) {
    this.#options = options;
    this.#chassis = chassis;
    this.#bmc = bmc;
    this.uuid = options.uuid;
    this.name = options.name;
    this.firmware = options.firmware;
    this.machine = options.machine;
    this.bmcMac = bmcMac(options.index);
    this.phases = options.phases;
  }

  /** Starts the BMC and brings the node to "manageable". */
  static async enrol(options: NodeOptions): Promise<ManagedNode> {
    const { ironic, machine, ramdisk, macs, index, address } = options;
    const chassis = new MachineChassis(machine, ironic.paths.httpRoot, macs[0]);
    const bmc = await Bmc.start({
      index,
      address,
      mac: bmcMac(index),
      directory: machine.directory,
      chassis,
    });
    const node = new ManagedNode(options, chassis, bmc);
    try {
      await ironic.client.createNode({
        uuid: options.uuid,
        name: options.name,
        driver: "ipmi",
        driver_info: {
          ...bmc.driverInfo,
          deploy_kernel: `file://${ramdisk.kernel}`,
          deploy_ramdisk: `file://${ramdisk.initrd}`,
          rescue_kernel: `file://${ramdisk.kernel}`,
          rescue_ramdisk: `file://${ramdisk.initrd}`,
          ...options.driverInfo,
        },
        properties: {
          cpu_arch: "x86_64",
          capabilities: `boot_mode:${options.firmware},boot_option:local`,
          ...options.properties,
        },
      });
      for (const [position, address] of macs.slice(0, options.ports).entries()) {
        await ironic.client.createPort({ node_uuid: options.uuid, address, pxe_enabled: position === 0 });
      }
      await node.#operate("manage", "manageable", {}, 60_000);
      return node;
    } catch (error) {
      await node[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** From "manageable" to "available", with automated cleaning unless told otherwise. */
  async provide(options: { clean: boolean; timeout: number }): Promise<void> {
    await this.patch("/automated_clean", options.clean);
    await this.#operate("provide", "available", {}, options.timeout);
  }

  /** From "available" to "active". The machine then boots from its disk; see booted(). */
  async deploy(request: DeployRequest): Promise<void> {
    await this.#instanceInfo(request);
    await this.#operate("active", "active", configDriveOf(request), request.timeout);
  }

  /** Writes the image again, to a node that is "active" or in "deploy failed". */
  async rebuild(request: DeployRequest): Promise<void> {
    await this.#instanceInfo(request);
    await this.#operate("rebuild", "active", configDriveOf(request), request.timeout);
  }

  /** Back to "available", through automated cleaning unless the node was provided without. */
  async undeploy(options: { timeout: number }): Promise<void> {
    await this.#operate("deleted", "available", {}, options.timeout);
  }

  /** Runs steps by hand on a node that is "manageable", which it is again afterwards. */
  async clean(steps: readonly JsonObject[], options: { timeout: number }): Promise<void> {
    await this.#operate("clean", "manageable", { clean_steps: [...steps] }, options.timeout);
  }

  /** Ends a cleaning under way, as an operator does; clean() then throws ProvisionFailed. */
  async abort(): Promise<void> {
    await this.#options.ironic.client.provision(this.uuid, "abort");
  }

  /** Back to "manageable" after a cleaning that failed or was aborted. */
  async manage(): Promise<void> {
    await this.#options.ironic.client.setMaintenance(this.uuid, false);
    await this.#operate("manage", "manageable", {}, 60_000);
  }

  /** Has ironic-inspector look at a node that is "manageable", which it is again afterwards. */
  async inspect(options: { timeout: number }): Promise<void> {
    await this.#operate("inspect", "manageable", {}, options.timeout);
  }

  /** From "active" to "rescue": the machine runs the ramdisk, where the user "rescue" may log in. */
  async rescue(password: string, options: { timeout: number }): Promise<void> {
    await this.#operate("rescue", "rescue", { rescue_password: password }, options.timeout);
  }

  /** Back to "active". The machine boots from its disk; see booted(). */
  async unrescue(options: { timeout: number }): Promise<void> {
    await this.#operate("unrescue", "active", {}, options.timeout);
  }

  /** Waits until the deployed system has said that it is this node's, booted the right way. */
  async booted(): Promise<BootedSystem> {
    const booted = await waitUntilBooted(
      this.machine,
      { uuid: this.uuid, boot: this.firmware },
      { timeout: BOOT_TIMEOUT_MS, signal: this.#options.signal },
    );
    this.phases.end(booted.text);
    return booted;
  }

  /** Ironic's view of the node. */
  async record(): Promise<NodeRecord> {
    return await this.#options.ironic.client.node(this.uuid);
  }

  /** What Ironic has recorded of the node's troubles, oldest first, one line each. */
  async history(): Promise<string[]> {
    const events = await this.#options.ironic.client.history(this.uuid);
    return events.map(({ severity, event_type, event }) => `${severity} ${event_type}: ${event}`);
  }

  async patch(path: string, value: JsonObject[string]): Promise<void> {
    await this.#options.ironic.client.patchNode(this.uuid, [{ op: "add", path, value }]);
  }

  /** Takes the BMC away, switches the machine off and takes the node out of Ironic, whatever state it is in. */
  async [Symbol.asyncDispose](): Promise<void> {
    // In this order, or an order to switch on that is under way comes after the machine was switched off.
    await this.#bmc[Symbol.asyncDispose]();
    await this.#chassis.idle;
    await this.machine.powerOff();
    if (this.#options.signal.aborted) return;
    try {
      // A node without its BMC would be asked for its power state for the rest of the run.
      await this.#options.ironic.client.deleteNode(this.uuid);
    } catch (error) {
      // Other nodes have other names: what is left of this one harms nobody, but somebody may want to know.
      this.phases.note(`is still in Ironic: ${error instanceof Error ? error.message : error}`);
    }
  }

  async #instanceInfo({ image, traits }: DeployRequest): Promise<void> {
    const info = {
      image_source: image.url,
      image_disk_format: image.format,
      image_os_hash_algo: "sha256",
      image_os_hash_value: image.sha256,
      ...(traits === undefined ? {} : { traits: [...traits] }),
      ...(image.rootUuid === undefined ? {} : { image_rootfs_uuid: image.rootUuid }),
      ...(image.partitions === undefined ? {} : partitionInfo(image.partitions)),
    };
    await this.patch("/instance_info", info);
  }

  async #operate(target: string, goal: string, more: JsonObject, timeout: number): Promise<void> {
    const { client } = this.#options.ironic;
    this.phases.begin(FIRST_PHASES[target] ?? "power on");
    this.#agentCalled = false;
    await client.provision(this.uuid, target, more);
    const deadline = Date.now() + timeout;
    for (;;) {
      this.#options.signal.throwIfAborted();
      const node = await this.#look();
      if (node !== null) {
        if (node.provision_state === goal) break;
        if (FAILED_STATES.includes(node.provision_state)) throw new ProvisionFailed(node);
        if (target === "manage" && node.provision_state === "enroll" && node.last_error !== null) {
          throw new ProvisionFailed(node);
        }
        if (this.#chassis.failure !== null) throw this.#chassis.failure;
        await this.#show(node);
      }
      if (Date.now() > deadline) {
        const state = node === null ? "not to be seen" : `in state "${node.provision_state}"`;
        throw new Error(`node ${this.name} is ${state} after ${timeout / 1000} s, not "${goal}"`);
      }
      await Bun.sleep(POLL_MS);
    }
    // The last phase of a deployment is under way until the deployed system says so.
    if (goal !== "active") this.phases.end();
    else if (this.phases.current !== "boot from disk") this.phases.begin("boot from disk");
  }

  /** Null while Ironic is being restarted. */
  async #look(): Promise<NodeRecord | null> {
    try {
      return await this.record();
    } catch (error) {
      if (error instanceof IronicUnreachable) return null;
      throw error;
    }
  }

  async #show(node: NodeRecord): Promise<void> {
    const { agent_url, agent_version, agent_verify_ca } = node.driver_internal_info;
    if (typeof agent_url === "string") {
      this.#agentCalled = true;
      this.agent = {
        url: agent_url,
        version: String(agent_version),
        certificateFile: typeof agent_verify_ca === "string" ? agent_verify_ca : null,
      };
    }
    const phase = this.#phaseOf(node);
    if (phase !== null && phase !== this.phases.current) this.phases.begin(phase);
    if (phase === "write image" && typeof agent_url === "string") {
      const progress = await agentProgress(agent_url);
      if (progress !== null) this.phases.progress(progress);
    }
    if (typeof agent_url === "string") await this.#sampleMemory();
  }

  /** Null while nothing is done that deserves a name. */
  #phaseOf(node: NodeRecord): string | null {
    if (!WORKING_STATES.includes(node.provision_state)) return null;
    const step = node.deploy_step.step ?? node.clean_step.step;
    if (typeof step === "string" && step !== "deploy") return STEP_PHASES[step] ?? step;
    if (typeof node.driver_internal_info.agent_url === "string") return "agent's steps";
    // Ironic forgets the agent when it switches the machine off at the end.
    if (this.#agentCalled) return "power off";
    return this.#chassis.powered() && this.#chassis.lastBoot === "ramdisk" ? "agent starts" : null;
  }

  async #sampleMemory(): Promise<void> {
    if (Date.now() - this.#sampledAt < MEMORY_INTERVAL_MS || this.#chassis.lastBoot !== "ramdisk") return;
    this.#sampledAt = Date.now();
    const sample = await agentMemory(this.machine);
    if (sample === null) return;
    this.memory = { ...sample, peakKiB: Math.max(sample.peakKiB, this.memory?.peakKiB ?? 0) };
  }
}

function configDriveOf({ configDrive }: DeployRequest): JsonObject {
  return configDrive === undefined ? {} : { configdrive: configDrive as JsonObject };
}

function bmcMac(index: number): string {
  return `52:54:00:bc:00:${index.toString(16).padStart(2, "0")}`;
}

/** Ironic's words for the partitions around a root file system. */
function partitionInfo(sizes: PartitionSizes): JsonObject {
  const { rootGiB, swapMiB = 0, ephemeralGiB = 0, preserveEphemeral = false } = sizes;
  return {
    ...{ image_type: "partition", root_gb: rootGiB, swap_mb: swapMiB, ephemeral_gb: ephemeralGiB },
    preserve_ephemeral: preserveEphemeral,
  };
}
