// The configuration as people want to see it when something is not as they set it: value and origin of every option.

import { redactText } from "../system/redact.ts";
import type { Config } from "./config.ts";
import { optionSpec } from "./options.ts";
import { formatValue } from "./values.ts";

/** One line per option: name, value, where it comes from. Secrets, also those in URLs, are masked. */
export function describeConfig(config: Config): string {
  const rows = [...config.entries()].map(([name, { value, origin }]) => {
    const shown = optionSpec(name).secret && value !== null ? "******" : redactText(formatValue(value));
    return { name, shown, origin };
  });
  const width = (texts: string[]) => Math.max(...texts.map((text) => text.length));
  const nameWidth = width(rows.map(({ name }) => name));
  const valueWidth = Math.min(40, width(rows.map(({ shown }) => shown)));
  return rows
    .map(({ name, shown, origin }) => `${name.padEnd(nameWidth)}  ${shown.padEnd(valueWidth)}  ${origin}`)
    .join("\n");
}
