// One image on its way to one disk: what the ways of writing it share. Everything in a job was checked before the disk is
// touched.

import type { ImageInfo } from "../image/image-info.ts";
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
