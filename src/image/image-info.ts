// The `image_info` a conductor sends with prepare_image and write_image, checked before anything is touched. The texts of
// the first five checks and their order are the reference's; the rest guards against values on which it dies
// late, with the disk already wiped. Source: conductor contract, chapter 5; deploy specification 1.1 and 1.2.

import { InvalidCommandParamsError } from "../errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../json.ts";

/** Credentials for the image server as they came with the image; null = not given. */
export type ImageAuth = {
  /** `http_basic` makes user and password mandatory. */
  readonly strategy: string | null;
  readonly user: string | null;
  readonly password: string | null;
  /** base64 of a complete Authorization header value; wins over everything else. */
  readonly authorization: string | null;
};

/** Partitions to make for an image of a root file system; sizes in MiB, 0 = no such partition. */
export type PartitionRequest = {
  readonly rootMiB: number;
  readonly swapMiB: number;
  readonly ephemeralMiB: number;
  /** A file system mkfs knows. */
  readonly ephemeralFormat: string;
  /** Keep what the ephemeral partition of the last deployment holds, and with it the partition table. */
  readonly preserveEphemeral: boolean;
  /** What the conductor says of the deployment; null when it leaves it to the node's capabilities. */
  readonly bootMode: "uefi" | "bios" | null;
  readonly label: string | null;
  /** Conductors up to Zed may boot the node from the network: no boot partition then. */
  readonly netboot: boolean;
};

export type ImageInfo = {
  /** For messages and the result; never used as a path. */
  readonly id: string;
  /** At least one, http or https, in order of preference. */
  readonly urls: readonly [string, ...string[]];
  /** A digest, or the URL of a checksum file; null if only the pair below was given. */
  readonly checksum: string | null;
  readonly osHash: { readonly algorithm: string; readonly value: string } | null;
  /** Lower case; null when the conductor does not know it. */
  readonly diskFormat: string | null;
  readonly streamRawImages: boolean;
  /** Proxy by URL scheme (`http`, `https`). */
  readonly proxies: Readonly<Record<string, string>>;
  readonly noProxy: string | null;
  /** For messages; `local` if the conductor did not say. */
  readonly nodeUuid: string;
  /** Config drive of the image itself; one given with the command wins. */
  readonly configDrive: string | null;
  readonly auth: ImageAuth;
  /** Null for a whole-disk image. */
  readonly partition: PartitionRequest | null;
};

const MAX_ID_BYTES = 255;
const MD5_DIGITS = 32;

/** True if `text` is a URL of a scheme the agent can fetch. */
export function isHttpUrl(text: string): boolean {
  return /^https?:\/\//i.test(text);
}

/**
 * Checks and types an image_info; unknown members are ignored. `md5Enabled` is the option of that name.
 * @throws InvalidCommandParamsError
 */
export function parseImageInfo(value: Json, options: { readonly md5Enabled: boolean }): ImageInfo {
  if (!isJsonObject(value)) throw new InvalidCommandParamsError("Image info must be an object.");
  for (const field of ["id", "urls"])
    if (isAbsent(value[field])) throw new InvalidCommandParamsError(`Image is missing '${field}' field.`);
  const { urls } = value;
  if (!Array.isArray(urls) || urls.length === 0)
    throw new InvalidCommandParamsError("Image 'urls' must be a list with at least one element.");
  const checksum = isAbsent(value.checksum) ? null : nonEmptyString(value, "checksum");
  const osHash =
    isTruthy(value.os_hash_algo) || isTruthy(value.os_hash_value)
      ? { algorithm: nonEmptyString(value, "os_hash_algo"), value: nonEmptyString(value, "os_hash_value") }
      : null;
  requireChecksum(checksum, osHash !== null, options.md5Enabled);
  return {
    id: parseId(value.id),
    urls: parseUrls(urls),
    checksum,
    osHash,
    diskFormat: optionalText(value, "disk_format")?.toLowerCase() ?? null,
    streamRawImages: optionalBoolean(value, "stream_raw_images"),
    proxies: parseProxies(value.proxies),
    noProxy: optionalText(value, "no_proxy"),
    nodeUuid: optionalText(value, "node_uuid") ?? "local",
    configDrive: optionalText(value, "configdrive"),
    auth: {
      strategy: optionalText(value, "image_server_auth_strategy"),
      user: optionalText(value, "image_server_user"),
      password: optionalText(value, "image_server_password"),
      authorization: optionalText(value, "image_request_authorization"),
    },
    // Only the one word means it; everything else is a whole disk.
    partition: value.image_type === "partition" ? parsePartitionRequest(value) : null,
  };
}

function parsePartitionRequest(value: JsonObject): PartitionRequest {
  const rootMiB = mebibytes(value, "root_mb");
  if (rootMiB === 0)
    throw new InvalidCommandParamsError(
      "Image 'root_mb' must be the size of the root partition in MiB, a whole number above 0.",
    );
  const ephemeralFormat = optionalText(value, "ephemeral_format") ?? "ext4";
  if (!/^[a-z0-9][a-z0-9.+-]*$/.test(ephemeralFormat))
    throw new InvalidCommandParamsError(
      `Image 'ephemeral_format' must be the name of a file system, not '${ephemeralFormat}'.`,
    );
  const bootMode = optionalText(value, "deploy_boot_mode")?.toLowerCase() ?? null;
  return {
    rootMiB,
    swapMiB: mebibytes(value, "swap_mb"),
    ephemeralMiB: mebibytes(value, "ephemeral_mb"),
    ephemeralFormat,
    preserveEphemeral: optionalBoolean(value, "preserve_ephemeral"),
    bootMode: bootMode === "uefi" || bootMode === "bios" ? bootMode : null,
    label: optionalText(value, "disk_label"),
    netboot: optionalText(value, "boot_option") === "netboot",
  };
}

/** A number of MiB, also as text; 0 when absent. */
function mebibytes(image: JsonObject, field: string): number {
  const value = image[field];
  if (isAbsent(value)) return 0;
  const number = typeof value === "string" && /^\d+$/.test(value.trim()) ? Number(value) : value;
  if (typeof number !== "number" || !Number.isSafeInteger(number) || number < 0)
    throw new InvalidCommandParamsError(`Image '${field}' must be a whole number of MiB, not below 0.`);
  return number;
}

/** An MD5 digest only counts where MD5 is permitted; a longer one, or a URL, is something else. */
function requireChecksum(checksum: string | null, hasOsHash: boolean, md5Enabled: boolean): void {
  const usable =
    hasOsHash ||
    (checksum !== null && (md5Enabled || isHttpUrl(checksum) || checksum.trim().length > MD5_DIGITS));
  if (!usable)
    throw new InvalidCommandParamsError(
      "Image checksum is not available, either the 'checksum' field or the 'os_hash_algo' and " +
        "'os_hash_value' fields pair must be set for image verification.",
    );
}

function parseId(id: Json | undefined): string {
  const plain =
    typeof id === "string" &&
    id !== "" &&
    id !== "." &&
    id !== ".." &&
    !id.includes("/") &&
    !id.includes("\0") &&
    Buffer.byteLength(id) <= MAX_ID_BYTES;
  if (!plain)
    throw new InvalidCommandParamsError(
      `Image 'id' must be a file name of at most ${MAX_ID_BYTES} bytes without '/', and neither '.' nor '..'.`,
    );
  return id;
}

function parseUrls(urls: readonly Json[]): [string, ...string[]] {
  const checked = urls.map((url) => {
    if (typeof url !== "string" || !isHttpUrl(url) || !URL.canParse(url))
      throw new InvalidCommandParamsError("Image 'urls' must hold http:// or https:// URLs only.");
    return url;
  });
  return checked as [string, ...string[]];
}

function parseProxies(proxies: Json | undefined): Record<string, string> {
  if (isAbsent(proxies)) return {};
  if (!isJsonObject(proxies) || !Object.values(proxies).every((proxy) => typeof proxy === "string"))
    throw new InvalidCommandParamsError("Image 'proxies' must map URL schemes to proxy URLs.");
  return proxies as Record<string, string>;
}

function nonEmptyString(image: JsonObject, field: string): string {
  const value = image[field];
  if (typeof value !== "string" || value === "")
    throw new InvalidCommandParamsError(`Image '${field}' must be a non-empty string.`);
  return value;
}

/** Text, or null when absent, null or empty. */
function optionalText(image: JsonObject, field: string): string | null {
  const value = image[field];
  if (isAbsent(value) || value === "") return null;
  if (typeof value !== "string") throw new InvalidCommandParamsError(`Image '${field}' must be a string.`);
  return value;
}

function optionalBoolean(image: JsonObject, field: string): boolean {
  const value = image[field];
  if (isAbsent(value)) return false;
  if (typeof value !== "boolean")
    throw new InvalidCommandParamsError(`Image '${field}' must be true or false.`);
  return value;
}

function isAbsent(value: Json | undefined): value is null | undefined {
  return value === undefined || value === null;
}

/** Python's truth, by which the reference decides whether the hash pair was given. */
function isTruthy(value: Json | undefined): boolean {
  return !isAbsent(value) && value !== "" && value !== false && value !== 0;
}
