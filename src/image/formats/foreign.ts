// Formats of other virtual machines that are told by a few bytes and refer to nothing outside themselves. QED is recognised only
// to be refused: it can name other files, and nobody makes it any more. Source: deploy specification 2.9; qemu block/vdi.c.

import {
  type FormatInspector,
  type FormatName,
  hasText,
  type ImageReader,
  refuse,
  safeNumber,
} from "./inspector.ts";

/** VDI image types whose content is all in the file: dynamic and fixed; the others are differences to another file. */
const VDI_WHOLE = [1, 2];
const VDI_HEADER = 0x178;
const LUKS_HEADER = 112;

export const vdi: FormatInspector = {
  name: "vdi",
  async inspect(image) {
    const header = await image.read(0, VDI_HEADER);
    if (header.byteLength < 0x44 || header.getUint32(0x40, true) !== 0xbeda107f) return null;
    if (header.byteLength < VDI_HEADER) return refuse("the file ends in its header");
    const virtualSize = safeNumber(header.getBigUint64(0x170, true));
    if (virtualSize === null) return refuse("impossible virtual size");
    if (!VDI_WHOLE.includes(header.getUint32(0x4c, true)))
      return refuse("it is a difference to another image", virtualSize);
    return { virtualSize, problem: null };
  },
};

export const qed = recognised("qed", async (image) =>
  hasText(await image.read(0, 4), 0, "QED\0") ? "the format is not supported" : null,
);

/** Copied as it is: the disk gets the encrypted volume. */
export const luks = recognised("luks", async (image) => {
  const header = await image.read(0, LUKS_HEADER);
  if (!hasText(header, 0, "LUKS\xba\xbe")) return null;
  if (header.byteLength < LUKS_HEADER) return "the file ends in its header";
  const version = header.getUint16(6);
  return version === 1 ? "" : `unknown LUKS version ${version}`;
});

/** `judge` says null for another format, else what is wrong with it, "" if nothing is. */
function recognised(
  name: FormatName,
  judge: (image: ImageReader) => Promise<string | null>,
): FormatInspector {
  return {
    name,
    async inspect(image) {
      const problem = await judge(image);
      return problem === null ? null : { virtualSize: image.size, problem: problem === "" ? null : problem };
    },
  };
}
