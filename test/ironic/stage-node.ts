// A node of a scenario, with the words that scenarios are written in: operations with their usual time limits, and what is
// checked after every one of them.

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { JsonObject } from "../../src/json.ts";
import type { BootedSystem } from "../rig/booted.ts";
import { run } from "../rig/programs.ts";
import { check } from "./check.ts";
import { partitionTableProblems, signaturesOn } from "./disk-content.ts";
import { type ManagedNode, ProvisionFailed } from "./managed-node.ts";
import type { DeployOptions, Stage } from "./scenario.ts";

const MINUTE = 60_000;
const PHASE_POLL_MS = 200;
const STATE_POLL_MS = 500;
const SHELL_TIMEOUT_MS = 60_000;
/** What the user data of every deployment prints. */
export const USER_DATA_OUTPUT = "user data has run";

export class StageNode {
  readonly managed: ManagedNode;
  readonly #stage: Stage;

  constructor(stage: Stage, managed: ManagedNode) {
    this.#stage = stage;
    this.managed = managed;
  }

  /** To "available" through automated cleaning. */
  async clean(minutes = 10): Promise<void> {
    await this.managed.provide({ clean: true, timeout: minutes * MINUTE });
  }

  /** To "available" as it is. */
  async provide(): Promise<void> {
    await this.managed.provide({ clean: false, timeout: MINUTE });
  }

  /** Deploys and waits until the deployed system has said that it is this node's. */
  async deploy(options: DeployOptions = {}): Promise<BootedSystem> {
    await this.managed.deploy(this.#stage.deployRequest(options));
    return await this.#booted();
  }

  /** Deploys, and it has to fail with a last_error that matches all of `reasons`. */
  async failsToDeploy(options: DeployOptions, ...reasons: readonly RegExp[]): Promise<void> {
    await this.#fails(() => this.managed.deploy(this.#stage.deployRequest(options)), reasons);
  }

  /** Runs steps by hand, which has to fail with a last_error that matches all of `reasons`. */
  async failsToClean(steps: readonly JsonObject[], ...reasons: readonly RegExp[]): Promise<void> {
    await this.#fails(() => this.cleanManually(steps), reasons);
  }

  /** Pulls the plug and one disk, and waits for the deployed system to come up from the others. */
  async bootsWithout(serial: string): Promise<BootedSystem> {
    this.managed.phases.begin(`boot without ${serial}`);
    return await this.#bootsAgain({ without: serial });
  }

  /** Switches a machine on again that somebody worked on, and waits for the deployed system. */
  async bootsAgain(): Promise<BootedSystem> {
    this.managed.phases.begin("boot again");
    return await this.#bootsAgain();
  }

  /** Pulls the plug, lets the firmware forget its boot entries, and waits for the deployed system to come up all the same. */
  async bootsWithoutVariables(): Promise<BootedSystem> {
    const { machine, phases } = this.managed;
    phases.begin("boot without UEFI variables");
    await machine.powerOff();
    await machine.resetVariables();
    return await this.#bootsAgain();
  }

  /** Runs steps by hand, from "manageable" back to "manageable". */
  async cleanManually(steps: readonly JsonObject[], minutes = 10): Promise<void> {
    await this.managed.clean(steps, { timeout: minutes * MINUTE });
  }

  /** Has ironic-inspector look at it, from "manageable" back to "manageable". */
  async inspect(minutes = 10): Promise<void> {
    await this.managed.inspect({ timeout: minutes * MINUTE });
  }

  /** From "active" to "rescue". */
  async rescue(password: string, minutes = 10): Promise<void> {
    await this.managed.rescue(password, { timeout: minutes * MINUTE });
  }

  /** Back to the deployed system. */
  async unrescue(minutes = 10): Promise<BootedSystem> {
    await this.managed.unrescue({ timeout: minutes * MINUTE });
    const booted = await this.managed.booted();
    await this.#checkRecord();
    return booted;
  }

  /** Waits, beside an operation under way, until Ironic has the node in this state. */
  async reaches(state: string, minutes = 2): Promise<void> {
    const deadline = Date.now() + minutes * MINUTE;
    for (;;) {
      const { provision_state } = await this.managed.record();
      if (provision_state === state) return;
      check(Date.now() < deadline, `the node comes to "${state}"`, provision_state);
      await sleep(STATE_POLL_MS);
    }
  }

  /** Output of a command in the ramdisk's root shell. */
  async shell(command: string): Promise<string> {
    return await this.managed.machine.shell(command, SHELL_TIMEOUT_MS);
  }

  /**
   * Archives of the ramdisk's logs that Ironic has fetched from this node's agent, oldest first; `label` is "cleaning" for
   * those of a cleaning.
   */
  async logArchives(label?: "cleaning"): Promise<string[]> {
    const directory = this.#stage.site.ironic.paths.ramdiskLogs;
    const prefix = [this.managed.uuid, this.managed.name, ...(label === undefined ? [] : [label])].join("_");
    const names = (await readdir(directory)).filter((name) => new RegExp(`^${prefix}_\\d`).test(name));
    return names.sort().map((name) => join(directory, name));
  }

  /** Names of the files in the last of them. */
  async logsFetched(label?: "cleaning"): Promise<string[]> {
    const last = (await this.logArchives(label)).at(-1);
    check(last !== undefined, "Ironic has fetched the ramdisk's logs", "no archive");
    const { stdout } = await run(["tar", "--list", "--gzip", "--file", last]);
    return stdout.split("\n").filter((name) => name !== "");
  }

  /** Writes the image again and waits for the system as deploy() does. */
  async rebuild(options: DeployOptions = {}): Promise<BootedSystem> {
    await this.managed.rebuild(this.#stage.deployRequest(options));
    return await this.#booted();
  }

  /** Back to "available" through automated cleaning. */
  async undeploy(minutes = 10): Promise<void> {
    await this.managed.patch("/automated_clean", true);
    await this.managed.undeploy({ timeout: minutes * MINUTE });
  }

  /** Runs an operation, and beside it `action` as soon as the operation has come to a phase. */
  async when(phase: string, operation: () => Promise<unknown>, action: () => Promise<void>): Promise<void> {
    const over = new AbortController();
    const act = async () => {
      while (this.managed.phases.current !== phase) await sleep(PHASE_POLL_MS, undefined, over);
      await action();
    };
    const acting = act();
    try {
      await Promise.all([operation(), acting]);
    } finally {
      // An operation that failed before the phase leaves nothing to wait for; an action under way is waited for.
      over.abort();
      await Promise.allSettled([acting]);
    }
  }

  async #bootsAgain(how: { without?: string } = {}): Promise<BootedSystem> {
    const { machine } = this.managed;
    await machine.powerOff();
    await machine.start({ disk: true, ...how });
    return await this.managed.booted();
  }

  async #fails(operation: () => Promise<void>, reasons: readonly RegExp[]): Promise<void> {
    try {
      await operation();
    } catch (error) {
      if (!(error instanceof ProvisionFailed)) throw error;
      this.managed.phases.fail(`as it has to: ${error.node.last_error}`);
      for (const reason of reasons)
        check(reason.test(error.node.last_error ?? ""), `last_error says ${reason}`, error.message);
      return;
    }
    throw new Error(`the operation on node ${this.managed.name} succeeded, but it had to fail`);
  }

  /** The system is this node's, has run its user data at this first boot, and Ironic has nothing to complain about. */
  async #booted(): Promise<BootedSystem> {
    const booted = await this.managed.booted();
    // User data runs before the system says that it is up.
    await this.managed.machine.waitForConsole(new RegExp(USER_DATA_OUTPUT), { timeout: 0 });
    for (const disk of this.managed.machine.diskFiles) {
      if (!(await signaturesOn(disk)).includes("gpt")) continue;
      const problems = await partitionTableProblems(disk);
      check(problems === null, "the deployed disk's partition table is whole", String(problems));
    }
    await this.#checkRecord();
    return booted;
  }

  async #checkRecord(): Promise<void> {
    const { power_state, last_error, maintenance } = await this.managed.record();
    check(power_state === "power on", "Ironic sees the machine on", String(power_state));
    check(last_error === null && !maintenance, "Ironic sees no error", String(last_error));
  }
}
