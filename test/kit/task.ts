// What deploying and cleaning have in common: one node, its power, its agent, and the few moves that both are made of.
// Named after Ironic's task: the thing a conductor works with while it holds a node's lock.

import { setTimeout } from "node:timers/promises";
import { isJsonObject, type Json, type JsonObject } from "../../src/json.ts";
import { pythonText } from "../../src/python-text.ts";
import { AgentClient, AgentInProgressError, type Command, progressOf } from "./agent-client.ts";
import type { Emit } from "./events.ts";
import { isStep } from "./judgement.ts";
import type { Node, ProvisionState, Step, StepKind } from "./node.ts";
import type { ConductorSettings } from "./settings.ts";

export class Task {
  readonly node: Node;
  readonly settings: ConductorSettings;
  readonly emit: Emit;
  readonly agent: AgentClient;
  /** Aborted when the conductor is closed. */
  readonly signal: AbortSignal;
  readonly #apiUrl: string;
  #progressWatch: AbortController | null = null;

  constructor(node: Node, settings: ConductorSettings, apiUrl: string, emit: Emit, signal: AbortSignal) {
    this.signal = signal;
    this.node = node;
    this.settings = settings;
    this.emit = emit;
    this.#apiUrl = apiUrl;
    this.agent = new AgentClient(node, {
      commandTimeout: settings.commandTimeout,
      maxAttempts: settings.maxCommandAttempts,
      tokenOnGet: settings.tokenOnGet,
      signal,
    });
  }

  setState(to: ProvisionState): void {
    const from = this.node.provisionState;
    if (from === to) return;
    this.node.provisionState = to;
    this.emit({ type: "state", node: this.node.uuid, from, to });
  }

  // --- Power ---

  /** Reboots the machine into the ramdisk, with a new agent and a new token to come. */
  async bootRamdisk(): Promise<void> {
    await this.powerOff();
    await this.#powerOn({ device: "ramdisk", kernelParameters: this.#kernelParameters() });
  }

  async bootDisk(): Promise<void> {
    await this.#powerOn({ device: "disk" });
  }

  /** Pulls the plug, if the machine is on, and forgets the agent that ran there. */
  async powerOff(): Promise<void> {
    this.#progressWatch?.abort();
    if ((await this.node.power.state()) === "power on") {
      await this.node.power.off();
      this.emit({ type: "power-off", node: this.node.uuid, forced: true });
    }
    this.node.wipeAgent();
  }

  /** Asks the agent to power off and waits for it; pulls the plug when that takes too long, as Ironic does. */
  async softPowerOff(): Promise<void> {
    try {
      await this.agent.powerOff();
    } catch (error) {
      this.warn(`Failed to soft power off node ${this.node.uuid}. ${messageOf(error)}`);
    }
    for (let attempt = 0; attempt <= this.settings.powerOffAttempts; attempt++) {
      if (attempt > 0) await this.pause(this.settings.powerOffInterval);
      if ((await this.node.power.state()) === "power off") {
        this.emit({ type: "power-off", node: this.node.uuid, forced: false });
        this.node.wipeAgent();
        return;
      }
    }
    const waited = (this.settings.powerOffAttempts * this.settings.powerOffInterval) / 1000;
    this.warn(
      `Failed to soft power off node ${this.node.uuid} in at least ${waited} seconds. ` +
        "Forcing hard power off and proceeding.",
    );
    await this.powerOff();
  }

  async #powerOn(boot: Parameters<Node["power"]["on"]>[0]): Promise<void> {
    await this.node.power.on(boot);
    this.emit({ type: "power-on", node: this.node.uuid, boot });
  }

  /** What Ironic's iPXE script passes. No token and no UUID: both come from the lookup by MAC address. */
  #kernelParameters(): string[] {
    return [
      "selinux=0",
      "troubleshoot=0",
      "text",
      ...this.settings.kernelParameters,
      "ipa-debug=1",
      `ipa-api-url=${this.#apiUrl}`,
      `ipa-global-request-id=req-${crypto.randomUUID()}`,
      `BOOTIF=${this.node.ports[0]?.address}`,
      "initrd=deploy_ramdisk",
    ];
  }

  // --- Steps in the agent ---

  /**
   * Asks the agent for its steps and keeps them with the hardware managers' version. Returns false when the agent
   * is busy, and then nothing has changed. Throws when the answer is not what Ironic takes.
   */
  async refreshSteps(kind: StepKind): Promise<boolean> {
    let answer: Command;
    try {
      answer = await this.agent.getSteps(kind);
    } catch (error) {
      if (!(error instanceof AgentInProgressError)) throw error;
      this.emit({ type: "agent-busy", node: this.node.uuid, command: error.command });
      return false;
    }
    const { steps, version } = checkedSteps(answer.command_result ?? null, kind, this.node);
    this.node.cachedSteps.set(kind, steps);
    this.node.hardwareManagerVersion = version;
    this.emit({ type: "steps", node: this.node.uuid, kind, steps });
    return true;
  }

  /** Starts a step in the agent. Throws AgentInProgressError when the agent is busy. */
  async executeStep(kind: StepKind, step: Step): Promise<void> {
    const answer = await this.agent.executeStep(kind, step);
    if (typeof answer.command_status !== "string" || answer.command_status === "") {
      const result = pythonText(answer as unknown as JsonObject);
      throw new Error(`Agent on node ${this.node.uuid} returned bad command result: ${result}`);
    }
    this.#watchProgress(kind, step);
  }

  stepStarted(kind: StepKind, step: Step, inBand: boolean): void {
    this.node.currentStep = { kind, step };
    this.emit({ type: "step-started", node: this.node.uuid, kind, step, inBand });
  }

  stepFinished(kind: StepKind, step: Step): void {
    this.#progressWatch?.abort();
    this.emit({ type: "step-finished", node: this.node.uuid, kind, step });
  }

  // --- Logs ---

  /**
   * Fetches the ramdisk's logs for the observers, where `[agent]deploy_logs_collect` wants them at this `occasion`. That
   * they cannot be had is only a warning.
   */
  async collectLogs(occasion: "failure" | "success"): Promise<void> {
    const { deployLogsCollect } = this.settings;
    const wanted =
      deployLogsCollect === "always" || (deployLogsCollect === "on_failure" && occasion === "failure");
    if (!wanted || this.node.agent === null) return;
    try {
      const { command_result } = await this.agent.collectSystemLogs();
      const logs = isJsonObject(command_result) ? command_result.system_logs : null;
      if (typeof logs !== "string") throw new Error("the answer holds no system_logs");
      this.emit({ type: "ramdisk-logs", node: this.node.uuid, archive: Buffer.from(logs, "base64") });
    } catch (error) {
      this.warn(
        `Failed to invoke collect_system_logs agent command for node ${this.node.uuid}. Error: ${messageOf(error)}`,
      );
    }
  }

  /** Waits for `milliseconds`; throws when the conductor is closed meanwhile. */
  async pause(milliseconds: number): Promise<void> {
    await setTimeout(milliseconds, undefined, { signal: this.signal });
  }

  warn(message: string): void {
    this.emit({ type: "warning", node: this.node.uuid, message });
  }

  /** No more looking at the agent; for the end of an operation. */
  close(): void {
    this.#progressWatch?.abort();
    this.node.currentStep = null;
  }

  /**
   * Looks at the running step every now and then and tells the observers. A real conductor has no such thing: it
   * looks when a heartbeat comes. So nothing seen here is used to decide anything, failures included.
   */
  #watchProgress(kind: StepKind, step: Step): void {
    this.#progressWatch?.abort();
    if (this.settings.progressInterval === 0) return;
    const watch = new AbortController();
    this.#progressWatch = watch;
    const look = async () => {
      for (;;) {
        await this.pause(this.settings.progressInterval);
        if (watch.signal.aborted) return;
        const last = (await this.agent.commands()).at(-1);
        if (watch.signal.aborted || last?.command_name !== `execute_${kind}_step`) continue;
        const progress = progressOf(last);
        if (progress !== null) this.emit({ type: "step-progress", node: this.node.uuid, step, progress });
        if (last.command_status !== "RUNNING") return;
      }
    };
    // An agent that cannot be reached here shows when the conductor itself asks; the display just stands still.
    look().catch(() => watch.abort());
  }
}

/** The step list of a `get_*_steps` answer with Ironic's checks, in the order of the managers. */
function checkedSteps(result: Json, kind: StepKind, node: Node): { steps: Step[]; version: Json } {
  const describe = `agent get_${kind}_steps for node ${node.uuid}`;
  const managers = isJsonObject(result) ? result[`${kind}_steps`] : undefined;
  const version = isJsonObject(result) ? result.hardware_manager_version : undefined;
  if (!isJsonObject(managers) || version === undefined) {
    const missing = [
      ...(isJsonObject(managers) ? [] : [`${kind}_steps`]),
      ...(version === undefined ? ["hardware_manager_version"] : []),
    ];
    throw new Error(
      `${describe} returned an invalid result. Keys: ${setText(missing)} are missing from result: ` +
        `${pythonText(result)}.`,
    );
  }
  const steps: Step[] = [];
  for (const [manager, list] of Object.entries(managers)) {
    if (!Array.isArray(list)) throw new Error(`${describe}: the steps of ${manager} are not a list.`);
    for (const step of list) {
      const missing = isJsonObject(step) ? STEP_KEYS.filter((key) => step[key] === undefined) : STEP_KEYS;
      if (missing.length > 0 || !isStep(step) || !Number.isInteger(step.priority)) {
        throw new Error(
          `${describe} returned an invalid ${kind} step. Keys: ${setText(missing)} are missing from step: ` +
            `${pythonText(step)}.`,
        );
      }
      steps.push(step);
    }
  }
  return { steps, version };
}

const STEP_KEYS = ["interface", "step", "priority"];

/** Python's way to print a set; Ironic's has no order of its own. */
function setText(names: readonly string[]): string {
  return `{${names.map(pythonText).join(", ")}}`;
}

/** Highest priority first; of equals, the deploy interface before the raid interface, as Ironic sorts them. */
export function byPriority(one: Step, other: Step): number {
  const rank = (step: Step) => (step.interface === "deploy" ? 0 : 1);
  return Number(other.priority) - Number(one.priority) || rank(one) - rank(other);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
