// A config drive as a conductor sends it, turned into the bytes of a file system image. What it is is told from the
// content, because the wire does not say: base64 of gzip usually, but an image itself from some servers.
// Source: deploy specification 4.1.

import { gunzip } from "node:zlib";
import { DeploymentError } from "../errors.ts";

const MEBIBYTE = 1024 * 1024;
/** Largest config drive, unpacked. */
export const CONFIG_DRIVE_LIMIT = 64 * MEBIBYTE;

const ISO_DESCRIPTOR = 32_769;
/** Of an ISO; a disk with larger sectors cannot hold one that can be mounted. */
export const ISO_BLOCK = 2048;
const EXT_MAGIC = 1080;

/** For messages: whose config drive this is, and where it was fetched from, if it was. */
export type ConfigDriveOrigin = { readonly nodeUuid: string; readonly url: string | null };

/**
 * @param content base64 text, or what a server answered
 * @throws DeploymentError when it is neither base64, gzip nor a file system image, or too large
 */
export async function decodeConfigDrive(
  content: string | Uint8Array,
  origin: ConfigDriveOrigin,
): Promise<Uint8Array> {
  const given = typeof content === "string" ? null : Buffer.from(content);
  const bytes =
    given !== null && (isGzip(given) || isFileSystem(given))
      ? given
      : decodeBase64(given?.toString("latin1") ?? String(content), origin);
  if (isGzip(bytes)) return unpack(bytes, origin);
  if (bytes.length > CONFIG_DRIVE_LIMIT) throw tooLarge(bytes.length, origin);
  if (!isFileSystem(bytes))
    throw malformed("it holds neither gzip data nor a file system (ISO 9660, FAT, ext)", origin);
  return bytes;
}

function decodeBase64(text: string, origin: ConfigDriveOrigin): Buffer {
  const compact = text.replace(/\s+/g, "");
  // Buffer skips what is not base64; a damaged config drive must not become a shorter one.
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(compact) || compact.length % 4 !== 0)
    throw malformed("not base64", origin);
  return Buffer.from(compact, "base64");
}

/** Unpacks up to the limit, so that a bomb stops there. */
function unpack(bytes: Buffer, origin: ConfigDriveOrigin): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    gunzip(bytes, { maxOutputLength: CONFIG_DRIVE_LIMIT }, (error, unpacked) => {
      if (error === null) resolve(unpacked);
      else if ("code" in error && error.code === "ERR_BUFFER_TOO_LARGE") reject(tooLarge(null, origin));
      else
        reject(
          new DeploymentError(
            "Encountered error while decompressing and writing config drive for node " +
              `${origin.nodeUuid}. Error: ${error.message}.${downloadedFrom(origin)}`,
            { cause: error },
          ),
        );
    });
  });
}

function tooLarge(size: number | null, origin: ConfigDriveOrigin): DeploymentError {
  const limit = CONFIG_DRIVE_LIMIT / MEBIBYTE;
  const given = size === null ? `more than ${limit}` : String(Math.ceil(size / MEBIBYTE));
  return new DeploymentError(
    `Config drive size exceeds maximum limit of ${limit}MiB. Size of the given config drive is ${given} MiB ` +
      `for node ${origin.nodeUuid}.${downloadedFrom(origin)}`,
  );
}

function malformed(reason: string, origin: ConfigDriveOrigin): DeploymentError {
  return new DeploymentError(
    `Config drive for node ${origin.nodeUuid} is not base64 encoded or the content is malformed. ${reason}.` +
      downloadedFrom(origin),
  );
}

function downloadedFrom({ url }: ConfigDriveOrigin): string {
  return url === null ? "" : ` Downloaded from "${url}".`;
}

function isGzip(bytes: Buffer): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/** ISO 9660, FAT (boot sector signature and jump) or ext: what a config drive is made of. */
function isFileSystem(bytes: Buffer): boolean {
  if (isIso(bytes)) return true;
  const fat = bytes.length >= 512 && bytes.readUInt16LE(510) === 0xaa55;
  if (fat && (bytes[0] === 0xeb || bytes[0] === 0xe9)) return true;
  return bytes.length > EXT_MAGIC + 2 && bytes.readUInt16LE(EXT_MAGIC) === 0xef53;
}

export function isIso(bytes: Uint8Array): boolean {
  return (
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString(
      "latin1",
      ISO_DESCRIPTOR,
      ISO_DESCRIPTOR + 5,
    ) === "CD001"
  );
}
