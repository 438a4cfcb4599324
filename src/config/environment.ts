// Options from the environment: OS_<GROUP>__<OPTION>, in upper case, as oslo.config has it.

import { OPTION_NAMES, type OptionName, splitName } from "./options.ts";

/** Name of the variable of an option, e.g. OS_DEFAULT__LISTEN_PORT. */
export function variableName(name: OptionName): string {
  const { group, key } = splitName(name);
  return `OS_${group}__${key}`.toUpperCase();
}

/** The options that the environment sets, as text. */
export function readEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): { name: OptionName; variable: string; text: string }[] {
  return OPTION_NAMES.flatMap((name) => {
    const variable = variableName(name);
    const text = environment[variable];
    return text === undefined ? [] : [{ name, variable, text }];
  });
}
