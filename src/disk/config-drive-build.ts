// Makes a config drive out of its parts, for those who use the agent without a conductor that would do it for them: an ISO 9660
// file system with the two directories cloud-init looks into. Source: deploy specification 4.2; openstacksdk baremetal/configdrive.py.

import { DeploymentError, InvalidCommandParamsError } from "../errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../json.ts";
import type { System } from "../system/system.ts";
import { CONFIG_DRIVE_LIMIT } from "./config-drive-content.ts";

const VERSIONS = ["2012-08-10", "latest"];
/** In the order of preference; they take the same arguments. */
const PROGRAMS = ["genisoimage", "mkisofs", "xorrisofs"];
const PARTS = ["meta_data", "network_data", "user_data", "vendor_data"];
const PUBLISHER = "ironic-agent";

export type ConfigDriveNode = { readonly uuid: string; readonly name: string | null };

/**
 * The bytes of the file system.
 * @param parts `meta_data`, `network_data`, `vendor_data` (objects) and `user_data` (text, or what becomes JSON); all may be left out
 * @throws InvalidCommandParamsError if they are something else; DeploymentError if there is no program for it, or it gets too large
 */
export async function buildConfigDrive(
  system: System,
  parts: JsonObject,
  node: ConfigDriveNode,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const files = configDriveFiles(parts, node);
  const program = PROGRAMS.find((name) => system.findProgram(name) !== null);
  if (program === undefined)
    throw new DeploymentError(
      `Making a config drive out of its parts needs one of ${PROGRAMS.join(", ")} (Debian: genisoimage or xorriso) in the ` +
        "ramdisk. Give it as base64 of gzip instead.",
    );
  await using directory = await system.files.temporaryDirectory("ironic-agent-config-drive-");
  const [tree, image] = [`${directory.path}/tree`, `${directory.path}/image`];
  for (const path of [tree, `${tree}/openstack`]) await system.files.makeDirectory(path, 0o755);
  for (const version of VERSIONS) {
    const place = `${tree}/openstack/${version}`;
    await system.files.makeDirectory(place, 0o755);
    for (const [name, content] of files) await system.files.write(`${place}/${name}`, content);
  }
  const names = ["-ldots", "-allow-lowercase", "-allow-multidot", "-l", "-publisher", PUBLISHER];
  await system.run([program, "-o", image, ...names, "-quiet", "-J", "-r", "-V", "config-2", tree], {
    signal,
  });
  await using made = await system.files.open(image);
  if (made.size > CONFIG_DRIVE_LIMIT)
    throw new DeploymentError(
      `Config drive size exceeds maximum limit of ${CONFIG_DRIVE_LIMIT / 2 ** 20}MiB. Size of the given config drive is ` +
        `${Math.ceil(made.size / 2 ** 20)} MiB for node ${node.uuid}.`,
    );
  const bytes = Buffer.alloc(made.size);
  await made.read(bytes, 0);
  return bytes;
}

/** Names in each version's directory, and contents. */
function configDriveFiles(parts: JsonObject, node: ConfigDriveNode): [string, string][] {
  const unknown = Object.keys(parts).find((name) => !PARTS.includes(name));
  if (unknown !== undefined)
    throw new InvalidCommandParamsError(
      `'configdrive' has the unknown part '${unknown}'; known: ${PARTS.join(", ")}.`,
    );
  const defaults = node.name === null ? { uuid: node.uuid } : { uuid: node.uuid, name: node.name };
  const files: [string, string][] = [
    ["meta_data.json", JSON.stringify({ ...defaults, ...part(parts, "meta_data") })],
  ];
  const network = part(parts, "network_data");
  const vendor = part(parts, "vendor_data");
  const user = parts.user_data ?? null;
  if (network !== null) files.push(["network_data.json", JSON.stringify(network)]);
  if (vendor !== null) files.push(["vendor_data2.json", JSON.stringify(vendor)]);
  if (user !== null) files.push(["user_data", typeof user === "string" ? user : JSON.stringify(user)]);
  return files;
}

function part(parts: JsonObject, name: string): JsonObject | null {
  const value: Json = parts[name] ?? null;
  if (value !== null && !isJsonObject(value))
    throw new InvalidCommandParamsError(`'${name}' of 'configdrive' must be an object.`);
  return value;
}
