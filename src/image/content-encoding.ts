// Bodies that a server packs for the way although it was asked not to. The file is what they unpack to, and so are its checksum and
// its length; the length that the server gave is that of the bytes on the wire. Source: deploy specification 2.5; RFC 9110.

import type { HttpResponse } from "../system/http-client.ts";
import { HttpFault } from "./http-get.ts";
import { UnpackError } from "./unpack/unpack-error.ts";
import { unpackDeflate, unpackGzip, unpackZstd } from "./unpack/zlib-stream.ts";

const CODINGS = {
  identity: null,
  gzip: unpackGzip,
  "x-gzip": unpackGzip,
  deflate: unpackDeflate,
  zstd: unpackZstd,
} as const;

export type ContentEncoding = keyof typeof CODINGS;

/** Null if it is one that cannot be undone here. */
export function contentEncoding({ headers }: HttpResponse): ContentEncoding | null {
  const name = (headers.get("content-encoding") || "identity").trim().toLowerCase();
  return Object.hasOwn(CODINGS, name) ? (name as ContentEncoding) : null;
}

/** The file's own bytes. @throws HttpFault, which may be tried again, for a body that does not unpack */
export function decoded(
  chunks: AsyncGenerator<Uint8Array, void, void>,
  encoding: ContentEncoding,
): AsyncGenerator<Uint8Array, void, void> {
  const unpack = CODINGS[encoding];
  return unpack === null ? chunks : withFaults(unpack(chunks), encoding);
}

async function* withFaults(
  unpacked: AsyncGenerator<Uint8Array, void, void>,
  encoding: ContentEncoding,
): AsyncGenerator<Uint8Array, void, void> {
  try {
    yield* unpacked;
  } catch (error) {
    if (!(error instanceof UnpackError)) throw error;
    throw new HttpFault(`the body, packed with ${encoding} for the way, does not unpack: ${error.message}`, {
      cause: error,
    });
  }
}
