// An image of which parts are read before it comes: its format can be told, and tables in it be followed, without a copy of it.
// Bytes read ahead are nobody's word until the whole has passed the checksum, so the same bytes must come by again
// in the body: a server that shows one table and sends another one gets nowhere.

import { createHash, type Hash } from "node:crypto";
import type { ImageFile } from "./format.ts";
import { HttpFault } from "./http-get.ts";
import type { ReadRange } from "./http-source.ts";

/** Unit of reading and comparing; the cluster size, and so the table size, of nearly all qcow2 images. */
const BLOCK_BYTES = 64 * 1024;
/** Blocks kept after they were read. */
const KEPT_BLOCKS = 64;
/** What may be read ahead in all: beyond that, it is cheaper to have the whole image. */
const MAX_BYTES = 64 * 1024 * 1024;
const MAX_READS = 4096;

/** The image would have to be read in too many places. */
export class ProbeLimitError extends Error {}

export class ProbedImage implements ImageFile {
  readonly size: number;
  readonly #readRange: ReadRange;
  /** SHA-256 of every block that was read, by its number. */
  readonly #digests = new Map<number, string>();
  readonly #kept = new Map<number, Uint8Array>();
  #bytes = 0;
  #reads = 0;

  constructor(size: number, readRange: ReadRange) {
    this.size = size;
    this.#readRange = readRange;
  }

  /** @throws HttpFault, ProbeLimitError */
  async read(buffer: Uint8Array, offset: number): Promise<number> {
    const end = Math.min(this.size, offset + buffer.length);
    if (end <= offset) return 0;
    for (let at = offset; at < end; ) {
      const number = Math.floor(at / BLOCK_BYTES);
      const block = this.#kept.get(number) ?? (await this.#fetch(number, Math.ceil(end / BLOCK_BYTES)));
      const part = block.subarray(at - number * BLOCK_BYTES, end - number * BLOCK_BYTES);
      buffer.set(part, at - offset);
      at += part.length;
    }
    return end - offset;
  }

  /**
   * The body's chunks, as they are.
   * @throws HttpFault before the end of a block that is not what was read ahead
   */
  async *compared(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let offset = 0;
    let hash: Hash | null = null;
    for await (const chunk of chunks) {
      for (let taken = 0; taken < chunk.length; ) {
        const number = Math.floor(offset / BLOCK_BYTES);
        const left = Math.min((number + 1) * BLOCK_BYTES, this.size) - offset;
        const part = chunk.subarray(taken, taken + left);
        const expected = this.#digests.get(number);
        if (expected !== undefined) {
          hash ??= createHash("sha256");
          hash.update(part);
          if (part.length === left) {
            if (hash.digest("hex") !== expected) throw changedImage(number);
            hash = null;
          }
        }
        offset += part.length;
        taken += part.length;
      }
      yield chunk;
    }
  }

  /** Reads block `first` and those after it that are not known yet, up to block `end`, at once; the first is returned. */
  async #fetch(first: number, end: number): Promise<Uint8Array> {
    let last = first + 1;
    while (last < end && last - first < KEPT_BLOCKS && !this.#kept.has(last)) last++;
    const offset = first * BLOCK_BYTES;
    const length = Math.min(last * BLOCK_BYTES, this.size) - offset;
    this.#bytes += length;
    this.#reads++;
    if (this.#bytes > MAX_BYTES || this.#reads > MAX_READS)
      throw new ProbeLimitError(`${this.#reads} places of the image with ${this.#bytes} bytes`);
    const bytes = await this.#readRange(offset, length);
    for (let number = first; number < last; number++)
      this.#keep(number, bytes.subarray((number - first) * BLOCK_BYTES, (number - first + 1) * BLOCK_BYTES));
    return bytes.subarray(0, BLOCK_BYTES);
  }

  #keep(number: number, block: Uint8Array): void {
    const digest = createHash("sha256").update(block).digest("hex");
    const before = this.#digests.get(number);
    if (before !== undefined && before !== digest) throw changedImage(number);
    this.#digests.set(number, digest);
    this.#kept.set(number, block);
    const oldest = this.#kept.keys().next();
    if (this.#kept.size > KEPT_BLOCKS && !oldest.done) this.#kept.delete(oldest.value);
  }
}

function changedImage(number: number): HttpFault {
  const start = number * BLOCK_BYTES;
  return new HttpFault(
    `the bytes from ${start} on were others when they were read ahead: the file changes on the server, several servers ` +
      "behind one address have different files, or data is damaged on the way",
  );
}
