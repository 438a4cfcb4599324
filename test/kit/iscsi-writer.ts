// How a conductor with the `iscsi` deploy interface puts an image on a node's disk: it is an initiator, and the disk is a disk of its
// own for that time. The initiator here is libiscsi's in qemu-img, so neither root nor a kernel module is needed. Config drives
// go where Ironic puts them, into a partition at the end of a GPT disk.

import { mkdtemp, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../rig/programs.ts";

/** A disk that an agent offers. */
export interface Lun {
  /** Host of the agent's call-back URL. */
  address: string;
  port: number;
  iqn: string;
}

export interface LunContent {
  image: { url: string; diskFormat: "raw" | "qcow2" };
  /** As it travels to agents (base64 of gzip), or none. */
  configDrive: string | null;
}

export type WriteLun = (lun: Lun, content: LunContent) => Promise<void>;

/** LUN 1 it has always been. */
const NUMBER = 1;

export const writeLun: WriteLun = async (lun, { image, configDrive }) => {
  const directory = await mkdtemp(join(tmpdir(), "iscsi-deploy-"));
  try {
    const address = lun.address.includes(":") ? `[${lun.address}]` : lun.address;
    const url = `iscsi://${address}:${lun.port}/${lun.iqn}/${NUMBER}`;
    const file = join(directory, "image");
    const response = await fetch(image.url);
    if (!response.ok) throw new Error(`${image.url}: HTTP ${response.status}`);
    await Bun.write(file, response);
    const disk = join(directory, "disk");
    await run(["qemu-img", "convert", "-f", image.diskFormat, "-O", "raw", file, disk]);
    if (configDrive !== null) await addConfigDrive(disk, await sizeOf(url), configDrive);
    // Flushed at the end: by default qemu-img leaves that out.
    await run(["qemu-img", "convert", "-n", "-t", "writeback", "-f", "raw", "-O", "raw", disk, url]);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
};

async function sizeOf(url: string): Promise<number> {
  const { stdout } = await run(["qemu-img", "info", "--output=json", url]);
  return (JSON.parse(stdout) as { "virtual-size": number })["virtual-size"];
}

async function addConfigDrive(disk: string, size: number, configDrive: string): Promise<void> {
  await truncate(disk, size);
  await run(["sgdisk", "-e", disk]);
  await run(["sgdisk", "-n", "0:-64MB:0", disk]);
  const { stdout } = await run(["partx", "--show", "--noheadings", "--output", "START", disk]);
  const start = Math.max(...stdout.trim().split("\n").map(Number)) * 512;
  const content = Bun.gunzipSync(Buffer.from(configDrive, "base64"));
  const source = `${disk}.config-drive`;
  await Bun.write(source, content);
  await run([
    "dd",
    `if=${source}`,
    `of=${disk}`,
    "bs=1M",
    "conv=notrunc",
    "oflag=seek_bytes",
    `seek=${start}`,
  ]);
}
