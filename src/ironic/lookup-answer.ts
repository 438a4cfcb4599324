// What a lookup tells the agent: its node, how often to heartbeat, the token, and settings that Ironic's administrators
// made for all their agents. Unknown members are ignored, because every release of Ironic adds some.
// Source: control-plane specification 5.4, conductor contract 1.2.

import type { Config } from "../config/config.ts";
import { isJsonObject, type Json, type JsonObject, member } from "../json.ts";
import type { Logger } from "../system/log.ts";
import { applySettings } from "./lookup-settings.ts";
import type { AgentToken } from "./token.ts";

export type LookupAnswer = {
  /** Has a string `uuid`. */
  readonly node: JsonObject;
  readonly uuid: string;
  /** Seconds within which Ironic wants to hear from the agent. */
  readonly heartbeatTimeout: number;
  /** As sent: a token, the mask, or null. */
  readonly token: Json;
  readonly settings: JsonObject;
};

/** The answer cannot be used; the message says what is missing. */
export class UnusableAnswerError extends Error {}

/** @throws UnusableAnswerError */
export function parseLookupAnswer(answer: Json): LookupAnswer {
  const node = member(answer, "node");
  const uuid = member(node, "uuid");
  if (!isJsonObject(node) || typeof uuid !== "string")
    throw new UnusableAnswerError("it has no node with a UUID");
  // Very old APIs answer `heartbeat_timeout` beside the node and have no `config`.
  const config = member(answer, "config");
  const settings = isJsonObject(config) ? config : { heartbeat_timeout: member(answer, "heartbeat_timeout") };
  const heartbeatTimeout = settings.heartbeat_timeout ?? null;
  if (typeof heartbeatTimeout !== "number" || !(heartbeatTimeout > 0))
    throw new UnusableAnswerError(
      heartbeatTimeout === null
        ? "it has no heartbeat_timeout"
        : `its heartbeat_timeout must be a number of seconds above 0, not ${JSON.stringify(heartbeatTimeout).slice(0, 40)}`,
    );
  return { node, uuid, heartbeatTimeout, token: settings.agent_token ?? null, settings };
}

/**
 * Applies Ironic's settings to the options and takes the token.
 * "lost": Ironic gave the token away before and this agent does not hold it, so it can never be commanded. That does not
 * depend on agent_token_required: whoever masks tokens (API 1.62 and newer) also demands them. A standalone agent is never
 * lost, because it takes commands without a token.
 */
export function applyLookupAnswer(
  { token: candidate, settings }: LookupAnswer,
  config: Config,
  token: AgentToken,
  log: Logger,
): "usable" | "lost" {
  applySettings(settings, config, log);
  const standalone = config.get("standalone");
  if (candidate === null) {
    if (!token.held && !standalone) reportNoToken(config, log);
    return "usable";
  }
  switch (token.accept(candidate)) {
    case "accepted":
      return "usable";
    case "invalid":
      log.info("Ironic sent an invalid agent token; it is ignored.");
      return "usable";
    case "masked":
      if (token.held) return "usable";
      log.warning("Ironic has handed out the agent token before, and this agent does not have it.");
      return standalone ? "usable" : "lost";
  }
}

function reportNoToken(config: Config, log: Logger): void {
  const fact =
    "This conductor hands out no agent token, as those with an API older than 1.62 (before Ussuri) do not";
  if (config.get("commands_without_token"))
    log.warning(`${fact}: with commands_without_token, anybody who reaches this agent can command it.`);
  else
    log.error(
      `${fact}: the agent cannot be commanded, because it takes no command without one. Upgrade Ironic, or set ` +
        "commands_without_token (kernel parameter ipa-commands-without-token=1) on a network you trust.",
    );
}
