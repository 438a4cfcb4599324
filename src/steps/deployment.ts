// What this run of the agent has put on the disk: read by get_partition_uuids and install_bootloader after
// write_image is done, and what it has lent to the conductor. Owned by the agent, in memory only: a restarted agent knows nothing, as the conductor expects.

import type { JsonObject } from "../json.ts";

export type WrittenImage = {
  readonly kind: "whole disk" | "partition";
  /** `{"root uuid": …}` and for partition images more; keys are the wire's. */
  readonly uuids: JsonObject;
  /** The node boots from the network: nothing on the disk will be asked to boot. */
  readonly netboot: boolean;
};

/** A disk that a conductor may write to over iSCSI. */
export type OfferedDisk = {
  readonly disk: string;
  readonly iqn: string;
  /** Takes it back. @throws ISCSIError, ProgramFailedError */
  readonly withdraw: () => Promise<void>;
};

export class Deployment {
  #written: WrittenImage | null = null;
  /** Null unless this run of the agent has offered one. */
  offered: OfferedDisk | null = null;

  /** Null before an image was written. */
  get image(): WrittenImage | null {
    return this.#written;
  }

  /** `{}` before an image was written. */
  get partitionUuids(): JsonObject {
    return this.#written?.uuids ?? {};
  }

  /** A new write begins: what is known of the old one is void. */
  clear(): void {
    this.#written = null;
  }

  written(image: WrittenImage): void {
    this.#written = image;
  }
}
