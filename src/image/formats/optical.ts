// ISO 9660 and UDF images. Source: ECMA-119, ECMA-167; deploy specification 2.9.

import { type FormatInspector, hasText } from "./inspector.ts";

/** Byte 1 of the first volume descriptor, after 16 sectors of 2048 bytes. */
const IDENTIFIER = 16 * 2048 + 1;

export const optical: FormatInspector = {
  name: "iso",
  async inspect(image) {
    const descriptor = await image.read(IDENTIFIER, 5);
    const known = ["CD001", "NSR02", "NSR03"].some((text) => hasText(descriptor, 0, text));
    // The volume may claim any size; what would be copied is the file.
    return known ? { virtualSize: image.size, problem: null } : null;
  },
};
