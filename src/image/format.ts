// What an image is, told by its bytes and never by its name, and whether it may be written. Everything here happens before
// the disk is touched and before any tool sees the file. Source: deploy specification 2.9; CVE-2024-44082.

import { InvalidImage } from "../errors.ts";
import type { FileSource } from "../system/files.ts";
import { luks, qed, vdi } from "./formats/foreign.ts";
import type { FormatInspector, FormatName, ImageReader, Inspection } from "./formats/inspector.ts";
import { optical } from "./formats/optical.ts";
import { partitioned } from "./formats/partitioned.ts";
import { qcow2 } from "./formats/qcow2.ts";
import { vhd, vhdx } from "./formats/virtual-pc.ts";
import { vmdk } from "./formats/vmdk.ts";

/** An image that passed. */
export type ImageFormat = {
  readonly name: FormatName;
  /** Bytes it takes on a disk. */
  readonly virtualSize: number;
};

/** Positioned reads of an image, wherever it is. */
export type ImageFile = Pick<FileSource, "size" | "read">;

export type FormatPolicy = {
  /** Option permitted_image_formats. */
  readonly permitted: readonly string[];
  /** disk_format of the image_info; null if unknown. */
  readonly expected: string | null;
  /** False (option disable_deep_image_inspection) takes the first format that matches, whatever is in it. */
  readonly enforce: boolean;
};

/** Formats that are written byte by byte. */
const COPIED: readonly FormatName[] = ["raw", "gpt", "iso", "luks"];
/** Formats that have to be unpacked, with qemu's name for each: never left to qemu to tell. */
const CONVERTED: Readonly<Partial<Record<FormatName, string>>> = {
  qcow2: "qcow2",
  vhd: "vpc",
  vhdx: "vhdx",
  vmdk: "vmdk",
  vdi: "vdi",
};
/** What is permitted beyond these is still refused. */
const WRITABLE: readonly string[] = [...COPIED, ...Object.keys(CONVERTED)];
/** Values of disk_format that say how an image is used, not what its bytes are. */
const MEANINGLESS = new Set(["unknown", "ami", "ari", "aki", "iso", "docker", "bare"]);

const INSPECTORS: readonly FormatInspector[] = [qcow2, partitioned, optical, vhd, vhdx, vmdk, vdi, qed, luks];

/** qemu's name of a format that has to be converted; null for one that is copied. */
export function qemuDriver({ name }: ImageFormat): string | null {
  return CONVERTED[name] ?? null;
}

/**
 * The format of an image, after all checks.
 * @throws InvalidImage
 */
export async function inspectImage(file: ImageFile, policy: FormatPolicy): Promise<ImageFormat> {
  const { expected } = policy;
  if (expected === "raw" || expected === "gpt") return { name: expected, virtualSize: file.size };
  const matches = await matchingFormats(imageReader(file));
  const format = policy.enforce ? onlySafe(matches) : matches[0];
  const found = format ?? { name: "raw", virtualSize: file.size };
  const permitted = policy.enforce ? WRITABLE.filter((name) => policy.permitted.includes(name)) : WRITABLE;
  if (!permitted.includes(found.name))
    throw new InvalidImage(
      `Security: Detected image format was ${found.name}, but only ${permitted.join(", ")} are allowed`,
    );
  if (policy.enforce && expected !== null && !MEANINGLESS.has(expected) && expected !== found.name)
    throw new InvalidImage(`Security: Expected format was ${expected}, but image was actually ${found.name}`);
  return { name: found.name, virtualSize: found.virtualSize };
}

type Match = { readonly name: FormatName } & Inspection;

/** Every format the bytes could be taken for; none means raw. */
export async function matchingFormats(image: ImageReader): Promise<Match[]> {
  const matches: Match[] = [];
  for (const inspector of INSPECTORS) {
    const inspection = await inspector.inspect(image);
    if (inspection !== null) matches.push({ name: inspector.name, ...inspection });
  }
  const around = matches.some(({ aroundDisk }) => aroundDisk === true);
  return around ? matches.filter(({ name }) => name !== "gpt") : matches;
}

function onlySafe(matches: readonly Match[]): Match | undefined {
  const [match, another] = matches;
  if (another !== undefined)
    throw new InvalidImage(
      `Security: Image matched multiple potential formats (${matches.map(({ name }) => name).join(", ")})`,
    );
  if (match !== undefined && match.problem !== null)
    throw new InvalidImage(`Security: Image failed safety check (${match.name}: ${match.problem})`);
  return match;
}

/** As inspectors want it. */
export function imageReader(file: ImageFile): ImageReader {
  return {
    size: file.size,
    async read(offset, length) {
      const buffer = new Uint8Array(Math.max(0, Math.min(length, file.size - offset)));
      const read = await file.read(buffer, offset);
      return new DataView(buffer.buffer, 0, read);
    },
  };
}
