// qemu-img, the only program that sees an image's content. It gets the format from our own inspection, never guesses it,
// and runs under an address space limit, because it once took all memory of the machines it ran on.
// Source: deploy specification 2.8; release notes of ironic-lib.

import { ImageWriteError } from "../errors.ts";
import { ProgramFailedError } from "../system/programs.ts";
import type { System } from "../system/system.ts";

export type ConvertOptions = {
  /** qemu's driver name of the source. */
  readonly format: string;
  /** Address space limit, MiB. */
  readonly memoryLimit: number;
  /** Runs in all, if memory is short. */
  readonly attempts: number;
  /** Per cent done, as qemu-img tells. */
  readonly onPercent: (percent: number) => void;
  readonly signal: AbortSignal;
};

/** What qemu-img says when its memory limit, and not the image, stopped it: sometimes better the next time. */
const MEMORY_SHORTAGE = /Resource temporarily unavailable|Cannot allocate memory/;
/** qemu-img compare's exit code for images that differ; above it are failures. */
const DIFFERENT = 1;

/**
 * Writes the content of the image file `source` from `offset` on to the same place of the block device `device`, zeros included; the rest
 * of the device keeps what it holds. The device has everything when this returns (directsync).
 * @throws ImageWriteError
 */
export async function convertToDevice(
  system: System,
  source: string,
  device: string,
  options: ConvertOptions & { readonly offset: number },
): Promise<void> {
  const { offset, format } = options;
  // A comma in a value is written twice.
  const filename = device.replaceAll(",", ",,");
  const target = `driver=raw,offset=${offset},file.driver=host_device,file.filename=${filename}`;
  const convert = ["convert", "-p", "-n", "-t", "directsync", "-S", "0", "-W", "--target-image-opts"];
  await runConvert(system, device, [...convert, contentOf(source, format, { offset }), target], options);
}

/**
 * Writes the first `size` bytes of the content of the image file `source` to a new file.
 * @throws ImageWriteError naming `device`, for which they are
 */
export async function convertStart(
  system: System,
  source: string,
  file: string,
  options: ConvertOptions & { readonly size: number; readonly device: string },
): Promise<void> {
  const { format, size, device } = options;
  const convert = ["convert", "-O", "raw", "-S", "0", contentOf(source, format, { size }), file];
  await runConvert(system, device, convert, options);
}

/** Part of the content of an image file, for qemu-img; its format is said, and never guessed. */
function contentOf(
  source: string,
  format: string,
  part: { readonly offset?: number; readonly size?: number },
): string {
  const file = { driver: format, file: { driver: "file", filename: source } };
  return `json:${JSON.stringify({ driver: "raw", ...part, file })}`;
}

async function runConvert(
  system: System,
  device: string,
  argv: readonly string[],
  options: ConvertOptions,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await runLimited(system, argv, options);
      return;
    } catch (error) {
      if (!(error instanceof ProgramFailedError)) throw error;
      if (attempt < options.attempts && MEMORY_SHORTAGE.test(error.stderr)) {
        system.log.warning(
          `qemu-img ran out of memory (attempt ${attempt} of ${options.attempts}): ${error.message}`,
        );
        await system.run(["sync"], { timeout: 3600, signal: options.signal });
        continue;
      }
      throw new ImageWriteError(
        `Writing image to device ${device} failed with exit code ${error.exitCode}. ` +
          `stdout: ${withoutProgress(error.stdout)}. stderr: ${error.stderr.trim()}`,
        { cause: error },
      );
    }
  }
}

/**
 * Compares the content of the image file `source`, which has `size` bytes, from `offset` on with the device, past the page cache.
 * @throws ImageWriteError if they differ, or cannot be compared
 */
export async function compareWithDevice(
  system: System,
  source: string,
  device: string,
  options: ConvertOptions & { readonly offset: number; readonly size: number },
): Promise<void> {
  const { format, offset, size } = options;
  // The disk is larger than the image, and what is behind it is not the image's.
  const target = JSON.stringify({
    ...{ driver: "raw", offset, size: size - offset },
    file: { driver: "host_device", filename: device, cache: { direct: true } },
  });
  try {
    const content = contentOf(source, format, { offset });
    await runLimited(system, ["compare", "-p", content, `json:${target}`], options);
  } catch (error) {
    if (!(error instanceof ProgramFailedError)) throw error;
    const said = `exit code ${error.exitCode}: ${withoutProgress(error.stdout)} ${error.stderr.trim()}`;
    throw new ImageWriteError(
      error.exitCode === DIFFERENT
        ? `What is on ${device} is not what the image holds (qemu-img compare, ${said}). The disk, its controller or the ` +
            "memory damages data without an error; test or replace them."
        : `Reading back what was written to ${device} failed (qemu-img compare, ${said}).`,
      { cause: error },
    );
  }
}

async function runLimited(
  system: System,
  argv: readonly string[],
  options: Pick<ConvertOptions, "memoryLimit" | "onPercent" | "signal">,
): Promise<void> {
  await system.run(["prlimit", `--as=${options.memoryLimit * 1024 * 1024}`, "qemu-img", ...argv], {
    // Without it, glibc reserves an arena per thread and meets the limit at random.
    environment: { MALLOC_ARENA_MAX: "3" },
    timeout: Number.POSITIVE_INFINITY,
    signal: options.signal,
    maxOutput: 64 * 1024,
    onOutput: (text) => {
      const percent = lastPercent(text);
      if (percent !== null) options.onPercent(percent);
    },
  });
}

/** The last `(12.34/100%)` in a piece of qemu-img's output; null if there is none. */
export function lastPercent(text: string): number | null {
  const last = [...text.matchAll(/\((\d+(?:\.\d+)?)\/100%\)/g)].at(-1);
  return last === undefined ? null : Number(last[1]);
}

function withoutProgress(text: string): string {
  return text.replaceAll(/\s*\(\d+(?:\.\d+)?\/100%\)\r?/g, "").trim();
}
