// Which of several sources sets an option, and what its text means: the rules of precedence in one place.
// Source: control-plane specification 2.1, 2.3 (replacement of $names) and 1.3 (exit codes).

import { ConfigurationError } from "./configuration-error.ts";
import { OPTIONS, type OptionName, optionSpec, splitName } from "./options.ts";
import { type AnyOptionValue, formatValue, InvalidValueError, parseValue } from "./values.ts";

/** What one source says about one option. */
export type Setting = {
  readonly text: string;
  /** For people; after "from" or "in": "command line --listen_port", "/etc/x.conf line 3". */
  readonly origin: string;
  /** Exit code when the text does not fit. */
  readonly exitCode: 1 | 2;
  /** Only texts of files hold `$name`. */
  readonly substitute: boolean;
};

export class Sources {
  readonly #kernel = new Map<OptionName, Setting>();
  readonly #defaultFiles = new Map<OptionName, Setting>();
  readonly #environment = new Map<OptionName, Setting>();
  /** Command line and the files named on it, the later one over the earlier. */
  readonly #named = new Map<OptionName, Setting>();
  readonly #onCommandLine = new Set<OptionName>();

  /** `origin` names the parameter and, where it is not the kernel's command line, its place. */
  kernelParameter(name: OptionName, origin: string, text: string): void {
    this.#kernel.set(name, { text, origin, exitCode: 1, substitute: false });
  }

  environmentVariable(name: OptionName, variable: string, text: string): void {
    const origin = `environment variable ${variable}`;
    this.#environment.set(name, { text, origin, exitCode: 2, substitute: false });
  }

  commandLine(name: OptionName, written: string, text: string): void {
    const origin = `command line ${written}`;
    this.#named.set(name, { text, origin, exitCode: 2, substitute: false });
    this.#onCommandLine.add(name);
  }

  file(where: "default" | "named", name: OptionName, path: string, line: number, text: string): void {
    const settings = where === "default" ? this.#defaultFiles : this.#named;
    settings.set(name, { text, origin: `${path} line ${line}`, exitCode: 2, substitute: true });
  }

  /** The setting that counts for an option, or null when nothing sets it. */
  winner(name: OptionName): Setting | null {
    // The environment beats every file but never the command line; an option given there silences it.
    const environment = this.#onCommandLine.has(name) ? undefined : this.#environment.get(name);
    return (
      environment ?? this.#named.get(name) ?? this.#defaultFiles.get(name) ?? this.#kernel.get(name) ?? null
    );
  }

  /** Value and origin of an option that something sets, else null. @throws ConfigurationError */
  resolve(name: OptionName): { value: AnyOptionValue; origin: string } | null {
    const setting = this.winner(name);
    if (setting === null) return null;
    return { value: this.#parse(name, setting), origin: setting.origin };
  }

  /** A wrong kernel parameter is an error even when something else overrides it. @throws ConfigurationError */
  checkKernelParameters(): void {
    for (const [name, setting] of this.#kernel) this.#parse(name, setting);
  }

  #parse(name: OptionName, setting: Setting): AnyOptionValue {
    const text = this.#substituted(name, setting, []);
    try {
      return parseValue(optionSpec(name), text);
    } catch (error) {
      if (!(error instanceof InvalidValueError)) throw error;
      throw wrongValue(name, setting, error.message);
    }
  }

  /** Replaces $name, ${name} and ${group.name}; `within` are the options being replaced around this one. */
  #substituted(name: OptionName, setting: Setting, within: readonly OptionName[]): string {
    if (!setting.substitute || !setting.text.includes("$")) return setting.text;
    if (within.includes(name)) throw wrongValue(name, setting, "the options it refers to refer back to it");
    const reference = /(?:\$|\\)\$|\$(?:\{([_a-z][._a-z0-9]*)\}|([_a-z][._a-z0-9]*))/gi;
    return setting.text.replace(reference, (_, braced?: string, bare?: string) => {
      const word = braced ?? bare;
      if (word === undefined) return "$";
      const other = optionInScope(word, splitName(name).group);
      if (other === null)
        throw wrongValue(
          name,
          setting,
          `${optionSpec(name).secret ? "what follows a $" : `$${word}`} names no option; write $$ for a dollar sign`,
        );
      const otherSetting = this.winner(other);
      if (otherSetting !== null) return this.#substituted(other, otherSetting, [...within, name]);
      const builtIn = optionSpec(other).default;
      return builtIn === null ? "" : formatValue(builtIn);
    });
  }
}

/** `name` of the same group, or of [DEFAULT], or `group.name`. */
function optionInScope(word: string, group: string): OptionName | null {
  const candidates = [`${group}.${word}`, word.replace(/^DEFAULT\./, "")];
  return candidates.find((name): name is OptionName => Object.hasOwn(OPTIONS, name)) ?? null;
}

/** Shows the text as it was written: what $names stand for may be secret. */
function wrongValue(name: OptionName, setting: Setting, reason: string): ConfigurationError {
  const shown = optionSpec(name).secret ? "******" : JSON.stringify(setting.text);
  return new ConfigurationError(
    `${setting.origin}: bad value ${shown} for ${name}: ${reason}`,
    setting.exitCode,
  );
}
