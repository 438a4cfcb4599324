// What this run of the agent has put on the disk: read by get_partition_uuids and install_bootloader after
// write_image is done, and what it has lent to the conductor. Owned by the agent, in memory only: a restarted agent knows nothing, as the conductor expects.

import type { JsonObject } from "../json.ts";

export type WrittenImage = {
  readonly kind: "whole disk" | "partition";
  /** `{"root uuid": …}` and for partition images more; keys are the wire's. */
  readonly uuids: JsonObject;
  /** The node boots from the network: nothing on the disk will be asked to boot. */
  readonly netboot: boolean;
  /** Device node of the config drive's partition on a whole disk, if it got one. */
  readonly configDrive?: string;
};

/** What proves later that an image is still where it was put; see same-image.ts. */
export type WriteProof = {
  readonly identity: string;
  readonly table: string | null;
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
  #proof: WriteProof | null = null;
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

  /** A new write begins: what is known of the old one is void. Returns that, if there is proof of it. */
  clear(): (WriteProof & { readonly image: WrittenImage }) | null {
    const old =
      this.#written === null || this.#proof === null ? null : { ...this.#proof, image: this.#written };
    this.#written = null;
    this.#proof = null;
    return old;
  }

  /** Without proof the same image will be written again if asked for. */
  written(image: WrittenImage, proof: WriteProof | null = null): void {
    this.#written = image;
    this.#proof = proof;
  }
}
