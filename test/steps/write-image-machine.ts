// A machine with one disk, which is a loop device and still carries an old system, as write_image sees it; and a web server with
// the image. Everything that runs on it is real.

import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { Config } from "../../src/config/config.ts";
import type { OptionValues } from "../../src/config/options.ts";
import type { RestError } from "../../src/errors.ts";
import type { JsonObject } from "../../src/json.ts";
import type { Progress } from "../../src/progress.ts";
import { Deployment } from "../../src/steps/deployment.ts";
import type { WriteImageContext } from "../../src/steps/image-job.ts";
import { realBlockDevices } from "../../src/system/block-device.ts";
import { createSystem } from "../../src/system/real.ts";
import type { System } from "../../src/system/system.ts";
import { type Answer, faultServer, type RawRequest } from "../support/fault-server.ts";
import { loopDevice, noLoopDevices, tool } from "../support/loop-device.ts";

const MEBIBYTE = 1024 * 1024;
const DISK = 128 * MEBIBYTE;
/** Bytes of the images below. */
export const IMAGE = 32 * MEBIBYTE;

/** What a conductor says of an image that is to be written as it comes. */
export const RAW = { disk_format: "raw", stream_raw_images: true };

export const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

export type Machine = {
  readonly disk: string;
  readonly context: WriteImageContext;
  readonly abort: AbortController;
  readonly deployment: Deployment;
  readonly reports: Progress[];
  /** Programs that were run, in order. */
  readonly programs: string[];
  /** Directories that were made for the cached image. */
  readonly directories: string[];
  content(): Promise<Buffer>;
};

export type MachineOptions = {
  readonly size?: number;
  readonly sectorSize?: 512 | 4096;
  readonly config?: Partial<OptionValues>;
  readonly onReport?: (progress: Progress, abort: AbortController) => void;
  readonly change?: (system: System) => System;
};

/** Runs `work` on a machine with one disk, which still carries an old system. */
async function withMachine(
  options: MachineOptions,
  work: (machine: Machine) => Promise<void>,
): Promise<void> {
  await using loop = await loopDevice(options.size ?? DISK, options.sectorSize ?? 512);
  await installOldSystem(loop.backingFile, loop.size);
  const real = createSystem({ name: "test", debug: false, json: false, file: "/dev/null", stream: "stderr" });
  const [programs, directories]: [string[], string[]] = [[], []];
  const system: System = {
    ...real,
    run: (argv, runOptions) => {
      programs.push(argv.find((word) => word === "qemu-img") ?? argv[0] ?? "");
      return real.run(argv, runOptions);
    },
    files: {
      ...real.files,
      temporaryDirectory: async (prefix) => {
        const made = await real.files.temporaryDirectory(prefix);
        directories.push(made.path);
        return made;
      },
    },
  };
  const abort = new AbortController();
  const deployment = new Deployment();
  deployment.written({ kind: "whole disk", uuids: { "root uuid": "of the deploy before" }, netboot: false });
  const reports: Progress[] = [];
  const context: WriteImageContext = {
    system: options.change?.(system) ?? system,
    config: Config.of({
      allow_host_disks: true,
      image_download_connection_retries: 1,
      image_download_connection_retry_interval: 0,
      image_download_connection_timeout: 5,
      ...options.config,
    }),
    node: {},
    signal: abort.signal,
    report: (progress) => {
      reports.push(progress);
      options.onReport?.(progress, abort);
    },
    installDevice: async () => loop.path,
    deployment,
  };
  const content = async () => {
    await tool("blockdev", "--flushbufs", loop.path);
    return readFile(loop.backingFile);
  };
  await work({ disk: loop.path, context, abort, deployment, reports, programs, directories, content });
  for (const made of directories) expect(await real.files.kind(made)).toBeNull();
}

/** Serves `script` and hands an image_info for it to `work`. */
export async function serving(
  script: Answer[],
  image: Uint8Array,
  more: JsonObject,
  work: (info: JsonObject, requests: readonly RawRequest[]) => Promise<void>,
): Promise<void> {
  await using server = await faultServer(...script);
  const info = {
    id: "image-id",
    urls: [`${server.url}/image`],
    os_hash_algo: "sha256",
    os_hash_value: sha256(image),
    node_uuid: "node-uuid",
    ...more,
  };
  await work(info, server.requests);
}

export async function failure(promise: Promise<unknown>): Promise<RestError> {
  try {
    await promise;
  } catch (error) {
    return error as RestError;
  }
  throw new Error("it succeeded");
}

export function onMachine(
  name: string,
  options: MachineOptions,
  work: (machine: Machine) => Promise<void>,
): void {
  // Beside each other, and patiently: sgdisk flushes all file systems of the machine and sleeps for a second in each call.
  test.concurrent.skipIf(noLoopDevices !== null)(name, () => withMachine(options, work), 180_000);
}

/** Puts an old system on a disk: a GPT at both ends, and something at places in between; the rest are holes. */
async function installOldSystem(disk: string, size: number): Promise<void> {
  const directory = await mkdtemp(`${tmpdir()}/old-system-`);
  const fresh = `${directory}/disk`;
  await writeFile(fresh, "");
  await truncate(fresh, size);
  await tool("sgdisk", "-n", "1:1M:+20M", fresh);
  {
    await using device = await realBlockDevices.open(fresh, "write-exclusive");
    for (const at of [MEBIBYTE, size / 2, size - 2 * MEBIBYTE])
      await device.write(Buffer.alloc(MEBIBYTE, 0xa5), Math.floor(at));
  }
  await tool("cp", "--sparse=always", fresh, disk);
  await rm(directory, { recursive: true });
}

/** Two partitions. */
export const makeGpt = (path: string) =>
  tool("sgdisk", "-n", "1:1M:+8M", "-t", "1:ef00", "-n", "2:10M:+20M", "-c", "2:root", path);

/** A disk of IMAGE bytes that `partition` divides. */
export async function partitionedImage(
  directory: string,
  partition: (path: string) => Promise<unknown>,
): Promise<Buffer> {
  const path = `${directory}/${crypto.randomUUID()}`;
  await writeFile(path, "");
  await truncate(path, IMAGE);
  await partition(path);
  const bytes = await readFile(path);
  await rm(path);
  // Content that differs everywhere and compresses somewhat; a hole of zeros stays in the middle.
  for (let at = MEBIBYTE; at < 12 * MEBIBYTE; at += 64) bytes.writeUInt32LE((at * 2654435761) % 2 ** 32, at);
  return bytes;
}

/** The image as a file of another format, made by qemu-img. */
export async function converted(directory: string, image: Uint8Array, ...options: string[]): Promise<Buffer> {
  const name = `${directory}/${crypto.randomUUID()}`;
  await writeFile(`${name}.raw`, image);
  await tool("qemu-img", "convert", "-f", "raw", ...options, `${name}.raw`, `${name}.out`);
  const bytes = await readFile(`${name}.out`);
  await rm(`${name}.raw`);
  await rm(`${name}.out`);
  return bytes;
}

/** Requests for the image from its start, parts aside. */
export function wholeRequests(requests: readonly RawRequest[]): RawRequest[] {
  return requests.filter(({ headers }) => headers.range === undefined);
}

export function isZero(bytes: Buffer): boolean {
  return bytes.equals(Buffer.alloc(bytes.length));
}

/** The image is on the disk, sectors 0 and 1 aside, which the move of the backup GPT changes. */
export function expectImage(content: Buffer, image: Buffer): void {
  expect(content.subarray(1024, image.length).equals(image.subarray(1024))).toBe(true);
}

/** As after a failure: nothing at either end, and nothing to tell a conductor. */
export async function expectNothingBootable({ content, deployment }: Machine): Promise<void> {
  const bytes = await content();
  expect(isZero(bytes.subarray(0, MEBIBYTE))).toBe(true);
  expect(isZero(bytes.subarray(-MEBIBYTE))).toBe(true);
  expect(deployment.partitionUuids).toEqual({});
}
