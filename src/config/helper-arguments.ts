// What the command line of a helper has beside the agent's options: how to print, and what the helper is asked. These are no
// options of the agent, so that no file and no kernel parameter can set them.

import { ConfigurationError } from "./configuration-error.ts";

export type PrintFormat = "json" | "table";

export type HelperArguments = {
  /** The agent's options. */
  readonly argv: readonly string[];
  /** How to print; null if the command line does not say. The last one counts. */
  readonly format: PrintFormat | null;
  /** The words in front of the first option. */
  readonly operands: readonly string[];
};

/** What a helper understands. */
export type HelperSyntax = { readonly formatted: boolean; readonly operands: boolean };

const WRONG_USE = 2;
const FORMATS: readonly PrintFormat[] = ["json", "table"];

/** `--format json`, `--format=table`, `--json`, `--table`. @throws ConfigurationError with exit code 2 */
export function helperArguments(words: readonly string[], syntax: HelperSyntax): HelperArguments {
  const firstOption = words.findIndex((word) => word.startsWith("-"));
  const operandCount = !syntax.operands ? 0 : firstOption < 0 ? words.length : firstOption;
  const operands = words.slice(0, operandCount);
  const argv: string[] = [];
  let format: PrintFormat | null = null;
  for (let index = operandCount; index < words.length; index++) {
    const word = words[index] ?? "";
    const short = FORMATS.find((name) => word === `--${name}`);
    if (!syntax.formatted) argv.push(word);
    else if (short !== undefined) format = short;
    else if (word === "--format") format = parseFormat(words[++index]);
    else if (word.startsWith("--format=")) format = parseFormat(word.slice("--format=".length));
    else argv.push(word);
  }
  return { argv, format, operands };
}

function parseFormat(text: string | undefined): PrintFormat {
  const format = FORMATS.find((name) => name === text);
  if (format === undefined)
    throw new ConfigurationError(
      `--format must be ${FORMATS.join(" or ")}, not ${text ?? "nothing"}`,
      WRONG_USE,
    );
  return format;
}
