// The frames of a Zstandard file as it passes by: where each ends, so that a file cut short and bytes behind the last frame
// are noticed, and how much memory a frame asks for. Source: RFC 8878.

import { UnpackError } from "./unpack-error.ts";

const MAGIC = 0xfd2fb528;
const SKIPPABLE = 0x184d2a50;
/** Of the zstd program without --long: what every file packed in an ordinary way needs at most. */
const MAX_WINDOW = 128 * 1024 * 1024;
const LARGEST_HEADER = 16;

/** The next bytes: to be looked at, or passed over. */
type Part = {
  readonly size: number;
  readonly seen: boolean;
  /** The file may end in front of them. */
  readonly mayEnd?: boolean;
};
type Walk = Generator<Part, never, DataView>;

const look = (size: number): Part => ({ size, seen: true });
const pass = (size: number): Part => ({ size, seen: false });

export class ZstdFrames {
  readonly #walk: Walk = frames();
  readonly #seen = new DataView(new ArrayBuffer(LARGEST_HEADER));
  #part: Part = this.#walk.next().value;
  #have = 0;

  /** @throws UnpackError */
  update(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const taken = Math.min(this.#part.size - this.#have, bytes.length - at);
      if (this.#part.seen)
        for (let i = 0; i < taken; i++) this.#seen.setUint8(this.#have + i, bytes[at + i] ?? 0);
      this.#have += taken;
      at += taken;
      while (this.#have === this.#part.size) {
        this.#part = this.#walk.next(this.#seen).value;
        this.#have = 0;
      }
    }
  }

  /** @throws UnpackError if the file must go on */
  end(): void {
    if (this.#have > 0 || this.#part.mayEnd !== true) throw new UnpackError("it ends too early");
  }
}

function* frames(): Walk {
  for (let first = true; ; first = false) {
    const magic = (yield { size: 4, seen: true, mayEnd: !first }).getUint32(0, true);
    if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE) yield pass((yield look(4)).getUint32(0, true));
    else if (magic === MAGIC) yield* frame();
    else throw new UnpackError("something that is no frame follows in it");
  }
}

function* frame(): Generator<Part, void, DataView> {
  const descriptor = (yield look(1)).getUint8(0);
  const singleSegment = (descriptor & 0x20) !== 0;
  if (!singleSegment) requireWindow(windowOf((yield look(1)).getUint8(0)));
  const dictionary = [0, 1, 2, 4][descriptor & 3] ?? 0;
  if (dictionary > 0) yield pass(dictionary);
  const sizeBytes = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  if (sizeBytes > 0) {
    const size = littleEndian(yield look(sizeBytes), sizeBytes);
    // Without a window of its own, a frame has all of its content in memory.
    if (singleSegment) requireWindow(size);
  }
  for (let last = false; !last; ) {
    const header = littleEndian(yield look(3), 3);
    last = (header & 1) !== 0;
    // A run-length block has one byte, however many it stands for.
    yield pass(((header >> 1) & 3) === 1 ? 1 : header >> 3);
  }
  if ((descriptor & 4) !== 0) yield pass(4);
}

function requireWindow(size: number): void {
  if (size > MAX_WINDOW)
    throw new UnpackError(
      `unpacking it takes a window of ${size} bytes, and ${MAX_WINDOW} are the limit; pack it without --long`,
    );
}

function windowOf(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

function littleEndian(view: DataView, bytes: number): number {
  let value = 0;
  for (let at = bytes - 1; at >= 0; at--) value = value * 256 + view.getUint8(at);
  return value;
}
