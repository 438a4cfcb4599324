// One image on its way to one disk: what the ways of writing it share. Everything in a job was checked before the disk is
// touched.

import type { ImageInfo } from "../image/image-info.ts";
import { wipeEnds } from "../image/stream-to-device.ts";
import type { ImageTarget } from "../image/transfer-options.ts";
import type { StepContext } from "./step.ts";

/** What writing needs of a step's context; `standby.prepare_image` builds the same. */
export type WriteImageContext = Pick<
  StepContext,
  "system" | "config" | "node" | "signal" | "report" | "installDevice" | "deployment"
>;

export type ImageJob = {
  readonly image: ImageInfo;
  /** The install device. */
  readonly disk: string;
  /** A file system image; null = none. */
  readonly configDrive: Uint8Array | null;
  /** Downloads, verifies and writes the image. */
  readonly transfer: (target: ImageTarget) => Promise<void>;
};

export function rescanOptions({ config, signal }: WriteImageContext) {
  return { attempts: config.get("disk_utils.partprobe_attempts"), signal };
}

/** Makes a disk that holds half a deployment unbootable. Never fails: it follows a failure that must not be hidden. */
export async function wipeAfterFailure(system: WriteImageContext["system"], disk: string): Promise<void> {
  try {
    await using device = await system.blockDevices.open(disk, "write-exclusive");
    await wipeEnds(device);
  } catch (error) {
    system.log.error(`cannot wipe the start and the end of ${disk} after a failed deploy`, error);
  }
}
