// The language of the scenarios. A scenario enrols machines, runs operations of Ironic on them and asserts on what Ironic,
// the disk and the console say; everything it does not say has a default.

import { mkdir, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { JsonObject } from "../../src/json.ts";
import { Phases, type Screen } from "../demo/phases.ts";
import type { ImageServer } from "../kit/image-server.ts";
import { buildChangedAgent, type Change } from "../rig/executable.ts";
import { type DiskBus, type DiskOptions, type Firmware, Machine } from "../rig/machine.ts";
import { composeRamdisk, type Ramdisk, type RamdiskFile } from "../rig/ramdisk.ts";
import { bmcQemuArguments } from "./bmc.ts";
import type { Configuration } from "./configuration.ts";
import { Inspector } from "./inspector.ts";
import { type DeployRequest, ManagedNode, type PartitionSizes } from "./managed-node.ts";
import type { Site } from "./site.ts";
import { StageNode, USER_DATA_OUTPUT } from "./stage-node.ts";

const GIB = 1024 ** 3;
const MINUTE = 60_000;

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
  /** How many of the cards Ironic is told; all unless said otherwise. */
  ports?: number;
  properties?: JsonObject;
  driverInfo?: JsonObject;
  /** Changes in the sources of the agent in its ramdisk. */
  changedAgent?: readonly Change[];
  /** Files of the ramdisk beside the agent: its configuration, plug-ins. */
  files?: readonly RamdiskFile[];
  /** Kernel parameters of the ramdisk beside Ironic's own. */
  kernelParameters?: string;
}

export interface DiskRequest {
  bus: DiskBus;
  /** 8 unless said otherwise. */
  sizeGiB?: number;
  /** A file with leftovers instead of an empty disk, used in place. */
  file?: string;
  /** World Wide Name of a SATA or SCSI disk. */
  wwn?: string;
}

export interface DeployOptions {
  format?: "raw" | "qcow2";
  /** Deploys the image's root file system alone, into partitions of these sizes. */
  partitions?: PartitionSizes;
  /** Instead of the site's server. */
  server?: ImageServer;
  /** Instead of the right checksum. */
  sha256?: string;
  /** The instance's traits: each brings in the deploy template of its name. */
  traits?: readonly string[];
  /** Further lines of the user data, which is a shell script. */
  userData?: string;
  /** Longest time until active, minutes. */
  minutes?: number;
}

/** Where a ramdisk's agent looks for its configuration and for plug-ins. */
export const AGENT_CONFIGURATION = "/etc/ironic-python-agent.d";
export const AGENT_PLUGINS = `${AGENT_CONFIGURATION}/hardware-managers`;

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
      ramdisk: await this.#ramdisk(request, directory),
      index,
      address: site.network.address,
      uuid,
      name,
      firmware,
      macs: macs as [string, ...string[]],
      ports: request.ports,
      properties: request.properties ?? {},
      driverInfo: {
        ...(request.kernelParameters === undefined
          ? {}
          : { kernel_append_params: `%default% ${request.kernelParameters}` }),
        ...request.driverInfo,
      },
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

  /** Writes a file beside the machines and returns its path. */
  async file(name: string, content: string): Promise<string> {
    const path = join(this.directory, name);
    await writeFile(path, content);
    return path;
  }

  /** ironic-inspector beside Ironic, until the end of the block. */
  async inspector(changes: Configuration = {}): Promise<Inspector> {
    const { network, signal } = this.site;
    return await Inspector.start({
      address: network.address,
      directory: join(this.directory, "inspector"),
      changes,
      signal,
    });
  }

  /** A deploy template, until the end of the block: its steps run where an instance has the trait of its name. */
  async deployTemplate(name: string, steps: readonly JsonObject[]): Promise<AsyncDisposable> {
    const { ironic, signal } = this.site;
    await ironic.client.createDeployTemplate(name, steps);
    return {
      [Symbol.asyncDispose]: async () => {
        if (!signal.aborted) await ironic.client.deleteDeployTemplate(name);
      },
    };
  }

  /** What Ironic needs to know to deploy the site's image. */
  deployRequest(options: DeployOptions): DeployRequest {
    const { image, images } = this.site;
    const format = options.format ?? "raw";
    const file = options.partitions === undefined ? image[format] : image.root;
    return {
      image: {
        url: (options.server ?? images).urlOf(basename(file.file)),
        format,
        sha256: options.sha256 ?? file.sha256,
        rootUuid: image.rootUuid,
        ...(options.partitions === undefined ? {} : { partitions: options.partitions }),
      },
      configDrive: {
        meta_data: { hostname: "deployed" },
        user_data: `#!/bin/sh\n${options.userData ?? ""}\necho ${USER_DATA_OUTPUT}\n`,
      },
      ...(options.traits === undefined ? {} : { traits: options.traits }),
      timeout: (options.minutes ?? 15) * MINUTE,
    };
  }

  /** The site's ramdisk, or one of this machine's own with further files or another agent in it. */
  async #ramdisk({ files, changedAgent }: MachineRequest, directory: string): Promise<Ramdisk> {
    const { site } = this;
    if (files === undefined && changedAgent === undefined) return site.ramdisk;
    const own = join(directory, "ironic-python-agent");
    if (changedAgent !== undefined) await buildChangedAgent(own, directory, changedAgent, site.signal);
    return await composeRamdisk(site.ramdiskBase, {
      agent: changedAgent === undefined ? site.agent : own,
      files: files ?? [],
      output: join(directory, "initrd"),
    });
  }

  /** Takes the machines away and the nodes out of Ironic, so that no scenario sees another one's. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { managed } of this.nodes) await managed[Symbol.asyncDispose]();
  }
}

function diskOptions({ bus, sizeGiB, file, wwn }: DiskRequest, index: number): DiskOptions {
  const serial = `RIG${index.toString().padStart(4, "0")}`;
  return {
    bus,
    serial,
    ...(wwn === undefined ? {} : { wwn }),
    ...(file === undefined ? { sizeBytes: (sizeGiB ?? 8) * GIB } : { file }),
  };
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
