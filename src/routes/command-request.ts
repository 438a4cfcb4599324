// Reads the body of a command request. It may be hundreds of MiB (a config drive comes up to three times in
// one step), and its Content-Type means nothing.

import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { errorText } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { badRequest, bodyTooLarge, HttpFault } from "./errors.ts";

const MEBIBYTE = 1024 * 1024;

/** Bytes. Three config drives of 64 MiB in base64 and the rest of the largest node record fit twice. */
export const MAX_COMMAND_BODY = 512 * MEBIBYTE;

/**
 * Python's JSON gives up near 1000 levels; code that walks through parameters should not have to care about
 * depth.
 */
const MAX_DEPTH = 500;

export const CommandRequest = Type.Object({
  name: Type.String({ description: "<extension>.<command>" }),
  params: Type.Unsafe<JsonObject>(Type.Object({}, { description: "See the command." })),
});
export type CommandRequest = Static<typeof CommandRequest>;

/** @throws HttpFault 400 or 413 */
export async function readCommandRequest(request: Request): Promise<CommandRequest> {
  const body = parse(await readBody(request));
  if (!Value.Check(CommandRequest, body)) throw badRequest("Missing or invalid name or params");
  return { name: body.name, params: body.params };
}

async function readBody(request: Request): Promise<Uint8Array> {
  const declared = request.headers.get("content-length");
  if (Number(declared) > MAX_COMMAND_BODY) throw bodyTooLarge();
  try {
    if (declared !== null || request.body === null) return await request.bytes();
    return await collect(request.body);
  } catch (error) {
    if (error instanceof HttpFault) throw error;
    // The client went away, or broke the rules of chunking: not a failure of the agent.
    throw badRequest(`Failed to read the body: ${errorText(error)}`);
  }
}

/** A chunked body tells its size only by ending. */
async function collect(body: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > MAX_COMMAND_BODY) throw bodyTooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function parse(bytes: Uint8Array): unknown {
  let value: unknown;
  try {
    value = JSON.parse(decodeAndRelease(bytes));
  } catch (error) {
    throw badRequest(`Failed to decode JSON object: ${errorText(error)}`);
  }
  if (isDeeperThan(value, MAX_DEPTH))
    throw badRequest(`Failed to decode JSON object: more than ${MAX_DEPTH} levels deep`);
  return value;
}

/**
 * Of the body, its text and the values in it, each of which may have hundreds of MiB, no more than two are in memory at a time: the
 * bytes go at once, and not when the garbage collector gets to them. @throws TypeError if they are not UTF-8
 */
function decodeAndRelease(bytes: Uint8Array): string {
  const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  const { buffer } = bytes;
  // Small ones may share their memory with others.
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength && buffer.byteLength > MEBIBYTE)
    buffer.transfer(0);
  return text;
}

/** Level by level and not by recursion, which is what deep nesting would break. */
function isDeeperThan(value: unknown, limit: number): boolean {
  let level = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > limit) return true;
    level = level.flatMap((member) =>
      typeof member === "object" && member !== null ? Object.values(member) : [],
    );
  }
  return false;
}
