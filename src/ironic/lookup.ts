// Looking the node up: the agent knows only its MAC addresses, Ironic tells it which node it is.
// The waits grow at random, so that a rack that boots at once does not ask at once; a locked node gets longer pauses.
// Source: control-plane specification 5.3, conductor contract 1.2.

import { errorText, LookupNodeError } from "../errors.ts";
import type { Clock } from "../system/clock.ts";
import { HttpError } from "../system/http-client.ts";
import type { Logger } from "../system/log.ts";
import {
  API_MINOR,
  type ApiAnswer,
  describeFailure,
  type IronicApi,
  notJson,
  parseJson,
} from "./api-client.ts";
import { type LookupAnswer, parseLookupAnswer, UnusableAnswerError } from "./lookup-answer.ts";

export type LookupQuery = {
  /** MACs of all interfaces, in any case and with duplicates. */
  readonly macs: readonly string[];
  /** Known from an earlier lookup or an inspection. */
  readonly nodeUuid?: string;
};

export type LookupPatience = {
  /** Seconds: no attempt begins later than this after the first one did. */
  readonly timeout: number;
  /** Seconds; least upper limit of the random wait. */
  readonly interval: number;
  /**
   * Seconds that one attempt may wait for its answer. Ironic makes the agent's token while it answers the first lookup, and
   * never shows it again: an agent that gives up before the answer is there can never be commanded. An API under the load
   * of a whole rack was seen to take minutes.
   */
  readonly answer: number;
};

/** Seconds; the upper limit of the random wait stops growing here. */
const LONGEST_WAIT = 60;
/** Seconds to leave a locked node alone, by how often in a row it was locked. */
const LOCKED_PAUSES = [5, 10, 30];

/**
 * Asks until Ironic knows the node.
 * The last attempt begins when `timeout` is over, so that a long wait neither cuts the time short nor exceeds it.
 * @throws LookupNodeError when an attempt has failed and `timeout` has passed; the signal's reason.
 */
export async function lookUpNode(
  api: IronicApi,
  query: LookupQuery,
  { timeout, interval, answer: answerPatience }: LookupPatience,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  signal: AbortSignal,
): Promise<LookupAnswer> {
  const started = clock.monotonic();
  const macs = addresses(query).join(", ") || "(none)";
  log.info(
    `Looking up the node at ${api.urls.join(", ")} with the MAC addresses ${macs}` +
      (query.nodeUuid === undefined ? "" : ` and the UUID ${query.nodeUuid}`),
  );
  let locked = 0;
  for (let attempt = 1; ; attempt++) {
    const outcome = await tryLookup(api, query, answerPatience, signal);
    if (outcome.answer !== null) return outcome.answer;
    log.warning(`Lookup attempt ${attempt} failed: ${outcome.reason}`);
    const elapsed = clock.monotonic() - started;
    if (elapsed >= timeout)
      throw new LookupNodeError(
        `Could not look up node info. Check logs for details. Asked ${api.urls.join(", ")} for ` +
          `${Math.round(elapsed)} s (lookup_timeout is ${timeout} s) with the MAC addresses ${macs}; ` +
          `the last answer was: ${outcome.reason}`,
      );
    locked = outcome.locked ? locked + 1 : 0;
    const lockedPause = locked > 0 ? (LOCKED_PAUSES[Math.min(locked, LOCKED_PAUSES.length) - 1] ?? 0) : 0;
    const ceiling = Math.max(interval, Math.min(2 ** (attempt - 1), LONGEST_WAIT));
    const wait = lockedPause + clock.uniform(0, ceiling);
    await clock.sleep(Math.min(wait, timeout - elapsed), signal);
  }
}

type Outcome =
  | { readonly answer: LookupAnswer }
  | { readonly answer: null; readonly reason: string; readonly locked: boolean };

/** One attempt. Without knowing the API's version it does not ask: a lookup below 1.62 would get no token, ever. */
async function tryLookup(
  api: IronicApi,
  query: LookupQuery,
  timeout: number,
  signal: AbortSignal,
): Promise<Outcome> {
  try {
    const minor = Math.min(await api.maximumMinor(signal), API_MINOR.agentToken);
    const answer = await api.request({ method: "GET", path: lookupPath(query), minor, timeout }, signal);
    if (answer.status === 406) api.forgetVersion();
    if (answer.status !== 200)
      return { answer: null, reason: explain(answer), locked: answer.status === 409 };
    const garbled = notJson(answer.body);
    if (garbled !== null) throw new UnusableAnswerError(`it ${garbled}`);
    return { answer: parseLookupAnswer(parseJson(answer.body)) };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof UnusableAnswerError)
      return { answer: null, reason: `Ironic's answer is of no use: ${error.message}`, locked: false };
    const reason =
      error instanceof HttpError ? `Ironic cannot be reached: ${error.message}` : errorText(error);
    return { answer: null, reason, locked: false };
  }
}

/** As Ironic has them: in lower case, each once. */
function addresses({ macs }: LookupQuery): readonly string[] {
  return [...new Set(macs.map((mac) => mac.toLowerCase()))];
}

function lookupPath(query: LookupQuery): string {
  const parameters = new URLSearchParams({ addresses: addresses(query).join(",") });
  if (query.nodeUuid !== undefined) parameters.set("node_uuid", query.nodeUuid);
  return `/v1/lookup?${parameters}`;
}

function explain(answer: ApiAnswer): string {
  const text = describeFailure(answer);
  switch (answer.status) {
    case 403:
      return `${text} (this Ironic API does not serve ramdisks: api_url names the wrong endpoint)`;
    case 404:
      return `${text} (no node has one of these MAC addresses, or the node is in no state in which Ironic expects an agent)`;
    case 409:
      return `${text} (the node is locked by a conductor)`;
    default:
      return text;
  }
}
