// What all scenarios of a run share: the network, the ramdisk with the agent as it is now, the image and its server, and
// Ironic. Taken down in the opposite order, whatever happened.

import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Phases } from "../demo/phases.ts";
import { ImageServer } from "../kit/image-server.ts";
import { buildAgent } from "../rig/executable.ts";
import { type DemoImage, demoImage } from "../rig/image.ts";
import { Network } from "../rig/network.ts";
import { composeRamdisk, type Ramdisk, type RamdiskBase, ramdiskBase } from "../rig/ramdisk.ts";
import { Ironic } from "./ironic.ts";

export interface SiteOptions {
  directory: string;
  /** Builds ramdisk and image again. */
  fresh: boolean;
  phases: Phases;
  signal: AbortSignal;
}

export interface Site extends AsyncDisposable {
  readonly directory: string;
  readonly network: Network;
  /** Serves the image by the names of its files. */
  readonly images: ImageServer;
  readonly ironic: Ironic;
  readonly image: DemoImage;
  /** The base with nothing but the agent in it. */
  readonly ramdisk: Ramdisk;
  /** What a ramdisk with further files is composed of. */
  readonly ramdiskBase: RamdiskBase;
  /** The agent's executable. */
  readonly agent: string;
  readonly ramdiskBytes: number;
  /** Aborted when the run is interrupted. */
  readonly signal: AbortSignal;
  /** The next BMC's position. */
  nextIndex(): number;
}

/** Only inside a namespace of enterNamespace(). */
export async function openSite({ directory, fresh, phases, signal }: SiteOptions): Promise<Site> {
  await using resources = new AsyncDisposableStack();
  const building = { fresh, report: (line: string) => phases.progress(line), signal };

  phases.begin("agent");
  const agent = join(directory, "ironic-python-agent");
  await buildAgent(agent, directory, signal);

  phases.begin("ramdisk");
  const initrd = join(directory, "initrd");
  const base = await ramdiskBase(building);
  const ramdisk = await composeRamdisk(base, { agent, output: initrd });
  const { size: ramdiskBytes } = await stat(initrd);

  phases.begin("image");
  const image = await demoImage(building);

  phases.begin("Ironic");
  const network = resources.use(await Network.create({ directory }));
  const root = dirname(image.raw.file);
  const images = resources.use(await ImageServer.start({ root, hostname: network.address }));
  const bootFiles = [dirname(ramdisk.kernel), dirname(ramdisk.initrd)];
  const ironic = resources.use(
    await Ironic.start({ address: network.address, directory: join(directory, "ironic"), bootFiles, signal }),
  );
  phases.end(`at ${ironic.client.url}`);

  const owned = resources.move();
  let machines = 0;
  return {
    directory,
    network,
    images,
    ironic,
    image,
    ramdisk,
    ramdiskBase: base,
    agent,
    ramdiskBytes,
    signal,
    nextIndex: () => machines++,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
