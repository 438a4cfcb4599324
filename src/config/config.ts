// The configuration of one agent: the value of every option, and where it came from.
// Values are fixed at start-up except for the few that Ironic or the agent itself override in memory.

import { OPTION_NAMES, OPTIONS, type OptionName, type OptionValue, type OptionValues } from "./options.ts";

/** Where a value came from when nothing set it. */
export const BUILT_IN = "built-in default";

type AnyValue = OptionValues[OptionName];
type Entry = { readonly value: AnyValue; readonly origin: string };

export class Config {
  readonly #entries: Map<OptionName, Entry>;
  /** All parameters that virtual media gave, options or not (BOOTIF); they count over the kernel's command line. */
  readonly mediaParameters: ReadonlyMap<string, string>;

  /** `settings` in any order; options that are not in it keep their built-in defaults. */
  constructor(
    settings: Iterable<readonly [OptionName, Entry]> = [],
    mediaParameters: ReadonlyMap<string, string> = new Map(),
  ) {
    this.mediaParameters = mediaParameters;
    this.#entries = new Map(
      OPTION_NAMES.map((name) => [name, { value: OPTIONS[name].default, origin: BUILT_IN }] as const),
    );
    for (const [name, entry] of settings) this.#entries.set(name, entry);
  }

  /** Built-in defaults, with `values` over them: for programs and tests that embed an agent. */
  static of(values: Partial<OptionValues> = {}): Config {
    const config = new Config();
    for (const [name, value] of Object.entries(values) as [OptionName, AnyValue][])
      config.#entries.set(name, { value, origin: "program" });
    return config;
  }

  get<N extends OptionName>(name: N): OptionValue<N> {
    return this.#entry(name).value as OptionValue<N>;
  }

  /** For people: "built-in default", "command line", "/etc/….conf line 3", "lookup answer" … */
  origin(name: OptionName): string {
    return this.#entry(name).origin;
  }

  /** Sets a value in memory, above every other source. */
  override<N extends OptionName>(name: N, value: OptionValue<N>, origin: string): void {
    this.#entries.set(name, { value: value as AnyValue, origin });
  }

  /** Every option with its value and origin, in table order. Secrets are in clear. */
  *entries(): IterableIterator<readonly [OptionName, Entry]> {
    yield* this.#entries;
  }

  #entry(name: OptionName): Entry {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw new Error(`no such option: ${name}`);
    return entry;
  }
}
