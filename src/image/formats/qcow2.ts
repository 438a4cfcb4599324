// qcow2. qemu-img follows what the header names: a backing file or an external data file of an image from a tenant would put
// files of the ramdisk on the tenant's disk. Everything with such a reference, and every feature unknown here, is refused.
// Source: qemu docs/interop/qcow2.txt; deploy specification 2.9; CVE-2024-44082.

import { type FormatInspector, type ImageReader, type Inspection, refuse, safeNumber } from "./inspector.ts";

const MAGIC = 0x514649fb;
const HEADER_V2 = 72;
const HEADER_V3 = 104;
/** Incompatible features: 0 dirty, 1 corrupt and 3 compression type are harmless to a reader; 2 and from 4 on are not. */
const EXTERNAL_DATA_FILE = 1n << 2n;
const COMPRESSION_TYPE = 1n << 3n;
const KNOWN_FEATURES = 0b1111n;
const ZSTD = 1;

export const qcow2: FormatInspector = {
  name: "qcow2",
  async inspect(image) {
    const header = await image.read(0, HEADER_V3 + 8);
    if (header.byteLength < 4 || header.getUint32(0) !== MAGIC) return null;
    if (header.byteLength < HEADER_V2) return refuse("the file ends in its header");
    return judge(header, image);
  },
};

function judge(header: DataView, image: ImageReader): Inspection {
  const version = header.getUint32(4);
  const virtualSize = safeNumber(header.getBigUint64(24));
  if (version !== 2 && version !== 3) return refuse(`unknown qcow2 version ${version}`);
  if (virtualSize === null) return refuse("impossible virtual size");
  const problem = commonProblem(header, image.size) ?? (version === 3 ? versionThreeProblem(header) : null);
  return { virtualSize, problem };
}

function commonProblem(header: DataView, fileSize: number): string | null {
  const clusterBits = header.getUint32(20);
  if (header.getBigUint64(8) !== 0n) return "it has a backing file";
  if (header.getUint32(32) !== 0) return "it is encrypted";
  if (clusterBits < 9 || clusterBits > 21) return `impossible cluster size (2^${clusterBits})`;
  const l1Bytes = header.getUint32(36) * 8;
  if (!within(header.getBigUint64(40), l1Bytes, fileSize))
    return "its L1 table lies beyond the end of the file";
  const refcountBytes = header.getUint32(56) * 2 ** clusterBits;
  if (!within(header.getBigUint64(48), refcountBytes, fileSize))
    return "its reference count table lies beyond the end of the file";
  return null;
}

function versionThreeProblem(header: DataView): string | null {
  if (header.byteLength < HEADER_V3) return "the file ends in its header";
  const features = header.getBigUint64(72);
  if ((features & EXTERNAL_DATA_FILE) !== 0n) return "it has an external data file";
  if ((features & ~KNOWN_FEATURES) !== 0n)
    return `it needs features this agent does not know (0x${features.toString(16)})`;
  const headerLength = header.getUint32(100);
  if (headerLength < HEADER_V3) return `impossible header length ${headerLength}`;
  if ((features & COMPRESSION_TYPE) !== 0n) {
    const type = headerLength > HEADER_V3 && header.byteLength > HEADER_V3 ? header.getUint8(104) : 0;
    if (type > ZSTD) return `unknown compression type ${type}`;
  }
  return null;
}

function within(offset: bigint, length: number, fileSize: number): boolean {
  return offset + BigInt(length) <= BigInt(fileSize);
}
