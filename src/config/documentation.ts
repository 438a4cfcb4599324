// The generated parts of the documentation: the tables of docs/configuration.md and the sample configuration file. Both are made
// from the option table, so they cannot say anything else than the agent does; a test compares them.

import { variableName } from "./environment.ts";
import type { OptionSpec } from "./option-spec.ts";
import { OPTION_NAMES, OPTION_SECTIONS, type OptionName, optionSpec, splitName } from "./options.ts";
import { formatValue } from "./values.ts";
import { wrapWords } from "./wrap-words.ts";

const BEGIN =
  "<!-- Generated from the option table by `npm run docs`: change src/config/options/ instead. -->";
const END = "<!-- End of the generated part. -->";
const SAMPLE_WIDTH = 100;

/** `page` with its generated part made anew. @throws Error when it has none. */
export function withOptionTables(page: string): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`the page has no part between "${BEGIN}" and "${END}"`);
  return `${page.slice(0, begin)}${BEGIN}\n\n${optionTables()}\n\n${page.slice(end)}`;
}

function optionTables(): string {
  return OPTION_SECTIONS.map(({ title, options }) => {
    const rows = Object.entries(options).map(([name, spec]) => row(name as OptionName, spec));
    const head =
      "| option | value | default | kernel parameter | since | meaning |\n|---|---|---|---|---|---|";
    return `### ${title}\n\n${head}\n${rows.join("\n")}`;
  }).join("\n\n");
}

function row(name: OptionName, spec: OptionSpec): string {
  const cells = [
    code(displayName(name)),
    valueForm(spec),
    defaultText(spec) === "" ? "" : code(defaultText(spec)),
    spec.kernel === undefined ? "" : code(spec.kernel),
    spec.since === "own" ? "this agent" : spec.since,
    meaning(spec),
  ];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function meaning(spec: OptionSpec): string {
  const idle = spec.ignored ?? spec.notYet;
  const also = [
    ...(spec.fileAliases ?? []).map(displayName),
    ...(spec.oldKernel === undefined ? [] : [`${spec.oldKernel} on the kernel line`]),
  ];
  return [
    idle === undefined ? "" : `**Without effect:** ${idle}. `,
    spec.help,
    spec.secret === true ? " Never shown or logged." : "",
    also.length === 0 ? "" : ` Also ${also.map(code).join(", ")}.`,
  ].join("");
}

/** As it would be written; empty where nothing that can be written says the same. */
function defaultText(spec: OptionSpec): string {
  if (spec.default !== null) return formatValue(spec.default);
  return spec.type === "bool" ? "auto" : "";
}

/** What may be written, in words. */
function valueForm(spec: OptionSpec): string {
  switch (spec.type) {
    case "bool":
      return spec.default === null ? "true, false or auto" : "true or false";
    case "int":
      return spec.max === undefined ? `number from ${spec.min}` : `number, ${spec.min} to ${spec.max}`;
    case "float":
      return `number from ${spec.min}, fractions too`;
    case "port":
      return "port";
    case "list":
      return "list";
    case "string":
      return spec.choices?.map(code).join(", ") ?? spec.form ?? "text";
  }
}

/** A configuration file with every option that has an effect, commented out, at its default. */
export function sampleFile(): string {
  const groups = [...new Set(OPTION_NAMES.map((name) => splitName(name).group))];
  const head =
    "Every option of the agent, with its default. To set one, take the # in front of its name away. The whole " +
    "story is in docs/configuration.md. Generated from the option table by `npm run docs`.";
  const sections = groups.map((group) => sampleSection(group)).filter((text) => text !== null);
  return `${[comment(head), ...sections].join("\n\n")}\n`;
}

function sampleSection(group: string): string | null {
  const names = OPTION_NAMES.filter((name) => splitName(name).group === group);
  const entries = names.flatMap((name) => {
    const spec = optionSpec(name);
    return spec.ignored === undefined ? [sampleEntry(name, spec)] : [];
  });
  return entries.length === 0 ? null : [`[${group}]`, ...entries].join("\n\n");
}

function sampleEntry(name: OptionName, spec: OptionSpec): string {
  const places = [
    ...(spec.kernel === undefined ? [] : [`kernel parameter ${spec.kernel}`]),
    `environment ${variableName(name)}`,
  ];
  const facts = `${spec.type === "string" && spec.choices ? spec.choices.join(", ") : valueForm(spec)}; ${places.join("; ")}`;
  const idle = spec.notYet === undefined ? [] : [comment(`Without effect: ${spec.notYet}.`)];
  // A dollar sign would begin the name of another option.
  const value = defaultText(spec).replaceAll("$", "$$$$");
  return [
    comment(spec.help),
    ...idle,
    comment(`(${facts})`),
    `#${splitName(name).key} = ${value}`.trimEnd(),
  ].join("\n");
}

function comment(text: string): string {
  return wrapWords(text, SAMPLE_WIDTH)
    .map((line) => `# ${line}`)
    .join("\n");
}

/** `[group] name`, or the name alone in [DEFAULT]. */
function displayName(name: string): string {
  const dot = name.indexOf(".");
  return dot < 0 ? name : `[${name.slice(0, dot)}] ${name.slice(dot + 1)}`;
}

function code(text: string): string {
  return `\`${text}\``;
}
