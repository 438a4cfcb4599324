// Plug-ins as real files on the real machine: a directory of them, and managers that have loaded it. The plug-ins run as processes of
// the source (bun src/main.ts), as they do of the executable.

import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { Config } from "../../../src/config/config.ts";
import type { OptionValues } from "../../../src/config/options.ts";
import type { HardwareManager, ManagerFactory } from "../../../src/hardware/manager.ts";
import { HardwareManagers, type StepCall } from "../../../src/hardware/managers.ts";
import { installedPlugins } from "../../../src/hardware/plugins/load-plugins.ts";
import { MetricsRecorder } from "../../../src/metrics/recorder.ts";
import type { Progress } from "../../../src/progress.ts";
import { Deployment } from "../../../src/steps/deployment.ts";
import { createLogger, type LogRecord } from "../../../src/system/log.ts";
import { LogTap, type TapLog } from "../../../src/system/log-tap.ts";
import { systemLoggingTo } from "../../../src/system/real.ts";

export type PluginRig = AsyncDisposable & {
  readonly directory: string;
  readonly managers: HardwareManagers;
  readonly tapLog: TapLog;
  readonly records: readonly LogRecord[];
  readonly metrics: MetricsRecorder;
};

export type RigOptions = {
  readonly values?: Partial<OptionValues>;
  /** Beside the plug-ins; a manager that supports every machine and knows nothing if none is given. */
  readonly factories?: readonly ManagerFactory[];
};

/** A manager with just the given methods. */
export function builtIn(given: Partial<HardwareManager> = {}): ManagerFactory {
  return () => ({
    className: "BuiltIn",
    name: "built_in",
    version: "1",
    evaluateHardwareSupport: async () => 1,
    ...given,
  });
}

/** Writes `files` into a new directory, the programs among them executable. Nothing is loaded yet. */
export async function pluginRig(
  files: Readonly<Record<string, string>>,
  { values = {}, factories = [builtIn()] }: RigOptions = {},
): Promise<PluginRig> {
  const directory = await mkdtemp(`${tmpdir()}/plugins-`);
  for (const [name, content] of Object.entries(files)) {
    await writeFile(`${directory}/${name}`, content);
    if (content.startsWith("#!")) await chmod(`${directory}/${name}`, 0o755);
  }
  const records: LogRecord[] = [];
  const tap = new LogTap();
  const log = createLogger(
    "test",
    "DEBUG",
    tap.around((record) => records.push(record)),
  );
  const system = systemLoggingTo({ log, setLogDebug: () => {}, tapLog: tap.during }, "test");
  const metrics = new MetricsRecorder(system.clock, log);
  const managers = new HardwareManagers({
    system,
    config: Config.of({ hardware_manager_dir: directory, ...values }),
    deployment: new Deployment(),
    factories,
    plugins: installedPlugins,
    metrics,
  });
  return {
    directory,
    managers,
    tapLog: tap.during,
    records,
    metrics,
    async [Symbol.asyncDispose]() {
      await managers.stop();
      await rm(directory, { recursive: true });
    },
  };
}

/** The same, loaded. */
export async function loadedRig(
  files: Readonly<Record<string, string>>,
  options?: RigOptions,
): Promise<PluginRig> {
  const rig = await pluginRig(files, options);
  try {
    await rig.managers.load();
    return rig;
  } catch (error) {
    await rig[Symbol.asyncDispose]();
    throw error;
  }
}

/** A call of a step, and the progress it reports. */
export function stepCall(given: Partial<StepCall> = {}): StepCall & { readonly progress: Progress[] } {
  const progress: Progress[] = [];
  return {
    node: { uuid: "node-1" },
    ports: [],
    args: {},
    signal: new AbortController().signal,
    report: (report) => progress.push(report),
    progress,
    ...given,
  };
}

/** A TypeScript plug-in with the given members of its class. */
export function plugin(members: string, className = "Acme"): string {
  return `
    import * as sdk from "ironic-agent";
    import { defineStep, HardwareManager, IncompatibleHardwareMethodError, Support } from "ironic-agent";
    export default class ${className} extends HardwareManager {
      evaluateHardwareSupport(): number { return Support.serviceProvider; }
      ${members}
    }`;
}

/** The same with one clean step. */
export function stepPlugin(run: string, more = ""): string {
  return plugin(`
    getCleanSteps() {
      return [defineStep({ step: "go", ${more} run: async (context, args) => { ${run} } })];
    }`);
}

export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await Bun.sleep(5);
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false; // ESRCH
  }
}
