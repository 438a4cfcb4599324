// The text of --help, made from the option table.

import type { OptionSpec } from "./option-spec.ts";
import { OPTION_NAMES, OPTION_SECTIONS, optionSpec } from "./options.ts";
import { formatValue, valueHint } from "./values.ts";
import { wrapWords } from "./wrap-words.ts";

const WIDTH = 100;
const INDENT = 8;

/** One line on how to call the program, for errors. */
export const USAGE =
  "usage: ironic-python-agent [inventory | root-device | steps | check | config | collect-introspection-data] [options]; --help explains them";

const INTRODUCTION = `usage: ironic-python-agent [WORD] [options]

The agent that a bare metal machine runs while OpenStack Ironic inspects, cleans, deploys or rescues it.
Without a word in front of the options it runs as that agent; the words make it do one thing and end:

  inventory   print what the agent sees of this machine, as JSON, or with --format table for people
  root-device [HINTS ...]
              print the disk that an image would be written to by these root device hints, each as Ironic has
              them ('{"size": ">= 50", "rotational": false}'); without any, the disk chosen without hints
  steps       list the steps that the hardware managers offer, as JSON, or with --format table for people
  check       load the plug-in hardware managers, say what is wrong with them (exit code 1 then), and which
              features are off because a program is missing; with --format json for programs
  config      print the value of every option and where it comes from
  collect-introspection-data
              inspect this machine for ironic-inspector, once, or again and again as a daemon; also under the
              name ironic-collect-introspection-data

Every option may be written with underscores or dashes and shortened as long as it stays unique. Switches are
turned off with "no" in front (--nostandalone). The same names work in files ([DEFAULT] name = value), in the
environment (OS_DEFAULT__NAME) and, where given, on the kernel command line.`;

const FILES: readonly [string, string][] = [
  [
    "--config-file PATH",
    "Read this file instead of the default one (~/ironic-python-agent.conf, /etc/ironic-python-agent.conf, " +
      "/etc/ironic-python-agent/ironic-python-agent.conf); may be given several times, later ones win.",
  ],
  [
    "--config-dir PATH",
    "Read the *.conf files of this directory, by name, instead of those of the default one " +
      "(~/ironic-python-agent.conf.d, /etc/ironic-python-agent.conf.d, /etc/ironic-python-agent.d).",
  ],
  ["--version", "Print the version and end."],
  ["--help, -h", "Print this text and end."],
];

/** The whole help text, without a final newline. */
export function helpText(): string {
  const files = ["Configuration files and others:", ...FILES.map(([head, text]) => entry(head, text))];
  const sections = OPTION_SECTIONS.map(({ title, options }) => ({
    title,
    entries: Object.entries(options).filter(([, { ignored }]) => ignored === undefined),
  }))
    .filter(({ entries }) => entries.length > 0)
    .map(({ title, entries }) =>
      [`${title}:`, ...entries.map(([name, spec]) => describe(name, spec))].join("\n"),
    );
  return [INTRODUCTION, files.join("\n"), ...sections, withoutEffect()].join("\n\n");
}

/** Options that are only read because they stand in many configuration files. */
function withoutEffect(): string {
  const names = OPTION_NAMES.filter((name) => optionSpec(name).ignored !== undefined);
  return entry("Accepted, and without effect:", names.join(", ")).trimStart();
}

function describe(name: string, spec: OptionSpec): string {
  const facts = [
    spec.notYet === undefined ? null : `without effect: ${spec.notYet}`,
    spec.type === "int" && spec.max !== undefined ? `${spec.min} to ${spec.max}` : null,
    spec.default === null ? null : `default: ${formatValue(spec.default)}`,
    spec.kernel === undefined ? null : `kernel parameter: ${spec.kernel}`,
  ].filter((fact) => fact !== null);
  const text = entry(heading(name, spec), spec.help);
  return facts.length === 0 ? text : [text, ...wrapped(`(${facts.join("; ")})`)].join("\n");
}

function heading(name: string, spec: OptionSpec): string {
  const dot = name.indexOf(".");
  const hint = valueHint(spec);
  if (dot >= 0)
    return `[${name.slice(0, dot)}] ${name.slice(dot + 1)} = ${hint === "" ? "true|false" : hint}`;
  const short = spec.short === undefined ? "" : `, -${spec.short}`;
  return spec.type === "bool" ? `--${name}${short}, --no${name}` : `--${name} ${hint}`;
}

function entry(head: string, text: string): string {
  return [`  ${head}`, ...wrapped(text)].join("\n");
}

function wrapped(text: string): string[] {
  return wrapWords(text, WIDTH - INDENT).map((line) => " ".repeat(INDENT) + line);
}
