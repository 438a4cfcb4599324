// gzip and Zstandard by the runtime's own decoders, which work on other threads. Of Zstandard the runtime says neither that a file
// ends in the middle nor that something follows it, so its frames are counted here beside the decoder.

import { createGunzip, createInflate, createZstdDecompress } from "node:zlib";
import { drain, UnpackError } from "./unpack-error.ts";
import { ZstdFrames } from "./zstd-frames.ts";

/** Bytes that come out at a time. */
const PIECE = 256 * 1024;

type Engine = ReturnType<typeof createGunzip>;

export function unpackGzip(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  return throughEngine(createGunzip({ chunkSize: PIECE }), chunks);
}

/** The zlib format, which HTTP calls deflate. */
export function unpackDeflate(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  return throughEngine(createInflate({ chunkSize: PIECE }), chunks);
}

export function unpackZstd(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  return throughEngine(createZstdDecompress({ chunkSize: PIECE }), chunks, new ZstdFrames());
}

async function* throughEngine(
  engine: Engine,
  chunks: AsyncIterable<Uint8Array>,
  frames?: ZstdFrames,
): AsyncGenerator<Uint8Array, void, void> {
  const source = chunks[Symbol.asyncIterator]();
  const fed = feed(engine, source, frames);
  fed.catch(() => undefined); // met below, after what has come out is used up
  try {
    for await (const piece of engine) yield piece;
    await fed;
  } catch (error) {
    // If the feeding failed, that stopped the decoder; what the source threw is for the caller as it is.
    await fed.catch((cause: unknown) => {
      if (!(cause instanceof UnpackError)) throw cause;
    });
    await drain(source);
    throw error instanceof UnpackError ? error : new UnpackError(inWords(error), { cause: error });
  } finally {
    engine.destroy();
    await source.return?.();
  }
}

/** Ends when the engine has taken everything or has failed. @throws what the source throws, UnpackError of the frames */
async function feed(
  engine: Engine,
  source: AsyncIterator<Uint8Array>,
  frames: ZstdFrames | undefined,
): Promise<void> {
  const ended = new Promise<void>((resolve) => engine.once("close", resolve));
  try {
    for (let next = await source.next(); !next.done && !engine.destroyed; next = await source.next()) {
      frames?.update(next.value);
      // Until the chunk is used up: whoever made it may then fill it anew.
      await Promise.race([new Promise((resolve) => engine.write(next.value, resolve)), ended]);
    }
    frames?.end();
    engine.end();
  } catch (error) {
    engine.destroy(error instanceof Error ? error : new Error(String(error)));
    throw error;
  }
}

const WORDS: Readonly<Record<string, string>> = {
  Z_BUF_ERROR: "it ends too early",
  Z_DATA_ERROR: "it is damaged, or something follows it",
};

function inWords(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return WORDS[code] ?? (error instanceof Error ? error.message : String(error));
}
