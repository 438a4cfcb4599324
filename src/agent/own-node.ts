// Which node this machine is: found out from Ironic by the MAC addresses, or told to a standalone agent. Takes over what
// comes with the answer: settings, the token, and the node itself for the hardware managers.
// Source: control-plane specification 5.3, 5.4, 5.7 and 9.3.

import type { Config } from "../config/config.ts";
import { InvalidCommandParamsError } from "../errors.ts";
import type { HardwareManagers } from "../hardware/managers.ts";
import type { IronicApi } from "../ironic/api-client.ts";
import { lookUpNode } from "../ironic/lookup.ts";
import {
  applyLookupAnswer,
  type LookupAnswer,
  parseLookupAnswer,
  UnusableAnswerError,
} from "../ironic/lookup-answer.ts";
import type { AgentToken } from "../ironic/token.ts";
import type { JsonObject } from "../json.ts";
import type { AgentMetrics } from "../metrics/agent-metrics.ts";
import type { Logger } from "../system/log.ts";
import type { System } from "../system/system.ts";

export type OwnNodeOptions = {
  readonly system: System;
  readonly config: Config;
  readonly log: Logger;
  readonly token: AgentToken;
  readonly managers: HardwareManagers;
  readonly metrics: AgentMetrics;
};

export class OwnNode {
  readonly #options: OwnNodeOptions;

  constructor(options: OwnNodeOptions) {
    this.#options = options;
  }

  /**
   * Asks until Ironic knows. `nodeUuid`: what an inspection of this machine was answered.
   * "token lost": see applyLookupAnswer. @throws LookupNodeError when lookup_timeout has passed; the signal's reason
   */
  async lookUp(
    ironic: IronicApi,
    known: { readonly nodeUuid?: string },
    signal: AbortSignal,
  ): Promise<LookupAnswer | "token lost"> {
    const { system, config, log, managers, token } = this.#options;
    const inventory = await managers.inventory({ useCache: true });
    const macs = inventory.interfaces.map(({ mac_address }) => mac_address).filter((mac) => mac !== "");
    const [timeout, requestTimeout] = [config.get("lookup_timeout"), config.get("http_request_timeout")];
    const ask = (query: { readonly nodeUuid?: string }) => {
      const answer = token.held ? requestTimeout : Math.max(requestTimeout, timeout);
      const patience = { timeout, interval: config.get("lookup_interval"), answer };
      return lookUpNode(ironic, { macs, ...query }, patience, { clock: system.clock, log }, signal);
    };
    const answer = await ask(known);
    log.info(`This machine is node ${answer.uuid}`);
    // Only the node of later answers counts: their token is masked by then.
    managers.node.refreshWith(async () => (await ask({ nodeUuid: answer.uuid })).node);
    return (await this.#apply(answer)) === "lost" ? this.#explainLostToken(answer) : answer;
  }

  /**
   * What a standalone agent is told with the command poll.set_node_info, in the form of a lookup answer.
   * @throws InvalidCommandParamsError
   */
  async takeOver(answer: JsonObject): Promise<void> {
    try {
      await this.#apply(parseLookupAnswer(answer));
    } catch (error) {
      if (!(error instanceof UnusableAnswerError)) throw error;
      throw new InvalidCommandParamsError(`node_info cannot be used: ${error.message}`);
    }
  }

  async #apply(answer: LookupAnswer): Promise<"usable" | "lost"> {
    const { config, log, token, managers, metrics } = this.#options;
    managers.node.skipBmcDetection = answer.settings.agent_skip_bmc_detect === true;
    const state = applyLookupAnswer(answer, config, token, log);
    await metrics.configure(answer.uuid);
    await managers.node.cache(answer.node);
    return state;
  }

  /** Ending here would only make the service manager start this again, with the same result. */
  #explainLostToken({ uuid }: LookupAnswer): "token lost" {
    this.#options.log.error(
      `Ironic handed out the token for node ${uuid} before, and this agent does not have it: most likely the agent was ` +
        "restarted without the machine being rebooted, or the answer to an earlier lookup was lost on its way (then " +
        "there are warnings above). Ironic will not take its heartbeats and it cannot be commanded, so it serves " +
        "nothing and waits. Abort the node's operation in Ironic, or reboot the machine through Ironic, which makes a " +
        "new token.",
    );
    return "token lost";
  }
}
