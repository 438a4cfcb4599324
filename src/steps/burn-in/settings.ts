// What an operator set for burn-in in the node's driver_info. Values come as numbers or as text, as whoever typed them pleased, and end
// in command lines; what cannot be meant is refused before anything is tested. Source: hardware specification 10.3.

import { CleaningError } from "../../errors.ts";
import { isJsonObject, type Json, type JsonObject, member } from "../../json.ts";
import { isArgumentWord } from "../argument-word.ts";

/** A time as the tools of burn-in take it: seconds, or a number with the unit s, m, h or d. */
export type Duration = { readonly text: string; readonly seconds: number };

const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 } as const;
/** What the reference's library takes for true. */
const TRUE = ["1", "t", "true", "on", "y", "yes"];

export class BurnInSettings {
  readonly #driverInfo: Json;
  readonly #prefix: string;

  /** `prefix`: what the names of all settings of this test begin with, e.g. `agent_burnin_cpu_`. */
  constructor(node: JsonObject, prefix: string) {
    this.#driverInfo = member(node, "driver_info");
    this.#prefix = prefix;
  }

  /** A whole number. @throws CleaningError naming the setting, as all of these do */
  count(name: string, otherwise: number): number {
    const text = this.#text(name) ?? String(otherwise);
    if (!/^\d{1,9}$/.test(text)) throw this.#unusable(name, "must be a whole number");
    return Number(text);
  }

  duration(name: string, otherwise: number): Duration {
    const text = this.#text(name) ?? String(otherwise);
    const [, amount = "", unit = "s"] = /^(\d{1,9})([smhd]?)$/.exec(text) ?? [];
    if (amount === "")
      throw this.#unusable(name, "must be a number of seconds, or a number with s, m, h or d");
    const factor = SECONDS[(unit || "s") as keyof typeof SECONDS];
    return { text, seconds: Number(amount) * factor };
  }

  /** An amount of memory: `98%`, `2g`. */
  amount(name: string, otherwise: string): string {
    const text = this.#text(name) ?? otherwise;
    if (!/^\d{1,18}[%bkmgt]?$/i.test(text))
      throw this.#unusable(name, "must be a number, with % or with b, k, m, g or t for a unit");
    return text;
  }

  flag(name: string): boolean {
    const value = this.#value(name);
    return value === true || (value !== null && TRUE.includes(String(value).trim().toLowerCase()));
  }

  /** Text that is a word of its own on a command line, never an option. */
  word(name: string): string | null {
    const text = this.#text(name);
    if (text !== null && !isArgumentWord(text))
      throw this.#unusable(name, "must not begin with - or be empty");
    return text;
  }

  object(name: string): JsonObject | null {
    const value = this.#value(name);
    if (value === null) return null;
    const object = typeof value === "string" ? parsed(value) : value;
    if (!isJsonObject(object)) throw this.#unusable(name, "must be an object");
    return object;
  }

  #value(name: string): Json {
    return member(this.#driverInfo, this.#prefix + name);
  }

  #text(name: string): string | null {
    const value = this.#value(name);
    if (value === null) return null;
    if (typeof value === "string" || typeof value === "number") return String(value);
    throw this.#unusable(name, "must be text or a number");
  }

  #unusable(name: string, must: string): CleaningError {
    return new CleaningError(
      `driver_info/${this.#prefix}${name} ${must}, not ${JSON.stringify(this.#value(name))}`,
    );
  }
}

/** Ironic's command line hands JSON over as text now and then. */
function parsed(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    // What is no JSON is no object either, and the caller says so.
    return text;
  }
}
