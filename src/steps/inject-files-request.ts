// What the step inject_files is asked to do, checked as a whole: all faults are named at once, and before anything is mounted.
// Source: deploy specification 6.5.

import { InvalidCommandParamsError } from "../errors.ts";
import { isJsonObject, type Json, type JsonObject, member } from "../json.ts";

export type FileToInject = {
  /** Absolute, inside the partition. */
  readonly path: string;
  /** Partition number on the root disk, path of a device, or null: the first partition that has the path's first directory. */
  readonly partition: number | string | null;
  /** Null removes the file. */
  readonly content: { readonly url: string } | { readonly bytes: Uint8Array } | null;
  /** As in chmod; null leaves it to what is there. */
  readonly mode: number | null;
  readonly directoryMode: number | null;
  readonly owner: number | null;
  readonly group: number | null;
};

const KEYS = ["path", "partition", "content", "deleted", "mode", "dirmode", "owner", "group"];

/**
 * The node's own files (properties.inject_files) and then the step's.
 * @throws InvalidCommandParamsError naming every fault
 */
export function parseFilesToInject(given: Json, node: JsonObject, ports: Json): FileToInject[] {
  const lists = [member(member(node, "properties"), "inject_files"), given];
  for (const list of lists)
    if (list !== null && !Array.isArray(list))
      throw new InvalidCommandParamsError(
        "'files' and the node property inject_files must be lists of files.",
      );
  const items = lists.flatMap((list) => (Array.isArray(list) ? list : []));
  const faults: string[] = [];
  const files = items.flatMap((item, index) => {
    try {
      return [parseFile(item, { node, ports })];
    } catch (error) {
      if (!(error instanceof FileFault)) throw error;
      faults.push(`file ${index + 1}${nameOf(item)}: ${error.message}`);
      return [];
    }
  });
  if (faults.length > 0)
    throw new InvalidCommandParamsError(`Validation of files failed: ${faults.join("; ")}`);
  return files;
}

/** A fault of one file; its message never quotes the content. */
class FileFault extends Error {}

function parseFile(item: Json, facts: JsonObject): FileToInject {
  if (!isJsonObject(item)) throw new FileFault("it must be an object");
  const unknown = Object.keys(item).filter((key) => !KEYS.includes(key));
  if (unknown.length > 0) throw new FileFault(`unknown keys ${unknown.join(", ")}`);
  const partition = parsePartition(item.partition ?? null);
  return {
    path: parsePath(item.path ?? null, partition !== null),
    partition,
    content: parseContent(item, facts),
    mode: mode(item, "mode"),
    directoryMode: mode(item, "dirmode"),
    owner: number(item, "owner", 2 ** 32 - 2),
    group: number(item, "group", 2 ** 32 - 2),
  };
}

function parsePath(path: Json, hasPartition: boolean): string {
  if (typeof path !== "string" || !path.startsWith("/") || path.includes("\0"))
    throw new FileFault("'path' must be an absolute path");
  if (path.endsWith("/")) throw new FileFault("'path' must be of a file, not of a directory");
  if (path.split("/").includes("..")) throw new FileFault("'path' must not contain '..'");
  if (!hasPartition && path.lastIndexOf("/") === 0)
    throw new FileFault(
      "a path directly below / needs 'partition', because every partition has that directory",
    );
  return path;
}

function parsePartition(partition: Json): number | string | null {
  if (partition === null) return null;
  const value = typeof partition === "string" && /^\d+$/.test(partition) ? Number(partition) : partition;
  if (typeof value === "number" && Number.isInteger(value) && value > 0) return value;
  if (typeof value === "string" && value.startsWith("/dev/")) return value;
  throw new FileFault("'partition' must be the number of a partition or the path of a device");
}

function parseContent(item: JsonObject, facts: JsonObject): FileToInject["content"] {
  const { content = null, deleted = null } = item;
  if (deleted !== null && typeof deleted !== "boolean")
    throw new FileFault("'deleted' must be true or false");
  if (deleted === true) {
    if (content !== null) throw new FileFault("'content' and 'deleted' exclude each other");
    return null;
  }
  if (typeof content !== "string")
    throw new FileFault("'content' must be base64 or a URL, unless 'deleted' is true");
  if (/^https?:\/\//i.test(content)) {
    const url = fillIn(content, facts);
    if (!URL.canParse(url)) throw new FileFault("'content' is a URL that cannot be used");
    return { url };
  }
  if (content.includes("://")) throw new FileFault("'content' is a URL of a kind other than http and https");
  const compact = content.replace(/\s+/g, "");
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(compact) || compact.length % 4 !== 0)
    throw new FileFault("'content' is not base64");
  return { bytes: Buffer.from(compact, "base64") };
}

/** Fills in `{node[uuid]}` and `{ports[0][address]}`; nothing else is a template. */
function fillIn(template: string, facts: JsonObject): string {
  return template.replace(/\{(\w+)((?:\[\w+\])*)\}/g, (whole, name: string, path: string) => {
    let value: Json = facts[name] ?? null;
    for (const [, key = ""] of path.matchAll(/\[(\w+)\]/g))
      value = Array.isArray(value) ? (value[Number(key)] ?? null) : member(value, key);
    if (typeof value !== "string" && typeof value !== "number")
      throw new FileFault(`the node has no ${whole} for the URL in 'content'`);
    // A MAC address is written with its colons.
    return encodeURIComponent(value).replaceAll("%3A", ":");
  });
}

/** Permission bits: a whole number, because text would be octal to one reader and decimal to the next. */
function mode(item: JsonObject, key: string): number | null {
  return number(item, key, 0o7777);
}

function number(item: JsonObject, key: string, limit: number): number | null {
  const value = item[key] ?? null;
  if (value === null) return null;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > limit)
    throw new FileFault(`'${key}' must be a whole number from 0 to ${limit}, as 420 is for the mode 0644`);
  return value;
}

function nameOf(item: Json): string {
  const path = member(item, "path");
  return typeof path === "string" ? ` (${path})` : "";
}
