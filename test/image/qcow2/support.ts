// qcow2 files of every kind that qemu-img can make, and a device for them that is a file full of an old system.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { ImageHasher } from "../../../src/image/hasher.ts";
import { ProbedImage } from "../../../src/image/probed-image.ts";
import { ProgressMeter } from "../../../src/image/progress-meter.ts";
import { readClusterMap } from "../../../src/image/qcow2/cluster-map.ts";
import { writeQcow2 } from "../../../src/image/qcow2/write-qcow2.ts";
import type { Progress } from "../../../src/progress.ts";
import { realBlockDevices } from "../../../src/system/block-device.ts";
import { recordedSystem } from "../../support/recorded-system.ts";

export const KIBIBYTE = 1024;
export const MEBIBYTE = 1024 * 1024;
export const OLD = 0xee;

export type Workshop = AsyncDisposable & {
  readonly path: (name: string) => string;
  /** Runs a tool; its standard output. */
  readonly tool: (...argv: string[]) => string;
};

export async function workshop(): Promise<Workshop> {
  const directory = await mkdtemp(`${tmpdir()}/qcow2-`);
  return {
    path: (name) => `${directory}/${name}`,
    tool: (...argv) => {
      const { exitCode, stdout, stderr } = Bun.spawnSync(argv);
      if (exitCode !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
      return stdout.toString();
    },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  };
}

/** A disk's content: data that does not compress, data that does, zeros written and never written, short and long. */
export function diskContent(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  let state = 12345;
  const random = () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state;
  };
  for (let at = 0; at + 32 * KIBIBYTE <= size; at += 32 * KIBIBYTE) {
    const kind = (random() >>> 8) % 4;
    if (kind === 0 || (at > 5 * MEBIBYTE && at < 9 * MEBIBYTE)) continue;
    if (kind === 1) bytes.fill(`text number ${at} `, at, at + 32 * KIBIBYTE);
    else for (let word = at; word < at + 32 * KIBIBYTE; word += 4) bytes.writeUInt32LE(random(), word);
  }
  return bytes.fill(0x5a, size - 512);
}

/** A file in memory, as a server that gives parts of it would have it. */
export function probedImage(file: Uint8Array): ProbedImage {
  return new ProbedImage(file.length, async (offset, length) => file.slice(offset, offset + length));
}

/** Writes `file` to a device of `size` bytes at `path`, in chunks of `piece` bytes. */
export async function writeTo(
  path: string,
  size: number,
  file: Uint8Array,
  { piece = 70_001, body = file, reports = [] as Progress[], verify = (_: string) => {} } = {},
): Promise<Buffer> {
  await writeFile(path, Buffer.alloc(size, OLD));
  const system = recordedSystem();
  const { signal } = new AbortController();
  const image = probedImage(file);
  const map = await readClusterMap(image, signal);
  const meter = (phase: string, total: number) =>
    new ProgressMeter(system.clock, (report) => reports.push(report), phase, total);
  async function* chunks() {
    for (let at = 0; at < body.length; at += piece) yield body.subarray(at, at + piece);
  }
  await using device = await realBlockDevices.open(path, "write-exclusive");
  await writeQcow2(device, image.compared(chunks()), map, {
    hasher: new ImageHasher({ algorithm: "sha256", engine: "native", log: system.log }),
    verify,
    meter: meter("write", file.length),
    zeroMeter: (total) => meter("zero", total),
    log: system.log,
    signal,
  });
  return Buffer.from(await Bun.file(path).arrayBuffer());
}
