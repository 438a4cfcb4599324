// The deploy step inject_files: puts files into a deployed system, or takes some out. Every path is walked inside the mounted
// partition, so a link of the image can not make the agent write into its own ramdisk.
// Source: deploy specification 6.5.

import { posix } from "node:path";
import { tlsClientOptions } from "../config/tls-client-options.ts";
import { HostGuard } from "../disk/host-guard.ts";
import { resolveInside } from "../disk/inside.ts";
import { mountTemporarily } from "../disk/mounts.ts";
import { readPartitionTable } from "../disk/partition-table.ts";
import { partitionPath } from "../disk/partitions.ts";
import {
  CommandExecutionError,
  DeviceNotFound,
  errorText,
  InvalidCommandParamsError,
  RestError,
} from "../errors.ts";
import { shownUrl } from "../image/http-get.ts";
import { download } from "../image/http-source.ts";
import type { Json, JsonObject } from "../json.ts";
import { environmentProxies } from "../system/proxy.ts";
import { type FileToInject, parseFilesToInject } from "./inject-files-request.ts";
import type { Step, StepContext } from "./step.ts";

/** Physical volumes of LVM, by the partition table: they hold no file system of their own. */
const LVM_TYPES = ["e6d6d379-f507-44c2-a23c-238f2a3df928", "8e"];

export function injectFilesStep(priority: number): Step {
  return {
    step: "inject_files",
    priority,
    interface: "deploy",
    reboot_requested: false,
    argsinfo: {
      files: {
        description:
          "Files to inject, in addition to the node property inject_files: objects with path, content (base64 or URL) or " +
          "deleted, and optionally partition, mode, dirmode, owner and group (whole numbers).",
        required: false,
      },
      verify_ca: {
        description: "Whether the certificates of https servers are verified; true unless said otherwise.",
        required: false,
      },
    },
    run: async (context, args) => {
      await injectFiles(context, args);
      return null;
    },
  };
}

/** @throws InvalidCommandParamsError before anything is touched; DeviceNotFound, CommandExecutionError for the first file that failed */
export async function injectFiles(context: StepContext, args: JsonObject): Promise<void> {
  const verify = args.verify_ca ?? true;
  if (typeof verify !== "boolean") throw new InvalidCommandParamsError("'verify_ca' must be true or false.");
  const files = parseFilesToInject(args.files ?? null, context.node, context.ports as Json);
  if (files.length === 0) {
    context.system.log.info("No files to inject");
    return;
  }
  const disk = await context.installDevice({ refresh: false });
  for (const file of files) {
    try {
      await injectFile(context, disk, file, verify);
    } catch (error) {
      context.signal.throwIfAborted();
      if (error instanceof RestError) throw error;
      throw new CommandExecutionError(`Failed to process file ${file.path}: ${errorText(error)}`, {
        cause: error,
      });
    }
  }
}

async function injectFile(
  context: StepContext,
  disk: string,
  file: FileToInject,
  verify: boolean,
): Promise<void> {
  const { system, signal } = context;
  const device = await findDevice(context, disk, file);
  const guard = new HostGuard(system, { allowHostDisks: context.config.get("allow_host_disks") });
  await guard.assertMayDestroy(device, "inject a file into");
  await using mounted = await mountTemporarily(system, device, { type: null, readOnly: false, signal });
  const path = await locate(context, mounted.path, file);
  if (file.content === null) {
    if ((await system.files.kind(path)) === "directory")
      throw new CommandExecutionError(`Failed to process file ${file.path}: it is a directory on ${device}.`);
    await system.files.remove(path);
    system.log.info(`removed ${file.path} from ${device}`);
    return;
  }
  const attributes = { mode: file.mode, owner: file.owner, group: file.group };
  if ("bytes" in file.content) await system.files.place(path, file.content.bytes, attributes);
  else
    await fetchInto(context, file.content.url, verify, (chunks) =>
      system.files.place(path, chunks, attributes),
    );
  system.log.info(`injected ${file.path} into ${device}`);
}

/** Where the file will be below the mount point; its directory is made if it is missing and something is to be written. */
async function locate({ system }: StepContext, root: string, file: FileToInject): Promise<string> {
  const directory = await resolveInside(system, root, posix.dirname(file.path));
  if (file.content !== null && (await system.files.kind(directory)) === null) {
    await system.files.makeDirectory(directory);
    if (file.directoryMode !== null) await system.files.changeMode(directory, file.directoryMode);
  }
  return `${directory}/${posix.basename(file.path)}`;
}

async function findDevice(context: StepContext, disk: string, file: FileToInject): Promise<string> {
  const { system, signal } = context;
  const { partition } = file;
  if (typeof partition === "number") return partitionPath(system, disk, partition, signal);
  if (typeof partition === "string") {
    if ((await system.files.targetKind(partition)) === "block") return partition;
    throw new DeviceNotFound(`There is no block device ${partition} for the file ${file.path}.`);
  }
  const [, first = ""] = file.path.split("/");
  for (const path of await searchedPartitions(context, disk))
    if (await hasDirectory(context, path, first)) return path;
  throw new DeviceNotFound(
    `No partition of ${disk} has a directory /${first} for the file ${file.path}; name one with 'partition'.`,
  );
}

async function searchedPartitions({ system, signal }: StepContext, disk: string): Promise<string[]> {
  await using device = await system.blockDevices.open(disk, "read");
  const { partitions } = await readPartitionTable(device);
  const paths: string[] = [];
  for (const { number, type } of partitions)
    if (!LVM_TYPES.includes(type)) paths.push(await partitionPath(system, disk, number, signal));
  return paths;
}

async function hasDirectory({ system, signal }: StepContext, device: string, name: string): Promise<boolean> {
  try {
    await using mounted = await mountTemporarily(system, device, { type: null, readOnly: true, signal });
    return (await system.files.kind(await resolveInside(system, mounted.path, name))) === "directory";
  } catch (error) {
    signal.throwIfAborted();
    system.log.warning(`${device} is left out of the search for /${name}: ${errorText(error)}`);
    return false;
  }
}

async function fetchInto(
  { system, config, signal }: StepContext,
  url: string,
  verify: boolean,
  consume: (chunks: AsyncIterable<Uint8Array>) => Promise<void>,
): Promise<void> {
  const tls = await tlsClientOptions(system, config);
  const plan = {
    imageId: "file to inject",
    urls: [url],
    settings: {
      proxy: environmentProxies(system.environment),
      tls: verify ? tls : { ...tls, verify: false },
      authorization: null,
      timeout: config.get("image_download_connection_timeout"),
    },
    retries: config.get("image_download_connection_retries"),
    interval: config.get("image_download_connection_retry_interval"),
    maxDuration: config.get("image_download_max_duration"),
  };
  try {
    await download(system, plan, signal, ({ chunks }) => consume(chunks));
  } catch (error) {
    signal.throwIfAborted();
    throw new CommandExecutionError(`Unable to read data from ${shownUrl(url)}: ${errorText(error)}`, {
      cause: error,
    });
  }
}
