/** The first bytes of a stream, and the stream as if nobody had looked. */
export type Peeked = {
  /** As many as were asked for; fewer only if there are no more. */
  readonly start: Uint8Array;
  /** To be iterated once, or returned: either closes the source. */
  readonly chunks: AsyncGenerator<Uint8Array, void, void>;
};

/** @throws what `chunks` throws, which is closed then */
export async function peekChunks(chunks: AsyncIterable<Uint8Array>, length: number): Promise<Peeked> {
  const source = chunks[Symbol.asyncIterator]();
  const kept: Uint8Array[] = [];
  for (let size = 0; size < length; ) {
    const { done, value } = await source.next();
    if (done) break;
    // Its maker may fill it anew for the next one.
    kept.push(Uint8Array.from(value));
    size += value.length;
  }
  const held = Buffer.concat(kept);
  return { start: held.subarray(0, length), chunks: continued(held, source) };
}

async function* continued(
  held: Uint8Array,
  source: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  try {
    if (held.length > 0) yield held;
    for (let next = await source.next(); !next.done; next = await source.next()) yield next.value;
  } finally {
    await source.return?.();
  }
}
