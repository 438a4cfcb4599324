// What plug-ins tell while they work: log lines, progress, metrics. All of it is foreign; what is not understood is dropped, because
// a strange line must not be what makes work fail that is well under way.

import { isJsonObject, type Json, type JsonObject } from "../../json.ts";
import type { Metrics } from "../../metrics/metrics.ts";
import type { Progress } from "../../progress.ts";
import type { Clock } from "../../system/clock.ts";
import type { Logger } from "../../system/log.ts";

const LONGEST_TEXT = 8192;
/** Lines a plug-in may write to the log in so many seconds: enough for a talkative tool, too few to fill a ramdisk. */
const MOST_LINES = 1000;
const WINDOW = 60;

/** The agent's log, for one plug-in. */
export class PluginLog {
  readonly #log: Logger;
  readonly #clock: Clock;
  #windowStart = Number.NEGATIVE_INFINITY;
  #lines = 0;

  constructor(log: Logger, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** `{"level": "debug|info|warning|error", "message": …}`; a bare text is INFO. `plugin` is its name. */
  write(plugin: string, line: Json): void {
    const log = this.#log.named(`ironic_agent.plugin.${plugin}`);
    if (!this.#mayWrite(log)) return;
    const { level, message } = isJsonObject(line) ? line : { level: null, message: line };
    const text = (typeof message === "string" ? message : JSON.stringify(message)).slice(0, LONGEST_TEXT);
    const lower = typeof level === "string" ? level.toLowerCase() : "info";
    if (lower === "debug" || lower === "warning" || lower === "error") log[lower](text);
    else log.info(text);
  }

  #mayWrite(log: Logger): boolean {
    const now = this.#clock.monotonic();
    if (now - this.#windowStart >= WINDOW) {
      this.#windowStart = now;
      this.#lines = 0;
    }
    this.#lines += 1;
    if (this.#lines === MOST_LINES + 1)
      log.warning(`more than ${MOST_LINES} lines within ${WINDOW} s: the next ones are not logged`);
    return this.#lines <= MOST_LINES;
  }
}

/** Null if it says neither a phase nor a number. */
export function readProgress(value: Json): Progress | null {
  if (!isJsonObject(value)) return null;
  const phase = typeof value.phase === "string" ? value.phase.slice(0, 200) : null;
  const done = countOf(value, "done");
  if (phase === null && done === null) return null;
  return {
    phase: phase ?? "working",
    done,
    total: countOf(value, "total"),
    unit: typeof value.unit === "string" ? value.unit.slice(0, 50) : "",
    rate: countOf(value, "rate"),
  };
}

/** `{"kind": "timer|counter|gauge", "name": …, "value": …}`; a timer's value is seconds. */
export function measure(metrics: Metrics, value: Json): void {
  if (!isJsonObject(value) || typeof value.name !== "string" || typeof value.value !== "number") return;
  if (value.kind === "timer") metrics.timer(value.name).record(value.value);
  else if (value.kind === "gauge") metrics.gauge(value.name).set(value.value);
  else if (value.kind === "counter") metrics.counter(value.name).increment(value.value);
}

function countOf(value: JsonObject, name: string): number | null {
  const count = value[name];
  return typeof count === "number" && Number.isFinite(count) && count >= 0 ? count : null;
}
