// The operator's helpers: what the agent sees of a machine and offers to do with it, as JSON or as a table. They only look:
// disks are not waited for, steps are listed without initializing anything, and nothing is touched that an agent works on.

import type { Config } from "./config/config.ts";
import { ConfigurationError } from "./config/configuration-error.ts";
import type { PrintFormat } from "./config/helper-arguments.ts";
import { OPTIONS } from "./config/options.ts";
import { DeviceNotFound } from "./errors.ts";
import { BUILT_IN_MANAGERS } from "./hardware/built-in.ts";
import { inventoryTable } from "./hardware/inventory-table.ts";
import { HardwareManagers, type StepListing } from "./hardware/managers.ts";
import { missingPrograms } from "./hardware/optional-programs.ts";
import { installedPlugins, loadPlugins, type PluginOutcome } from "./hardware/plugins/load-plugins.ts";
import type { PluginSource } from "./hardware/plugins/plugin.ts";
import { collectIntrospectionData } from "./inspection/introspection.ts";
import { isJsonObject, type JsonObject } from "./json.ts";
import { mapLimited } from "./map-limited.ts";
import { Deployment } from "./steps/deployment.ts";
import type { StepKind } from "./steps/step.ts";
import { printable } from "./system/printable.ts";
import { redactText } from "./system/redact.ts";
import type { System } from "./system/system.ts";
import { table } from "./table.ts";

/** What a helper prints, and the exit code. */
export type Answer = { readonly text: string; readonly exitCode: number };

const KINDS: readonly StepKind[] = ["clean", "deploy", "service"];

/**
 * The inventory, as JSON as Ironic gets it. Where no agent runs the machine is made ready as by an agent: arrays are assembled,
 * multipath maps made, drivers loaded. One that runs has done so, and what it does now may not bear that.
 */
export async function describeInventory(
  system: System,
  config: Config,
  format: PrintFormat,
): Promise<string> {
  const managers = managersFor(system, config, installedPlugins, await anotherRuns(system));
  try {
    await managers.load();
    const inventory = await managers.inventory({ useCache: true });
    if (format === "json") return JSON.stringify(inventory, null, 2);
    return inventoryTable(inventory, await rootDiskWithoutHints(managers));
  } finally {
    await managers.stop();
  }
}

/** Whether this executable runs in another process, too. */
async function anotherRuns({ files }: System): Promise<boolean> {
  const [executable, own] = await Promise.all([
    files.readLink("/proc/self/exe"),
    files.readLink("/proc/self"),
  ]);
  if (executable === null) return false;
  const others = (await files.list("/proc")).filter((name) => /^\d+$/.test(name) && name !== own);
  const executables = await mapLimited(others, (name) => files.readLink(`/proc/${name}/exe`));
  return executables.includes(executable);
}

/** Not guessed from the inventory: disks of the running system are in it, and nothing is written to them. */
async function rootDiskWithoutHints(managers: HardwareManagers): Promise<string | null> {
  try {
    return await managers.dispatch("getOsInstallDevice");
  } catch (error) {
    if (error instanceof DeviceNotFound) return null;
    throw error;
  }
}

/**
 * The disk that each of these sets of root device hints (JSON objects) chooses, one a line; without any, the disk chosen without
 * hints. Exit code 1 if one of them chooses none.
 */
export async function findRootDevice(
  system: System,
  config: Config,
  hints: readonly string[],
): Promise<Answer> {
  const asked = hints.length === 0 ? [{}] : hints.map(parseHints);
  const managers = managersFor(system, config, installedPlugins);
  try {
    await managers.evaluate();
    const lines: string[] = [];
    let exitCode = 0;
    for (const rootDevice of asked) {
      await managers.node.cache({ properties: { root_device: rootDevice } });
      try {
        lines.push(await managers.dispatch("getOsInstallDevice"));
      } catch (error) {
        if (!(error instanceof DeviceNotFound)) throw error;
        lines.push(error.details);
        exitCode = 1;
      }
    }
    return { text: redactText(printable(lines.join("\n"))), exitCode };
  } finally {
    await managers.stop();
  }
}

/** The steps of all kinds by manager, with the managers' versions. Exit code 1 if a plug-in could not tell its own. */
export async function describeSteps(system: System, config: Config, format: PrintFormat): Promise<Answer> {
  const managers = managersFor(system, config, installedPlugins);
  try {
    await managers.evaluate();
    const steps = await listSteps(managers);
    const text =
      format === "json"
        ? JSON.stringify({ ...steps, hardware_manager_version: managers.versions() }, null, 2)
        : stepTable(steps);
    return { text, exitCode: managers.broken.length === 0 ? 0 : 1 };
  } finally {
    await managers.stop();
  }
}

/**
 * What is wrong with the plug-ins, and which features are off because a program is missing. Exit code 1 if a plug-in is broken,
 * or the directory that was asked for is not there; a missing program is no fault.
 */
export async function checkInstallation(
  system: System,
  config: Config,
  format: PrintFormat,
): Promise<Answer> {
  let outcomes: readonly PluginOutcome[] = [];
  const managers = managersFor(system, config, async (context, signal) => {
    outcomes = await loadPlugins(context, signal);
    return outcomes.map(({ plugin }) => plugin);
  });
  try {
    await managers.evaluate();
    const steps = await listSteps(managers);
    const plugins = outcomes.map((outcome) => pluginReport(outcome, managers, steps));
    const missing = missingPrograms(system.findProgram);
    const directory = config.get("hardware_manager_dir");
    // The default one need not be there; one that somebody asked for was mistyped.
    const lost =
      (await system.files.targetKind(directory)) !== "directory" &&
      directory !== OPTIONS.hardware_manager_dir.default;
    const exitCode = lost || plugins.some(({ problem }) => problem !== null) ? 1 : 0;
    if (format === "json")
      return { text: JSON.stringify({ plugins, missing_programs: missing }, null, 2), exitCode };
    const found = lost ? "there is no such directory" : plugins.length === 0 ? "none" : plugins.length;
    const sections = [
      `Plug-in hardware managers in ${directory}: ${found}`,
      ...(plugins.length === 0 ? [] : [pluginTable(plugins)]),
      missing.length === 0
        ? "Every program the agent can use is installed."
        : `Programs that are not installed, and what is off without them:`,
      ...(missing.length === 0
        ? []
        : [
            table(
              ["PROGRAM", "PACKAGE", "WITHOUT IT"],
              missing.map((one) => [one.program, one.package, one.without]),
            ),
          ]),
    ];
    return { text: redactText(printable(sections.join("\n"))), exitCode };
  } finally {
    await managers.stop();
  }
}

/** The program ironic-collect-introspection-data. Returns the exit code. */
export async function introspect(system: System, config: Config, signal: AbortSignal): Promise<number> {
  const made: HardwareManagers[] = [];
  const stopLast = () => made.pop()?.stop();
  const loadManagers = async () => {
    await stopLast();
    const managers = createManagers(system, config, installedPlugins, await anotherRuns(system));
    made.push(managers);
    await managers.load(signal);
    return managers;
  };
  try {
    return await collectIntrospectionData({ system, config, loadManagers }, signal);
  } finally {
    await stopLast();
  }
}

type StepLists = Record<`${StepKind}_steps`, StepListing>;

async function listSteps(managers: HardwareManagers): Promise<StepLists> {
  const lists = KINDS.map(async (kind) => [`${kind}_steps`, await managers.steps(kind, {}, [])] as const);
  return Object.fromEntries(await Promise.all(lists)) as StepLists;
}

/** @throws ConfigurationError with exit code 2 */
function parseHints(text: string): JsonObject {
  let hints: unknown = null;
  try {
    hints = JSON.parse(text);
  } catch {
    // Refused below, like JSON that is no object.
  }
  if (!isJsonObject(hints))
    throw new ConfigurationError(`root device hints are a JSON object like '{"size": 50}', not: ${text}`, 2);
  return hints;
}

/** A helper shows the machine as it is now. */
function managersFor(
  system: System,
  config: Config,
  plugins: PluginSource,
  besideAgent = false,
): HardwareManagers {
  config.override("disk_wait_attempts", 0, "helper");
  return createManagers(system, config, plugins, besideAgent);
}

function createManagers(
  system: System,
  config: Config,
  plugins: PluginSource,
  besideAgent: boolean,
): HardwareManagers {
  const deployment = new Deployment();
  const factories = BUILT_IN_MANAGERS;
  return new HardwareManagers({ system, config, deployment, factories, plugins, besideAgent });
}

function stepTable(lists: StepLists): string {
  const rows = KINDS.flatMap((kind) =>
    Object.entries(lists[`${kind}_steps`]).flatMap(([manager, steps]) =>
      steps.map((step) => ({ kind, manager, ...step })),
    ),
  );
  // As Ironic runs them: within a kind the highest priority first.
  rows.sort((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind) || b.priority - a.priority);
  return table(
    ["KIND", "PRIORITY", "STEP", "MANAGER", "ARGUMENTS"],
    rows.map((row) => [
      row.kind,
      row.priority === 0 ? "on request" : String(row.priority),
      `${row.interface}.${row.step}`,
      row.manager,
      Object.entries(row.argsinfo ?? {})
        .map(([name, { required }]) => (required ? name : `[${name}]`))
        .join(" "),
    ]),
  );
}

type PluginReport = {
  readonly path: string;
  readonly form: PluginOutcome["form"];
  readonly manager: string | null;
  readonly version: string | null;
  /** 0: not for this machine. Null if it is broken. */
  readonly support: number | null;
  /** Steps that count on this machine, e.g. `clean.acme_flash`. */
  readonly steps: readonly string[];
  readonly problem: string | null;
};

function pluginReport(outcome: PluginOutcome, managers: HardwareManagers, lists: StepLists): PluginReport {
  const { path, form, plugin, error } = outcome;
  const { className, version } = plugin.manager;
  const faults = managers.broken.filter((fault) => fault.manager === plugin.manager);
  const problem =
    error?.message ??
    (faults.length === 0 ? null : [...new Set(faults.map((fault) => fault.reason))].join("; "));
  const ranked = error === null ? managers.ranking().find((one) => one.className === className) : undefined;
  return {
    path,
    form,
    // A file that did not load has no name of its own.
    manager: error === null ? className : null,
    version: error === null ? version : null,
    support: ranked?.support ?? (problem === null ? 0 : null),
    steps: KINDS.flatMap((kind) =>
      (lists[`${kind}_steps`][className] ?? []).map(({ step }) => `${kind}.${step}`),
    ),
    problem,
  };
}

function pluginTable(plugins: readonly PluginReport[]): string {
  return table(
    ["", "FILE", "MANAGER", "SUPPORT", "STEPS, OR WHAT IS WRONG"],
    plugins.map(({ path, manager, version, support, steps, problem }) => [
      problem === null ? "ok" : "BROKEN",
      path.slice(path.lastIndexOf("/") + 1),
      manager === null ? "-" : `${manager} ${version}`,
      support === null ? "-" : support <= 0 ? "not this machine" : String(support),
      problem ?? (steps.length === 0 ? "no steps of its own" : steps.join(" ")),
    ]),
  );
}
