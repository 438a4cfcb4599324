// The command line, oslo style: `--listen_port 1`, `--listen-port=1`, unique prefixes, `--standalone` and
// `--nostandalone`, and configuration files that take part in the order written.
// Source: control-plane specification 2.2; the rules for what may be a value are argparse's.

import { ConfigurationError } from "./configuration-error.ts";
import { OPTION_NAMES, type OptionName, optionSpec } from "./options.ts";

/** One thing the command line says, in its order. */
export type CommandLineItem =
  | { readonly kind: "value"; readonly name: OptionName; readonly text: string; readonly written: string }
  | { readonly kind: "flag"; readonly name: OptionName; readonly value: boolean; readonly written: string }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "directory"; readonly path: string };

export type CommandLine = {
  /** "help" and "version" mean that nothing else is to be done. */
  readonly action: "run" | "help" | "version";
  readonly items: readonly CommandLineItem[];
};

type Target =
  | { readonly kind: "value"; readonly name: OptionName }
  | { readonly kind: "flag"; readonly name: OptionName; readonly value: boolean }
  | { readonly kind: "file" | "directory" | "help" | "version" };

const WRONG_USE = 2;

/** @throws ConfigurationError with exit code 2 */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const targets = longNames();
  const items: CommandLineItem[] = [];
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i] ?? "";
    if (argument === "--" && i === argv.length - 1) break;
    if (!argument.startsWith("-") || argument === "-" || argument === "--")
      throw new ConfigurationError(`unexpected argument: ${argv[argument === "--" ? i + 1 : i]}`, WRONG_USE);
    const equals = argument.startsWith("--") ? argument.indexOf("=") : -1;
    const written = equals < 0 ? argument : argument.slice(0, equals);
    const target = findTarget(targets, written);
    if (target.kind === "flag" || target.kind === "help" || target.kind === "version") {
      if (equals >= 0) throw new ConfigurationError(`${written} takes no value`, WRONG_USE);
      if (target.kind !== "flag") return { action: target.kind, items };
      items.push({ ...target, written });
      continue;
    }
    const value = equals < 0 ? argv[++i] : argument.slice(equals + 1);
    if (value === undefined || (equals < 0 && looksLikeOption(value)))
      throw new ConfigurationError(`${written} needs a value`, WRONG_USE);
    items.push(
      target.kind === "value" ? { ...target, text: value, written } : { kind: target.kind, path: value },
    );
  }
  return { action: "run", items };
}

/** `-1` and `-0.5` are values; everything else with a dash in front is not. */
function looksLikeOption(argument: string): boolean {
  return argument.startsWith("-") && argument !== "-" && !/^-\d*\.?\d+$/.test(argument);
}

function findTarget(targets: ReadonlyMap<string, Target>, written: string): Target {
  if (!written.startsWith("--")) {
    const target = targets.get(written);
    if (target === undefined) throw new ConfigurationError(`unknown option: ${written}`, WRONG_USE);
    return target;
  }
  const name = written.slice(2).replaceAll("-", "_");
  const exact = targets.get(name);
  if (exact !== undefined) return exact;
  const matches = [...targets].filter(([long]) => long.startsWith(name));
  const [first] = matches;
  if (first === undefined || name === "")
    throw new ConfigurationError(`unknown option: ${written}`, WRONG_USE);
  if (new Set(matches.map(([, target]) => target)).size > 1) {
    const names = matches.map(([long]) => `--${long}`).join(", ");
    throw new ConfigurationError(`ambiguous option: ${written} could be ${names}`, WRONG_USE);
  }
  return first[1];
}

/** Every name that may stand on the command line: long ones with underscores and without dashes, short ones with theirs. */
function longNames(): Map<string, Target> {
  const targets = new Map<string, Target>([
    ["config_file", { kind: "file" }],
    ["config_dir", { kind: "directory" }],
    ["version", { kind: "version" }],
  ]);
  const help: Target = { kind: "help" };
  targets.set("help", help).set("-h", help);
  for (const name of OPTION_NAMES.filter((name) => !name.includes("."))) {
    const spec = optionSpec(name);
    const flag = spec.type === "bool";
    const target: Target = flag ? { kind: "flag", name, value: true } : { kind: "value", name };
    for (const long of [name, ...(spec.cliAliases ?? [])]) targets.set(long, target);
    if (spec.short !== undefined) targets.set(`-${spec.short}`, target);
    if (flag) targets.set(`no${name}`, { kind: "flag", name, value: false });
  }
  return targets;
}
