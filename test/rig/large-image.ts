// The demo's image on a larger disk, most of which is data that nothing can compress: what a machine must read, unpack and
// write for a server's real image, and more than its memory holds. The data lies behind the partitions, where the system that
// boots does not look.

import { randomBytes } from "node:crypto";
import { copyFile, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cached, cacheKey } from "./cache.ts";
import type { DemoImage, ImageFile } from "./image.ts";
import { run } from "./programs.ts";
import type { BaseOptions } from "./ramdisk.ts";

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
/** Written at a time, in MiB. */
const PIECE_MIB = 64;
/** How much of the disk is data; the rest is holes, as in any image. */
const FILLED = 0.75;

export interface LargeImage extends Omit<ImageFile, "sha512"> {
  /** Size of the disk that the image needs, in bytes. */
  virtualSizeBytes: number;
}

/** A qcow2 of `gib` GiB, from the cache under .cache/rig when nothing changed. */
export async function largeImage(
  image: DemoImage,
  gib: number,
  options: BaseOptions = {},
): Promise<LargeImage> {
  const key = await cacheKey([image.qcow2.sha256, String(gib)], [import.meta.path]);
  const directory = await cached("large-image", key, options, async (work, logFile) => {
    options.report?.(`filling an image of ${gib} GiB`);
    const file = join(work, "image.qcow2");
    await copyFile(image.qcow2.file, file);
    await run(["qemu-img", "resize", "-q", file, `${gib}G`], { logFile });
    const piece = join(work, "piece");
    const firstMiB = Math.ceil(image.virtualSizeBytes / MIB / PIECE_MIB) * PIECE_MIB;
    for (let at = firstMiB; at + PIECE_MIB <= gib * 1024 * FILLED; at += PIECE_MIB) {
      options.signal?.throwIfAborted();
      await writeFile(piece, randomBytes(PIECE_MIB * MIB));
      const command = `write -q -s ${piece} ${at}M ${PIECE_MIB}M`;
      await run(["qemu-io", "-f", "qcow2", "-c", command, file], { logFile });
    }
    await rm(piece);
    const { stdout } = await run(["sha256sum", "image.qcow2"], { cwd: work });
    await writeFile(join(work, "sha256"), stdout.slice(0, 64));
  });
  const file = join(directory, "image.qcow2");
  return {
    file,
    sizeBytes: Bun.file(file).size,
    sha256: await readFile(join(directory, "sha256"), "utf8"),
    virtualSizeBytes: gib * GIB,
  };
}
