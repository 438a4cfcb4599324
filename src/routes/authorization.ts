// Who may command the agent and who may read results: the only authentication there is, by the agent token in
// the query.
// Rules: control-plane specification 4.9 (DEV-21), conductor-contract 2.7.

import type { Config } from "../config/config.ts";
import { API_MINOR } from "../ironic/api-client.ts";
import type { AgentToken } from "../ironic/token.ts";
import type { Logger } from "../system/log.ts";
import { unauthorized } from "./errors.ts";

export type AuthorizationSources = {
  readonly token: AgentToken;
  /** standalone, agent_token_required and the like are read from it, at each request. */
  readonly config: Config;
  readonly log: Logger;
  /** Minor number of the newest version Ironic's API offers; null as long as it is not known. */
  readonly ironicApiMinor: () => number | null;
};

export class Authorization {
  readonly #sources: AuthorizationSources;
  /** The conductor sends the token with reads, so whoever does not is not the conductor. */
  #readsCarryToken = false;

  constructor(sources: AuthorizationSources) {
    this.#sources = sources;
  }

  /** `given` is the value of `agent_token`, null if the query has none. @throws HttpFault 401 */
  toCommand(given: string | null): void {
    const { token, config, log } = this.#sources;
    if (given !== null) {
      if (!token.matches(given)) throw unauthorized();
      return;
    }
    if (!config.get("standalone")) {
      if (this.#ironicHasNoTokens()) return;
      throw unauthorized();
    }
    // A standalone agent takes commands without: nobody has given it a token, or nobody insists on it.
    if (!token.held) return;
    if (config.get("agent_token_required")) throw unauthorized();
    log.warning("Accepting a command without the agent token, because this agent is standalone");
  }

  /**
   * The same for reading results. A wrong token is refused but does not turn the requirement on. @throws
   * HttpFault 401
   */
  toRead(given: string | null): void {
    const { token } = this.#sources;
    if (given !== null) {
      if (!token.matches(given)) throw unauthorized();
      this.#readsCarryToken = true;
      return;
    }
    if (this.#readsCarryToken || this.#readsNeedToken()) throw unauthorized();
  }

  /** The operator has to opt in: who else is on the network can then command the agent as well. */
  #ironicHasNoTokens(): boolean {
    const { token, config, ironicApiMinor } = this.#sources;
    if (token.held || !config.get("commands_without_token") || config.get("agent_token_required"))
      return false;
    const minor = ironicApiMinor();
    return minor !== null && minor < API_MINOR.agentToken;
  }

  #readsNeedToken(): boolean {
    const { token, config, ironicApiMinor } = this.#sources;
    // A standalone agent without a token could not be read by anybody.
    if (config.get("standalone") && !token.held) return false;
    const setting = config.get("command_results_token");
    if (setting !== "auto") return setting === "always";
    return (ironicApiMinor() ?? 0) >= API_MINOR.commandResultsToken;
  }
}
