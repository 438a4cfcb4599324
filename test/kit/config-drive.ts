// Config drives as Ironic's conductor makes them: the OpenStack metadata layout in an ISO 9660 image with the label
// config-2, gzipped and in base64 for the wire. The image is made by genisoimage or a program that takes its options.

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JsonObject } from "../../src/json.ts";

export interface ConfigDriveData {
  /** `uuid` and `name` are the node's unless given. */
  meta_data?: JsonObject;
  /** A shell script, a cloud-config, …; an object is written as JSON. */
  user_data?: string | JsonObject;
  network_data?: JsonObject;
  vendor_data?: JsonObject;
}

/** Directories that readers of config drives look into. */
const VERSIONS = ["2012-08-10", "latest"];

const MAKERS = [["genisoimage"], ["mkisofs"], ["xorriso", "-as", "mkisofs"]];

/** The config drive as it travels in `configdrive`: base64 of gzip of the image. */
export async function buildConfigDrive(
  data: ConfigDriveData,
  node: { uuid: string; name?: string | null },
): Promise<string> {
  const image = await buildConfigDriveImage(data, node);
  return Buffer.from(Bun.gzipSync(image)).toString("base64");
}

/** The ISO 9660 image itself, with Joliet and Rock Ridge names. Throws when no program can make it. */
export async function buildConfigDriveImage(
  data: ConfigDriveData,
  node: { uuid: string; name?: string | null },
): Promise<Uint8Array<ArrayBuffer>> {
  const directory = await mkdtemp(join(tmpdir(), "config-drive-"));
  try {
    const content = join(directory, "content");
    const file = join(directory, "config-drive.iso");
    for (const version of VERSIONS) await writeMetadata(join(content, "openstack", version), data, node);
    await makeImage(content, file);
    return new Uint8Array(await readFile(file));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function writeMetadata(
  directory: string,
  data: ConfigDriveData,
  node: { uuid: string; name?: string | null },
): Promise<void> {
  await mkdir(directory, { recursive: true });
  const name = node.name === undefined || node.name === null ? {} : { name: node.name };
  const files: Record<string, string | JsonObject | undefined> = {
    "meta_data.json": { uuid: node.uuid, ...name, ...data.meta_data },
    user_data: data.user_data,
    "network_data.json": data.network_data,
    "vendor_data2.json": data.vendor_data,
  };
  for (const [file, value] of Object.entries(files)) {
    if (value === undefined) continue;
    await writeFile(join(directory, file), typeof value === "string" ? value : JSON.stringify(value));
  }
}

async function makeImage(content: string, file: string): Promise<void> {
  const maker = MAKERS.find(([program]) => program !== undefined && Bun.which(program) !== null);
  if (maker === undefined) {
    throw new Error("A config drive needs genisoimage, mkisofs or xorriso, and none is installed.");
  }
  const options = ["-o", file, "-ldots", "-allow-lowercase", "-allow-multidot", "-l", "-quiet"];
  const argv = [...maker, ...options, "-publisher", "ironic-agent", "-J", "-r", "-V", "config-2", content];
  const child = Bun.spawn(argv, { stdin: "ignore", stdout: "ignore", stderr: "pipe", timeout: 60_000 });
  const [complaint, exitCode] = await Promise.all([child.stderr.text(), child.exited]);
  if (exitCode !== 0) {
    throw new Error(`${argv.join(" ")} failed with exit code ${exitCode}: ${complaint.trim().slice(-500)}`);
  }
}
