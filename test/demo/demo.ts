// The run itself, top to bottom: build what the machine boots and what it gets, give it a network, let a driver deploy
// it, and wait until the deployed system says who it is.

import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { JsonObject } from "../../src/json.ts";
import { ImageServer } from "../kit/image-server.ts";
import { waitUntilBooted } from "../rig/booted.ts";
import { buildAgent } from "../rig/executable.ts";
import { type DemoImage, demoImage, type ImageFile } from "../rig/image.ts";
import { largeImage } from "../rig/large-image.ts";
import { Machine } from "../rig/machine.ts";
import { Network } from "../rig/network.ts";
import { type BaseOptions, composeRamdisk, minimalRamdiskBase, type Ramdisk } from "../rig/ramdisk.ts";
import type { Driver } from "./driver.ts";
import type { DemoOptions } from "./options.ts";
import type { Phases } from "./phases.ts";
import type { Figures } from "./report.ts";

const GIB = 1024 ** 3;
const DISK_BYTES = 8 * GIB;
/** Smaller ones are in sync sooner; the array has to have 4 GiB to be found as the root device. */
const RAID_DISK_BYTES = 6 * GIB;
const RAID_SERIALS = ["DEMO0001", "DEMO0002"] as const;
const MACS = ["52:54:00:de:30:01", "52:54:00:de:30:02"] as const;

export interface DemoRun {
  options: DemoOptions;
  driver: Driver;
  phases: Phases;
  directory: string;
  signal: AbortSignal;
}

export async function runDemo({ options, driver, phases, directory, signal }: DemoRun): Promise<Figures> {
  const building = { fresh: options.fresh, report: (line: string) => phases.progress(line), signal };

  const { ramdisk, agentBytes } =
    options.ramdisk === null
      ? await ownRamdisk(building, { directory, phases, signal })
      : { ramdisk: options.ramdisk, agentBytes: null };
  const { size: ramdiskBytes } = await stat(ramdisk.initrd);

  phases.begin("image");
  const image = await demoImage(building);
  const { file, virtualSizeBytes } = await deployedFile(image, options, building);

  phases.begin("network");
  await using network = await Network.create({ directory });
  await using images = await ImageServer.start({ root: file.file, hostname: network.address });
  const uuid = crypto.randomUUID();
  await using machine = await Machine.create({
    name: "demo",
    directory,
    firmware: options.firmware,
    memoryMiB: options.memoryMiB,
    cpus: 2,
    disks:
      options.raid === null
        ? [{ bus: options.disk, serial: "DEMO0001", sizeBytes: DISK_BYTES }]
        : RAID_SERIALS.map((serial) => ({ bus: options.disk, serial, sizeBytes: RAID_DISK_BYTES })),
    nics: [
      { mac: MACS[0], tap: await network.addTap() },
      { mac: MACS[1], tap: await network.addTap() },
    ],
    smbios: { manufacturer: "Ironic agent demo", product: "Emulated machine", serial: "DEMO0001", uuid },
    qemuArguments: driver.qemuArguments,
  });
  phases.end(`machines at ${network.address}/24`);

  const limit = AbortSignal.timeout(options.timeout);
  await using conducting = driver;
  const facts = await conducting.deploy(
    {
      node: { uuid, name: "demo-node", macs: MACS },
      machine,
      ramdisk,
      kernelParameters: options.append.split(" ").filter((word) => word !== ""),
      bootMode: options.firmware,
      image: {
        url: images.urlOf(file.file.slice(file.file.lastIndexOf("/") + 1)),
        format: options.image,
        sha256: file.sha256,
        virtualSizeBytes,
        rootUuid: image.rootUuid,
        ...(options.partitionImage ? { partitions: { rootGiB: 2, swapMiB: 64 } } : {}),
      },
      raid: options.raid === null ? null : raidConfig(options.raid),
      configDrive: {
        meta_data: { hostname: "deployed-by-demo" },
        user_data: "#!/bin/sh\necho user data has run\n",
      },
      address: network.address,
      directory,
    },
    phases,
    AbortSignal.any([signal, limit]),
  );
  const wait = { timeout: options.timeout, signal: AbortSignal.any([signal, limit]) };
  const booted = await waitUntilBooted(machine, { uuid, boot: options.firmware }, wait);
  phases.end(booted.text);
  for (const serial of options.raid === null ? [] : RAID_SERIALS) {
    phases.begin(`boot without ${serial}`);
    await machine.powerOff();
    await machine.start({ disk: true, without: serial });
    const degraded = await waitUntilBooted(machine, { uuid, boot: options.firmware }, wait);
    phases.end(degraded.text);
  }

  return {
    agent: facts,
    image: { format: options.image, sizeBytes: file.sizeBytes, virtualSizeBytes },
    ramdiskBytes,
    agentBytes,
    marker: booted.text,
  };
}

/** The file that is deployed, and the size of the disk in it. */
async function deployedFile(
  image: DemoImage,
  options: DemoOptions,
  building: BaseOptions,
): Promise<{ file: Omit<ImageFile, "sha512">; virtualSizeBytes: number }> {
  if (options.partitionImage) return { file: image.root, virtualSizeBytes: image.root.sizeBytes };
  if (options.imageGiB === null)
    return { file: image[options.image], virtualSizeBytes: image.virtualSizeBytes };
  const file = await largeImage(image, options.imageGiB, building);
  return { file, virtualSizeBytes: file.virtualSizeBytes };
}

/** The agent as it is now, in the rig's own ramdisk. */
async function ownRamdisk(
  building: BaseOptions,
  { directory, phases, signal }: Pick<DemoRun, "directory" | "phases" | "signal">,
): Promise<{ ramdisk: Ramdisk; agentBytes: number }> {
  phases.begin("agent");
  const agent = join(directory, "ironic-python-agent");
  await buildAgent(agent, directory, signal);
  const { size: agentBytes } = await stat(agent);

  phases.begin("ramdisk");
  const base = await minimalRamdiskBase(building);
  return { ramdisk: await composeRamdisk(base, { agent, output: join(directory, "initrd") }), agentBytes };
}

function raidConfig(level: string): JsonObject {
  const disk = { size_gb: "MAX", raid_level: level, controller: "software", is_root_volume: true };
  return { logical_disks: [disk] };
}

/** Removes what takes space: the machine's disk and the ramdisk. The logs stay. */
export async function dropLargeFiles(directory: string): Promise<void> {
  for (const name of ["initrd", "ironic-python-agent"]) await rm(join(directory, name), { force: true });
}
