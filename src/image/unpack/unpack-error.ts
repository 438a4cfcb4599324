/** Compressed data that is not what it should be; the message says why, as the end of a sentence about the file. */
export class UnpackError extends Error {}

/** Lets the rest go by, for the checksum: it tells a broken file from a broken transfer. */
export async function drain(rest: AsyncIterator<Uint8Array>): Promise<void> {
  while (!(await rest.next()).done);
}
