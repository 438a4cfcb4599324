// What this run of the agent has put on the disk: read by get_partition_uuids and install_bootloader after
// write_image is done. Owned by the agent, in memory only: a restarted agent knows nothing, as the conductor expects.

import type { JsonObject } from "../json.ts";

export class Deployment {
  #partitionUuids: JsonObject = {};

  /** `{}` before an image was written; `{"root uuid": …}` for a whole disk. Keys are the wire's. */
  get partitionUuids(): JsonObject {
    return this.#partitionUuids;
  }

  /** A new write begins: what is known of the old one is void. */
  clear(): void {
    this.#partitionUuids = {};
  }

  written(partitionUuids: JsonObject): void {
    this.#partitionUuids = partitionUuids;
  }
}
