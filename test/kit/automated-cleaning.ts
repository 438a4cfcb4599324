// Automated cleaning as Ironic 21.4 does it: all steps of the agent whose priority is not 0, highest first, one for
// each round of heartbeats.

import { pythonText } from "../../src/python-text.ts";
import { AgentInProgressError } from "./agent-client.ts";
import { judge } from "./judgement.ts";
import { type Step, stepName } from "./node.ts";
import { type Operation, OperationClosed, OperationFailed } from "./operation.ts";
import { byPriority, messageOf, type Task } from "./task.ts";

export class AutomatedCleaning implements Operation {
  readonly kind = "clean";
  readonly #task: Task;
  readonly #end = Promise.withResolvers<void>();
  /** Unknown until the agent has told them. */
  #steps: readonly Step[] | null = null;
  /** Index of the step in progress. */
  #at = -1;
  /** The agent was busy when the step in progress was to be started: do it again. */
  #retry = false;

  constructor(task: Task) {
    this.#task = task;
  }

  get finished(): Promise<void> {
    return this.#end.promise;
  }

  async begin(): Promise<void> {
    this.#task.node.lastError = null;
    this.#task.setState("cleaning");
    await this.#guarded(`Failed to prepare node ${this.#task.node.uuid} for cleaning`, async () => {
      await this.#task.bootRamdisk();
      this.#task.setState("clean wait");
    });
  }

  /** A heartbeat in "clean wait". */
  async heartbeat(): Promise<void> {
    if (this.#steps === null) {
      await this.#guarded("Node failed to start the first cleaning step", async () => {
        await this.#loadSteps();
        await this.#goOn();
      });
    } else {
      await this.#guarded("Node failed to check cleaning progress", () => this.#processNextStep());
    }
  }

  async timedOut(): Promise<void> {
    const step = pythonText(this.#task.node.currentStep?.step ?? {});
    await this.#fail(
      "Timeout reached while cleaning the node. Please check if the ramdisk responsible for the cleaning is " +
        `running on the node. Failed on step ${step}.`,
    );
  }

  close(): void {
    this.#end.reject(new OperationClosed());
  }

  async #fail(lastError: string): Promise<void> {
    const { node, signal } = this.#task;
    if (signal.aborted) return this.close();
    node.lastError = lastError;
    // A node that failed in the middle may be in any condition: it stays on, and an operator has to look.
    if (node.currentStep !== null) node.maintenance = true;
    else await this.#task.powerOff();
    this.#task.close();
    node.wipeAgent();
    this.#task.setState("clean failed");
    this.#task.emit({ type: "failed", node: node.uuid, kind: "clean", lastError });
    this.#end.reject(new OperationFailed(lastError));
  }

  /** An agent that is busy now has no steps to clean with: Ironic then goes on without any, and without a word. */
  async #loadSteps(): Promise<void> {
    await this.#task.refreshSteps("clean");
    const priorities = this.#task.settings.cleanStepPriorities;
    this.#steps = (this.#task.node.cachedSteps.get("clean") ?? [])
      .filter((step) => step.interface === "deploy" || step.interface === "raid")
      .map((step) => ({
        ...step,
        priority: priorities[step.step] ?? Number(step.priority),
        requires_ramdisk: true,
      }))
      .filter((step) => step.priority > 0)
      .sort(byPriority);
    this.#at = -1;
  }

  async #processNextStep(): Promise<void> {
    const { node, agent } = this.#task;
    const current = node.currentStep?.step;
    if (current === undefined) return;
    const judgement = judge(await agent.commands(), "clean", current);
    switch (judgement.verdict) {
      case "fresh":
        // The step in progress had asked for this reboot, or was refused by a busy agent.
        if (!this.#retry) this.#task.stepFinished("clean", current);
        return await this.#goOn();
      case "wait":
        if (this.#retry && judgement.reason !== "the step is running") await this.#goOn();
        return;
      case "succeeded":
        if (current.reboot_requested === true) return await this.#task.bootRamdisk();
        this.#task.stepFinished("clean", current);
        return await this.#goOn();
      case "failed":
        return await this.#stepFailed(
          `Clean step ${stepName(current)} failed on node ${node.uuid}. ${judgement.error}`,
        );
      case "version-mismatch":
        // The hardware managers changed under way: automated cleaning starts over.
        await this.#loadSteps();
        return await this.#goOn();
      case "unknown-status":
        return await this.#stepFailed(
          `Agent returned unknown status for clean step ${pythonText(current)} on node ${node.uuid} : ${judgement.status}.`,
        );
    }
  }

  /** Only failures of a step have Ironic fetch the logs. */
  async #stepFailed(lastError: string): Promise<void> {
    await this.#task.collectLogs("failure");
    await this.#fail(lastError);
  }

  async #goOn(): Promise<void> {
    const task = this.#task;
    task.setState("cleaning");
    if (!this.#retry) this.#at += 1;
    this.#retry = false;
    const step = this.#steps?.[this.#at];
    if (step === undefined) return await this.#complete();

    task.stepStarted("clean", step, true);
    try {
      await task.executeStep("clean", step);
    } catch (error) {
      if (!(error instanceof AgentInProgressError)) {
        return await this.#stepFailed(
          `Node ${task.node.uuid} failed step ${pythonText(step)}: ${messageOf(error)}`,
        );
      }
      this.#retry = true;
      task.emit({ type: "agent-busy", node: task.node.uuid, command: error.command });
    }
    task.setState("clean wait");
  }

  async #complete(): Promise<void> {
    const task = this.#task;
    await task.collectLogs("success");
    task.close();
    await task.powerOff();
    task.setState("available");
    task.emit({ type: "finished", node: task.node.uuid, kind: "clean" });
    this.#end.resolve();
  }

  /** Runs part of a heartbeat; an error in it fails the cleaning with the context that Ironic gives. */
  async #guarded(context: string, body: () => Promise<void>): Promise<void> {
    try {
      await body();
    } catch (error) {
      await this.#fail(`${context}: ${messageOf(error)}`);
    }
  }
}
