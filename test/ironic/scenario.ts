// The language of the scenarios. A scenario enrols machines, runs operations of Ironic on them and asserts on what Ironic,
// the disk and the console say; everything it does not say has a default.

import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { JsonObject } from "../../src/json.ts";
import { Phases, type Screen } from "../demo/phases.ts";
import type { ImageServer } from "../kit/image-server.ts";
import type { BootedSystem } from "../rig/booted.ts";
import { type DiskBus, type DiskOptions, type Firmware, Machine } from "../rig/machine.ts";
import { bmcQemuArguments } from "./bmc.ts";
import type { Configuration } from "./configuration.ts";
import { partitionTableProblems, signaturesOn } from "./disk-content.ts";
import { type DeployRequest, ManagedNode, ProvisionFailed } from "./managed-node.ts";
import type { Site } from "./site.ts";

const GIB = 1024 ** 3;
const MINUTE = 60_000;
const PHASE_POLL_MS = 200;
const USER_DATA_OUTPUT = "user data has run";

export interface Scenario {
  /** Unique; what the command line chooses by. */
  name: string;
  /** One line for people. */
  about: string;
  run(stage: Stage): Promise<void>;
}

export interface MachineRequest {
  /** bios unless said otherwise. */
  firmware?: Firmware;
  /** One virtio disk of 8 GiB unless said otherwise. */
  disks?: readonly DiskRequest[];
  /** Network cards, 2 unless said otherwise; the first one boots. */
  nics?: number;
  properties?: JsonObject;
}

export interface DiskRequest {
  bus: DiskBus;
  /** 8 unless said otherwise. */
  sizeGiB?: number;
  /** A file with leftovers instead of an empty disk, used in place. */
  file?: string;
}

export interface DeployOptions {
  format?: "raw" | "qcow2";
  /** Instead of the site's server. */
  server?: ImageServer;
  /** Instead of the right checksum. */
  sha256?: string;
  /** Longest time until active, minutes. */
  minutes?: number;
}

/** Where one scenario plays: makes its machines and takes them away afterwards. */
export class Stage implements AsyncDisposable {
  readonly site: Site;
  readonly directory: string;
  readonly nodes: StageNode[] = [];
  readonly #name: string;
  readonly #screen: Screen;

  constructor(site: Site, name: string, directory: string, screen: Screen) {
    this.site = site;
    this.directory = directory;
    this.#name = name;
    this.#screen = screen;
  }

  /** A machine that Ironic knows and can switch; its node is "manageable". */
  async enrol(request: MachineRequest = {}): Promise<StageNode> {
    const { site } = this;
    const index = site.nextIndex();
    const directory = join(this.directory, `machine-${this.nodes.length}`);
    await mkdir(directory, { recursive: true });
    const firmware = request.firmware ?? "bios";
    const uuid = crypto.randomUUID();
    const name = `${this.#name}-${this.nodes.length}`;
    const macs = Array.from({ length: request.nics ?? 2 }, (_, card) => macOf(index, card));
    const nics = [];
    for (const mac of macs) nics.push({ mac, tap: await site.network.addTap() });
    const machine = await Machine.create({
      name,
      directory,
      firmware,
      memoryMiB: 2048,
      cpus: 2,
      disks: (request.disks ?? [{ bus: "virtio" }]).map(diskOptions),
      nics,
      smbios: { manufacturer: "Ironic agent rig", product: "Emulated machine", serial: name, uuid },
      qemuArguments: bmcQemuArguments(index),
    });
    const node = await ManagedNode.enrol({
      ironic: site.ironic,
      machine,
      ramdisk: site.ramdisk,
      index,
      address: site.network.address,
      uuid,
      name,
      firmware,
      macs: macs as [string, ...string[]],
      ...(request.properties === undefined ? {} : { properties: request.properties }),
      phases: new Phases(prefixed(this.#screen, name)),
      signal: site.signal,
    });
    const staged = new StageNode(this, node);
    this.nodes.push(staged);
    return staged;
  }

  /** Restarts Ironic with other options, until the end of the block. */
  async configured(changes: Configuration): Promise<AsyncDisposable> {
    const { ironic, signal } = this.site;
    await ironic.restart(changes);
    return {
      [Symbol.asyncDispose]: async () => {
        if (!signal.aborted) await ironic.restart();
      },
    };
  }

  /** What Ironic needs to know to deploy the site's image. */
  deployRequest(options: DeployOptions): DeployRequest {
    const { image, images } = this.site;
    const format = options.format ?? "raw";
    const file = image[format];
    return {
      image: {
        url: (options.server ?? images).urlOf(basename(file.file)),
        format,
        sha256: options.sha256 ?? file.sha256,
      },
      configDrive: {
        meta_data: { hostname: "deployed" },
        user_data: `#!/bin/sh\necho ${USER_DATA_OUTPUT}\n`,
      },
      timeout: (options.minutes ?? 15) * MINUTE,
    };
  }

  /** Takes the machines away and the nodes out of Ironic, so that no scenario sees another one's. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { managed } of this.nodes) await managed[Symbol.asyncDispose]();
  }
}

/** A node of a scenario, with the words that scenarios are written in. */
export class StageNode {
  readonly managed: ManagedNode;
  readonly #stage: Stage;

  constructor(stage: Stage, managed: ManagedNode) {
    this.#stage = stage;
    this.managed = managed;
  }

  /** To "available" through automated cleaning. */
  async clean(minutes = 10): Promise<void> {
    await this.managed.provide({ clean: true, timeout: minutes * MINUTE });
  }

  /** To "available" as it is. */
  async provide(): Promise<void> {
    await this.managed.provide({ clean: false, timeout: MINUTE });
  }

  /** Deploys and waits until the deployed system has said that it is this node's. */
  async deploy(options: DeployOptions = {}): Promise<BootedSystem> {
    await this.managed.deploy(this.#stage.deployRequest(options));
    return await this.#booted();
  }

  /** Deploys, and it has to fail with a last_error that matches all of `reasons`. */
  async failsToDeploy(options: DeployOptions, ...reasons: readonly RegExp[]): Promise<void> {
    try {
      await this.managed.deploy(this.#stage.deployRequest(options));
    } catch (error) {
      if (!(error instanceof ProvisionFailed)) throw error;
      this.managed.phases.fail(`as it has to: ${error.node.last_error}`);
      for (const reason of reasons)
        check(reason.test(error.node.last_error ?? ""), `last_error says ${reason}`, error.message);
      return;
    }
    throw new Error(`node ${this.managed.name} is active, but its deployment had to fail`);
  }

  /** Writes the image again and waits for the system as deploy() does. */
  async rebuild(options: DeployOptions = {}): Promise<BootedSystem> {
    await this.managed.rebuild(this.#stage.deployRequest(options));
    return await this.#booted();
  }

  /** Back to "available" through automated cleaning. */
  async undeploy(minutes = 10): Promise<void> {
    await this.managed.patch("/automated_clean", true);
    await this.managed.undeploy({ timeout: minutes * MINUTE });
  }

  /** Runs an operation, and beside it `action` as soon as the operation has come to a phase. */
  async when(phase: string, operation: () => Promise<unknown>, action: () => Promise<void>): Promise<void> {
    const over = new AbortController();
    const act = async () => {
      while (this.managed.phases.current !== phase) await sleep(PHASE_POLL_MS, undefined, over);
      await action();
    };
    const acting = act();
    try {
      await Promise.all([operation(), acting]);
    } finally {
      // An operation that failed before the phase leaves nothing to wait for; an action under way is waited for.
      over.abort();
      await Promise.allSettled([acting]);
    }
  }

  /** The system is this node's, has run its user data, and Ironic has nothing to complain about. */
  async #booted(): Promise<BootedSystem> {
    const booted = await this.managed.booted();
    // User data runs before the system says that it is up.
    await this.managed.machine.waitForConsole(new RegExp(USER_DATA_OUTPUT), { timeout: 0 });
    for (const disk of this.managed.machine.diskFiles) {
      if (!(await signaturesOn(disk)).includes("gpt")) continue;
      const problems = await partitionTableProblems(disk);
      check(problems === null, "the deployed disk's partition table is whole", String(problems));
    }
    const { power_state, last_error, maintenance } = await this.managed.record();
    check(power_state === "power on", "Ironic sees the machine on", String(power_state));
    check(last_error === null && !maintenance, "Ironic sees no error", String(last_error));
    return booted;
  }
}

/** Throws with what was expected and what was seen. */
export function check(condition: boolean, expected: string, seen: string): asserts condition {
  if (!condition) throw new Error(`expected that ${expected}; seen: ${seen}`);
}

function diskOptions({ bus, sizeGiB, file }: DiskRequest, index: number): DiskOptions {
  const serial = `RIG${index.toString().padStart(4, "0")}`;
  return { bus, serial, ...(file === undefined ? { sizeBytes: (sizeGiB ?? 8) * GIB } : { file }) };
}

/** Locally administered, the same for the same machine of a run. */
function macOf(index: number, card: number): string {
  const hex = (value: number) => value.toString(16).padStart(2, "0");
  return `52:54:00:1b:${hex(index)}:${hex(card)}`;
}

/** Several machines write their lines into one place. */
function prefixed(screen: Screen, name: string): Screen {
  return { write: (text) => screen.write(text.replace(/^(?=.)/gm, `  ${name}: `)) };
}
