// What the inspectors of image formats have in common. Each looks at the bytes alone and reads a bounded number of them;
// headers come from whoever made the image, so every length and offset in them is taken for a lie until checked.

/** Positioned reads of an image; fewer bytes than asked for only at its end. */
export interface ImageReader {
  /** Bytes of the file. */
  readonly size: number;
  read(offset: number, length: number): Promise<DataView>;
}

export type FormatName = "raw" | "gpt" | "qcow2" | "vhd" | "vhdx" | "vmdk" | "vdi" | "qed" | "iso" | "luks";

export type Inspection = {
  /** Bytes that the image has on a disk. */
  readonly virtualSize: number;
  /** Why the image must not be used; null if nothing is wrong with it. */
  readonly problem: string | null;
  /** The format is a raw image with something behind it, so the bytes in front look like a disk as well. */
  readonly aroundDisk?: boolean;
};

export interface FormatInspector {
  readonly name: FormatName;
  /** Null if the image is not of this format. Never throws for what the bytes say. */
  inspect(image: ImageReader): Promise<Inspection | null>;
}

/** True if the bytes of `text` (Latin-1) stand at `offset`. */
export function hasText(view: DataView, offset: number, text: string): boolean {
  if (offset + text.length > view.byteLength) return false;
  return [...text].every((char, index) => view.getUint8(offset + index) === char.charCodeAt(0));
}

/** A 64-bit number as a JavaScript number; null above 2^53, which no disk has bytes for. */
export function safeNumber(value: bigint): number | null {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : null;
}

/** Shorthand for a verdict against an image. */
export function refuse(problem: string, virtualSize = 0): Inspection {
  return { virtualSize, problem };
}
