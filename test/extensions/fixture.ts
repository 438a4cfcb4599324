// A command registry as the agent builds it, on a recorded machine with a hardware manager of the test's own,
// and commands that end when the test says so.

import { Type } from "@sinclair/typebox";
import { Config } from "../../src/config/config.ts";
import type { OptionValues } from "../../src/config/options.ts";
import { asyncCommand, defineExtension, type Extension, syncCommand } from "../../src/extensions/command.ts";
import { EXTENSIONS } from "../../src/extensions/extensions.ts";
import { CommandRegistry } from "../../src/extensions/registry.ts";
import type { Services } from "../../src/extensions/services.ts";
import type { HardwareManager } from "../../src/hardware/manager.ts";
import { HardwareManagers } from "../../src/hardware/managers.ts";
import type { JsonObject } from "../../src/json.ts";
import { MetricsRecorder } from "../../src/metrics/recorder.ts";
import type { ReportProgress } from "../../src/progress.ts";
import { Deployment } from "../../src/steps/deployment.ts";
import type { Step } from "../../src/steps/step.ts";
import type { Clock } from "../../src/system/clock.ts";
import type { System } from "../../src/system/system.ts";
import { type RecordedSystem, type Recording, recordedSystem } from "../support/recorded-system.ts";

/** The machine runs from memory, as a ramdisk does: outside of one it would not let itself be powered off. */
const RAMDISK = { "/proc/self/mountinfo": "20 1 0:1 / / rw - rootfs rootfs rw\n" };

export type Fixture = {
  readonly metrics: MetricsRecorder;
  readonly system: RecordedSystem;
  readonly services: Services;
  readonly registry: CommandRegistry;
  /** What poll.set_node_info handed on. */
  readonly applied: JsonObject[];
  /** What commands did to the agent itself. */
  readonly lifecycle: ("end" | "lock down")[];
  readonly gate: Gate;
};

/** Holds `test.hold` and `test.hold_sync` back. */
export type Gate = {
  /** Resolves when a held command has begun. */
  readonly begun: Promise<void>;
  /** Lets it end with this value. */
  open(value?: unknown): void;
  /** Lets it fail. */
  fail(error: unknown): void;
  /** Of the held command. */
  report: ReportProgress | null;
  signal: AbortSignal | null;
};

export type FixtureOptions = {
  readonly config?: Partial<OptionValues>;
  readonly recording?: Recording;
  readonly clock?: Clock;
  /** Parts of the machine that are not recorded. */
  readonly system?: Partial<System>;
  readonly steps?: readonly Step[];
  readonly manager?: Partial<HardwareManager>;
};

export async function fixture(options: FixtureOptions = {}): Promise<Fixture> {
  const { recording = {} } = options;
  const recorded = recordedSystem({ ...recording, files: { ...RAMDISK, ...recording.files } });
  const system = { ...recorded, ...options.system, clock: options.clock ?? recorded.clock };
  const config = Config.of({ standalone: true, ...options.config });
  const deployment = new Deployment();
  const manager: HardwareManager = {
    className: "TestHardwareManager",
    name: "test_hardware_manager",
    version: "1.0",
    evaluateHardwareSupport: async () => 1,
    waitForDisks: async () => {},
    steps: async () => options.steps ?? [],
    ...options.manager,
  };
  const managers = new HardwareManagers({ system, config, deployment, factories: [() => manager] });
  await managers.load();
  const applied: JsonObject[] = [];
  const lifecycle: Fixture["lifecycle"] = [];
  const metrics = new MetricsRecorder(system.clock, system.log);
  const services: Services = {
    metrics,
    system,
    config,
    managers,
    deployment,
    applyLookup: async (answer) => {
      applied.push(answer);
    },
    lifecycle: {
      end: () => void lifecycle.push("end"),
      lockDown: () => void lifecycle.push("lock down"),
    },
  };
  const { gate, extension } = testExtension();
  return {
    metrics,
    system,
    services,
    registry: new CommandRegistry([...EXTENSIONS, extension], services),
    applied,
    lifecycle,
    gate,
  };
}

/** A step with the fields that do not matter filled in. */
export function step(name: string, run: Step["run"], more: Partial<Step> = {}): Step {
  return { step: name, priority: 0, interface: "deploy", reboot_requested: false, run, ...more };
}

function testExtension(): { gate: Gate; extension: Extension } {
  const begun = Promise.withResolvers<void>();
  const end = Promise.withResolvers<unknown>();
  const gate: Gate = {
    begun: begun.promise,
    open: end.resolve,
    fail: end.reject,
    report: null,
    signal: null,
  };
  const hold = {
    params: Type.Object({}),
    run: ({ signal, report }: { signal: AbortSignal; report: ReportProgress }) => {
      gate.report = report;
      gate.signal = signal;
      signal.addEventListener("abort", () => end.reject(signal.reason));
      begun.resolve();
      return end.promise;
    },
  };
  const value = Type.Object({ value: Type.Unknown() });
  const extension = defineExtension("test", {
    hold: asyncCommand(hold),
    hold_sync: syncCommand(hold),
    echo: asyncCommand({ params: value, run: async (_context, params) => params.value }),
    echo_sync: syncCommand({ params: value, run: async (_context, params) => params.value }),
    unserialisable: asyncCommand({ params: Type.Object({}), run: async () => ({ size: 1n }) }),
    unserialisable_sync: syncCommand({ params: Type.Object({}), run: async () => new Map() }),
    broken: asyncCommand({ params: Type.Object({}), run: () => Promise.reject(new TypeError("not a disk")) }),
    broken_sync: syncCommand({
      params: Type.Object({}),
      run: () => Promise.reject(new TypeError("not a disk")),
    }),
  });
  return { gate, extension };
}
