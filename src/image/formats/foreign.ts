// Formats that are recognised so that nothing passes for a raw image, but that this agent does not write: an image that
// is one of these is refused by its name, before any tool sees it. Virtual sizes are therefore not looked for.
// Source: deploy specification 2.9.

import { type FormatInspector, type FormatName, hasText, type ImageReader } from "./inspector.ts";

/** The text a VMDK descriptor without a sparse header consists of. */
const VMDK_DESCRIPTOR_LIMIT = 1024 * 1024;

/** Virtual PC. A fixed-size image has its footer only, in the last 512 bytes; older tools wrote 511. */
export const vhd = recognised("vhd", async (image) => {
  if (hasText(await image.read(0, 8), 0, "conectix")) return true;
  if (image.size < 512) return false;
  const tail = await image.read(image.size - 512, 512);
  return hasText(tail, 0, "conectix") || hasText(tail, 1, "conectix");
});

export const vhdx = recognised("vhdx", async (image) => hasText(await image.read(0, 8), 0, "vhdxfile"));

/** A sparse extent (KDMV, or COWD of old ESX), or a bare descriptor: text that names other files. */
export const vmdk = recognised("vmdk", async (image) => {
  const start = await image.read(0, 4);
  if (hasText(start, 0, "KDMV") || hasText(start, 0, "COWD")) return true;
  if (image.size > VMDK_DESCRIPTOR_LIMIT || (start.byteLength > 0 && start.getUint8(0) === 0)) return false;
  const view = await image.read(0, image.size);
  const text = new TextDecoder("latin1").decode(view);
  return /^[\t\r\n -~]*$/.test(text) && /^\s*createType\s*=/im.test(text);
});

export const vdi = recognised("vdi", async (image) => {
  const header = await image.read(0x40, 4);
  return header.byteLength === 4 && header.getUint32(0, true) === 0xbeda107f;
});

export const qed = recognised("qed", async (image) => hasText(await image.read(0, 4), 0, "QED\0"));

export const luks = recognised("luks", async (image) => hasText(await image.read(0, 6), 0, "LUKS\xba\xbe"));

function recognised(name: FormatName, matches: (image: ImageReader) => Promise<boolean>): FormatInspector {
  return {
    name,
    inspect: async (image) => ((await matches(image)) ? { virtualSize: image.size, problem: null } : null),
  };
}
