// Reads the configuration from everywhere it may stand, and gives back either a complete Config or one clear error.
// Order and default places: control-plane specification 2.1 and DEV-5.

import { FileError, type Files } from "../system/files.ts";
import type { BootMedia } from "./boot-media.ts";
import { type CommandLine, parseCommandLine } from "./command-line.ts";
import { BUILT_IN, Config } from "./config.ts";
import { ConfigurationError } from "./configuration-error.ts";
import { readEnvironment } from "./environment.ts";
import { IniError, parseIni } from "./ini.ts";
import { isTrueDebug } from "./kernel-line.ts";
import { originOf, readKernelParameters, setKernelParameters } from "./kernel-parameters.ts";
import { OPTION_NAMES, type OptionName, optionSpec, splitName } from "./options.ts";
import { Sources } from "./sources.ts";

export type ConfigurationInput = {
  /** Arguments after the program's name. */
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly files: Files;
  /** Asked only on a machine that was booted from virtual media; without it they are not looked at. */
  readonly media?: BootMedia;
};

/** "help" and "version": nothing was read, because nothing else is to be done. */
export type LoadedConfiguration =
  | { readonly action: "help" | "version" }
  | {
      readonly action: "run";
      readonly config: Config;
      /** What the operator may want to mend, one line each; to be logged. */
      readonly warnings: readonly string[];
    };

const SYSTEM_FILES = [
  "/etc/ironic-python-agent.conf",
  "/etc/ironic-python-agent/ironic-python-agent.conf",
] as const;
const SYSTEM_DIRECTORIES = ["/etc/ironic-python-agent.conf.d", "/etc/ironic-python-agent.d"] as const;

/** @throws ConfigurationError */
export async function loadConfiguration(input: ConfigurationInput): Promise<LoadedConfiguration> {
  const commandLine = parseCommandLine(input.argv);
  if (commandLine.action !== "run") return { action: commandLine.action };
  const { files, environment } = input;
  const kernel = await readKernelParameters(files, input.media);
  const sources = new Sources();
  const warnings = setKernelParameters(sources, kernel);
  for (const { name, variable, text } of readEnvironment(environment))
    sources.environmentVariable(name, variable, text);
  await addDefaultFiles(sources, files, commandLine, environment.HOME);
  await addCommandLine(sources, files, commandLine, environment.HOME);
  sources.checkKernelParameters();

  const config = new Config(
    OPTION_NAMES.flatMap((name) => {
      const resolved = sources.resolve(name);
      return resolved === null ? [] : [[name, resolved] as const];
    }),
    new Map([...kernel].filter(([, { device }]) => device !== null).map(([name, { text }]) => [name, text])),
  );
  if (sources.winner("listen_host") === null && !(await ipv6IsOn(files)))
    config.override("listen_host", "0.0.0.0", "built-in default without IPv6");
  const debug = kernel.get("ipa-debug");
  if (debug !== undefined) config.override("debug", isTrueDebug(debug.text), originOf("ipa-debug", debug));
  return { action: "run", config, warnings: [...warnings, ...idleSettings(config)] };
}

/** One line for every option that somebody set although it changes nothing. */
function idleSettings(config: Config): string[] {
  return [...config.entries()]
    .flatMap(([name, { origin }]) => {
      const { ignored, notYet } = optionSpec(name);
      const reason = ignored ?? notYet;
      if (origin === BUILT_IN || reason === undefined) return [];
      return [`${origin}: ${name} has no effect: ${reason}`];
    })
    .concat(
      config.get("log_rotation_type") === "interval"
        ? [`${config.origin("log_rotation_type")}: log_rotation_type interval has no effect: only size has`]
        : [],
    );
}

/** A named file replaces only the default file, a named directory only the default directory; of both the directory wins. */
async function addDefaultFiles(
  sources: Sources,
  files: Files,
  commandLine: CommandLine,
  home: string | undefined,
): Promise<void> {
  const named = (kind: "file" | "directory") => commandLine.items.some((item) => item.kind === kind);
  const inHome = (name: string) => (home === undefined ? [] : [`${home}/${name}`]);
  if (!named("file")) {
    const file = await firstOf(files, "file", [...inHome("ironic-python-agent.conf"), ...SYSTEM_FILES]);
    if (file !== null) await addFile(sources, files, "default", file);
  }
  if (!named("directory")) {
    const candidates = [...inHome("ironic-python-agent.conf.d"), ...SYSTEM_DIRECTORIES];
    const directory = await firstOf(files, "directory", candidates);
    if (directory !== null) await addDirectory(sources, files, "default", directory);
  }
}

async function addCommandLine(
  sources: Sources,
  files: Files,
  commandLine: CommandLine,
  home: string | undefined,
): Promise<void> {
  for (const item of commandLine.items) {
    if (item.kind === "value") sources.commandLine(item.name, item.written, item.text);
    else if (item.kind === "flag") sources.commandLine(item.name, item.written, String(item.value));
    else {
      const path = item.path.startsWith("~/") && home !== undefined ? home + item.path.slice(1) : item.path;
      if (item.kind === "file") await addFile(sources, files, "named", path);
      else if ((await files.targetKind(path)) === "directory")
        await addDirectory(sources, files, "named", path);
      else throw new ConfigurationError(`--config-dir ${path}: there is no such directory`, 1);
    }
  }
}

async function addDirectory(
  sources: Sources,
  files: Files,
  where: "default" | "named",
  directory: string,
): Promise<void> {
  for (const name of await files.list(directory))
    if (name.endsWith(".conf") && !name.startsWith("."))
      await addFile(sources, files, where, `${directory.replace(/\/+$/, "")}/${name}`);
}

async function addFile(
  sources: Sources,
  files: Files,
  where: "default" | "named",
  path: string,
): Promise<void> {
  for (const { section, key, value, line } of await readEntries(files, path)) {
    const name = optionInFile(section, key);
    if (name !== null) sources.file(where, name, path, line, value);
  }
}

async function readEntries(files: Files, path: string) {
  try {
    return parseIni(await files.readText(path));
  } catch (error) {
    if (error instanceof IniError)
      throw new ConfigurationError(`${path} line ${error.line}: ${error.message}`, 1);
    if (!(error instanceof FileError)) throw error;
    throw new ConfigurationError(`cannot use the configuration file ${path}: ${error.message}`, 1);
  }
}

/** The option a pair of a file means; null for those of other programs and other releases, which are ignored. */
function optionInFile(section: string, key: string): OptionName | null {
  // [DEFAULT] must be written so; other sections in any case.
  const group = section === "DEFAULT" ? section : section.toLowerCase();
  const alias = group === "DEFAULT" ? key : `${group}.${key}`;
  for (const name of OPTION_NAMES) {
    const own = splitName(name);
    if (own.group === group && own.key === key) return name;
    if (optionSpec(name).fileAliases?.includes(alias)) return name;
  }
  return null;
}

async function firstOf(
  files: Files,
  kind: "file" | "directory",
  candidates: readonly string[],
): Promise<string | null> {
  for (const path of candidates) if ((await files.targetKind(path)) === kind) return path;
  return null;
}

/** IPv6 counts as on only if the kernel has it and does not disable it. */
async function ipv6IsOn(files: Files): Promise<boolean> {
  return (await files.readAttribute("/proc/sys/net/ipv6/conf/default/disable_ipv6")) === "0";
}
