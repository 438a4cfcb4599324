// Finds the plug-ins beside the executable and loads them, by name, so that the order is the one that `ls` shows.

import { errorText, type RestError } from "../../errors.ts";
import type { Logger } from "../../system/log.ts";
import type { System } from "../../system/system.ts";
import type { ManagerContext } from "../manager.ts";
import { ModulePlugin } from "./module-plugin.ts";
import { type Plugin, PluginLoadError, type PluginSource } from "./plugin.ts";
import { createPluginManager } from "./plugin-manager.ts";
import { ProgramPlugin } from "./program-plugin.ts";

export type PluginFile = { readonly path: string; readonly form: "module" | "program" };

/** What became of one file. A broken plug-in is one that fails when it is evaluated, with `error`. */
export type PluginOutcome = PluginFile &
  (
    | { readonly plugin: Plugin; readonly error: Error | null }
    | { readonly plugin: null; readonly error: Error }
  );

/** The plug-ins of the configured directory, if there is one. @throws PluginLoadError */
export const installedPlugins: PluginSource = async (context, signal) => {
  const outcomes = await loadPlugins(context, signal);
  const failed = outcomes.find(({ plugin }) => plugin === null);
  if (failed === undefined) return outcomes.flatMap(({ plugin }) => plugin ?? []);
  await stopAll(outcomes);
  throw failed.error;
};

async function stopAll(outcomes: readonly PluginOutcome[]): Promise<void> {
  await Promise.all(outcomes.map(({ plugin }) => plugin?.stop()));
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
    const name = outcome.plugin?.manager.className;
    const rival = name === undefined ? undefined : taken.get(name);
    if (outcome.plugin !== null && name !== undefined && rival !== undefined) {
      await outcome.plugin.stop();
      const error = new PluginLoadError(file.path, `its class name ${name} is already that of ${rival}`);
      outcome = { ...file, plugin: null, error };
    } else if (name !== undefined) taken.set(name, file.path);
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
    if ((await system.files.targetKind(path)) !== "file") continue;
    if (/\.(?:ts|js|mjs)$/.test(name)) found.push({ path, form: "module" });
    else if (system.findProgram(path) !== null) found.push({ path, form: "program" });
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
    if (error instanceof PluginLoadError) return { ...file, plugin: null, error };
    const known = error instanceof Error ? error : new Error(errorText(error));
    return { ...file, plugin: brokenPlugin(path, known), error: known };
  }
}

/** Names that conductors know as somebody else's. */
const RESERVED = new Set([
  "GenericHardwareManager",
  "MellanoxDeviceHardwareManager",
  "IntelCnaHardwareManager",
  "ContainerHardwareManager",
]);

/** Stands for a program that ran but did not describe itself: it is left out of everything when it is evaluated. */
function brokenPlugin(path: string, error: Error | RestError): Plugin {
  const className = path.slice(path.lastIndexOf("/") + 1);
  return {
    path,
    manager: {
      className,
      name: className,
      version: "unknown",
      evaluateHardwareSupport: () => Promise.reject(error),
    },
    stop: async () => undefined,
  };
}
