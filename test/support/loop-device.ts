// Loop devices on files of the test's own: real disks to the kernel and to every tool, and nobody's data.
// Needs root and a kernel with loop; where that is missing, tests say so and are skipped.

import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";

export type LoopDevice = AsyncDisposable & {
  /** "/dev/loop3" */
  readonly path: string;
  readonly backingFile: string;
  /** Bytes. */
  readonly size: number;
};

/** Why loop devices cannot be used here; null if they can. */
export const noLoopDevices: string | null = await reason();

/** A loop device of `size` zero bytes; the file is sparse. */
export async function loopDevice(size: number, sectorSize: 512 | 4096 = 512): Promise<LoopDevice> {
  const directory = await mkdtemp(`${tmpdir()}/loop-`);
  const backingFile = `${directory}/disk`;
  await writeFile(backingFile, "");
  await truncate(backingFile, size);
  const options = ["--find", "--show", "--partscan", "--sector-size", String(sectorSize)];
  const path = (await losetup(...options, backingFile)).trim();
  return {
    path,
    backingFile,
    size,
    [Symbol.asyncDispose]: async () => {
      await losetup("--detach", path);
      await rm(directory, { recursive: true });
    },
  };
}

/** Runs a tool of the test itself; its standard output. */
export async function tool(...argv: string[]): Promise<string> {
  const child = Bun.spawn(argv, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0)
    throw new Error(`${argv.join(" ")}: exit code ${child.exitCode}: ${errors}`);
  return output;
}

function losetup(...args: string[]): Promise<string> {
  return tool("losetup", ...args);
}

async function reason(): Promise<string | null> {
  if (process.getuid?.() !== 0) return "needs root";
  try {
    await losetup("--find");
    return null;
  } catch (error) {
    return `needs loop devices: ${error}`;
  }
}
