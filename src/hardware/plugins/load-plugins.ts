// Finds the plug-ins beside the executable and loads them, by name, so that the order is the one that `ls` shows.

import { errorText } from "../../errors.ts";
import type { Logger } from "../../system/log.ts";
import type { System } from "../../system/system.ts";
import type { HardwareManager, ManagerContext } from "../manager.ts";
import { ModulePlugin } from "./module-plugin.ts";
import { type Plugin, PluginLoadError, type PluginSource } from "./plugin.ts";
import { createPluginManager } from "./plugin-manager.ts";
import { ProgramPlugin } from "./program-plugin.ts";

export type PluginFile = { readonly path: string; readonly form: "module" | "program" };

/** What became of one file. A broken plug-in is one that fails when it is evaluated, with `error`. */
export type PluginOutcome = PluginFile & { readonly plugin: Plugin; readonly error: Error | null };

/** The plug-ins of the configured directory, if there is one, the broken ones among them. */
export const installedPlugins: PluginSource = async (context, signal) => {
  const outcomes = await loadPlugins(context, signal);
  return outcomes.map(({ plugin }) => plugin);
};

async function stopAll(outcomes: readonly PluginOutcome[]): Promise<void> {
  await Promise.all(outcomes.map(({ plugin }) => plugin.stop()));
}

/** Loads every plug-in, whatever becomes of the others. @throws the signal's reason */
export async function loadPlugins(context: ManagerContext, signal: AbortSignal): Promise<PluginOutcome[]> {
  const { system, config } = context;
  const log = system.log.named("ironic_agent.plugin");
  const outcomes: PluginOutcome[] = [];
  const taken = new Map<string, string>();
  for (const file of await findPlugins(system, config.get("hardware_manager_dir"), log)) {
    let outcome: PluginOutcome;
    try {
      outcome = await loadPlugin(file, context, log, signal);
    } catch (error) {
      await stopAll(outcomes);
      throw error;
    }
    const name = outcome.plugin.manager.className;
    const rival = taken.get(name);
    if (outcome.error === null && rival !== undefined) {
      await outcome.plugin.stop();
      outcome = broken(
        file,
        new PluginLoadError(file.path, `its class name ${name} is already that of ${rival}`),
      );
    } else if (outcome.error === null) taken.set(name, file.path);
    outcomes.push(outcome);
  }
  return outcomes;
}

/** The plug-ins of a directory, in the order of their names. Hidden files and sub-directories are left alone. */
export async function findPlugins(system: System, directory: string, log: Logger): Promise<PluginFile[]> {
  const found: PluginFile[] = [];
  for (const name of await system.files.list(directory)) {
    const path = `${directory.replace(/\/+$/, "")}/${name}`;
    if (name.startsWith(".") || name.endsWith("~") || name.endsWith(".d.ts")) continue;
    const kind = await system.files.targetKind(path);
    // A link that leads nowhere was meant to be a plug-in, and must not be missing silently.
    if (kind !== "file" && kind !== null) continue;
    if (/\.(?:ts|js|mjs)$/.test(name)) found.push({ path, form: "module" });
    else if (kind === null || system.findProgram(path) !== null) found.push({ path, form: "program" });
    else log.warning(`${path} is no plug-in: neither a .ts, .js or .mjs file nor executable (chmod +x?)`);
  }
  return found;
}

async function loadPlugin(
  file: PluginFile,
  context: ManagerContext,
  log: Logger,
  signal: AbortSignal,
): Promise<PluginOutcome> {
  const { path, form } = file;
  if ((await context.system.files.targetKind(path)) === null)
    return broken(file, new PluginLoadError(path, "it is a link to a file that is not there"));
  const backend = form === "module" ? new ModulePlugin(path, context) : new ProgramPlugin(path, context);
  try {
    const description = await backend.load(signal);
    if (RESERVED.has(description.className))
      throw new PluginLoadError(path, `${description.className} is the name of a built-in hardware manager`);
    const manager = createPluginManager({ description, backend, log });
    if (backend instanceof ModulePlugin) backend.isKnownAs(manager);
    return { ...file, plugin: { manager, path, stop: () => backend.stop() }, error: null };
  } catch (error) {
    await backend.stop();
    signal.throwIfAborted();
    return broken(file, error instanceof Error ? error : new Error(errorText(error)));
  }
}

/** Names that conductors know as somebody else's. */
const RESERVED = new Set([
  "GenericHardwareManager",
  "MellanoxDeviceHardwareManager",
  "IntelCnaHardwareManager",
  "ContainerHardwareManager",
]);

/** With a stand-in that is left out of everything when it is evaluated, and keeps steps from running without it. */
function broken(file: PluginFile, error: Error): PluginOutcome {
  const className = file.path.slice(file.path.lastIndexOf("/") + 1);
  const manager: HardwareManager = {
    className,
    name: className,
    version: "unknown",
    evaluateHardwareSupport: () => Promise.reject(error),
  };
  return { ...file, plugin: { path: file.path, manager, stop: async () => undefined }, error };
}
