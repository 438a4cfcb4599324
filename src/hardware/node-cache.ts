// The node this agent works for, as Ironic last described it: root device hints are read from here.
// A node with another UUID may have other hints, so caching one waits for its disks.

import { errorText } from "../errors.ts";
import { isJsonObject, type JsonObject } from "../json.ts";
import type { Logger } from "../system/log.ts";

/** Asks Ironic for the node again, with the UUID the agent knows. */
export type LookUpNode = (cached: JsonObject | null) => Promise<JsonObject>;

export class NodeCache {
  readonly #log: Logger;
  readonly #waitForDisks: () => Promise<void>;
  #current: JsonObject | null = null;
  #lookUp: LookUpNode | null = null;

  /** Set from the look-up's `config.agent_skip_bmc_detect`: the inventory then does not ask the BMC. */
  skipBmcDetection = false;

  constructor(log: Logger, waitForDisks: () => Promise<void>) {
    this.#log = log;
    this.#waitForDisks = waitForDisks;
  }

  get current(): JsonObject | null {
    return this.#current;
  }

  /** Stores the node, without its config drive; returns after its disks were waited for if its UUID is new. */
  async cache(node: JsonObject): Promise<void> {
    const known = this.#current !== null && this.#current.uuid === node.uuid;
    this.#current = withoutConfigDrive(node);
    if (!known) await this.#waitForDisks();
  }

  /** From now on `refresh` asks this function. */
  refreshWith(lookUp: LookUpNode): void {
    this.#lookUp = lookUp;
  }

  /** Looks the node up once more. Without a look-up function, or when it fails, the old node stays. */
  async refresh(): Promise<void> {
    if (this.#lookUp === null) return;
    try {
      await this.cache(await this.#lookUp(this.#current));
    } catch (error) {
      this.#log.warning(`refreshing the node from Ironic: ${errorText(error)}; using the one already known`);
    }
  }
}

/**
 * A conductor shows the config drive to `execute_deploy_step` alone, and masks it everywhere else. It may have 64 MiB, and the node is
 * kept for as long as the agent runs, and told to every plug-in.
 */
function withoutConfigDrive(node: JsonObject): JsonObject {
  const { instance_info: info } = node;
  if (!isJsonObject(info) || (info.configdrive ?? null) === null) return node;
  return { ...node, instance_info: { ...info, configdrive: "******" } };
}
