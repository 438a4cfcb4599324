// A conductor, a node with simulated power and a scripted agent on it, for tests of what a conductor does. Nothing here
// waits for time to pass: a heartbeat returns when all that it set in motion is done.

import type { JsonObject } from "../../src/json.ts";
import { EmbeddedConductor } from "./conductor.ts";
import type { ConductorEvent } from "./events.ts";
import { type Node, WAITING_STATES } from "./node.ts";
import { ScriptedAgent, type ScriptedAgentOptions } from "./scripted-agent.ts";
import type { ConductorSettings } from "./settings.ts";
import { SimulatedPower } from "./simulated-power.ts";

export const UUID = "2289732a-7b4c-4d0f-8f63-09d1c0a3b7de";
export const MAC = "52:54:00:aa:bb:01";

/** Short waits, but so many of them that a slow computer does not matter. */
const FAST = {
  commandWaitInterval: 1,
  commandWaitAttempts: 100_000,
  powerOffInterval: 1,
  powerOffAttempts: 2,
  progressInterval: 0,
};

export class Lab implements AsyncDisposable {
  readonly conductor: EmbeddedConductor;
  readonly agent: ScriptedAgent;
  readonly power = new SimulatedPower();
  readonly node: Node;
  /** All events so far. */
  readonly events: ConductorEvent[] = [];

  constructor(settings: Partial<ConductorSettings> = {}, agentOptions: Partial<ScriptedAgentOptions> = {}) {
    this.conductor = EmbeddedConductor.start({ settings: { ...FAST, ...settings } });
    this.conductor.observe((event) => this.events.push(event));
    this.agent = new ScriptedAgent({ apiUrl: this.conductor.url, mac: MAC, ...agentOptions });
    this.agent.on("standby.power_off", () => {
      this.power.isOn = false;
      return { command_status: "RUNNING" };
    });
    this.node = this.conductor.enrol({ uuid: UUID, name: "node-0", macs: [MAC] }, this.power);
  }

  /**
   * Waits until the operation waits for its agent, and looks the node up. The operation comes back in a box, so that
   * awaiting this does not await its end.
   */
  async begin(operation: Promise<void>): Promise<{ end: Promise<void> }> {
    // A test that expects the failure awaits it later.
    operation.catch(() => undefined);
    while (!WAITING_STATES.has(this.node.provisionState)) await Bun.sleep(1);
    await this.agent.lookup();
    return { end: operation };
  }

  /** A heartbeat, and all that it sets in motion. */
  async heartbeat(change: JsonObject = {}): Promise<void> {
    const response = await this.agent.heartbeat(change);
    if (response.status !== 202) throw new Error(`heartbeat: ${response.status} ${await response.text()}`);
    await this.conductor.idle();
  }

  /** The first event of a type, or undefined. */
  seen<T extends ConductorEvent["type"]>(type: T): (ConductorEvent & { type: T }) | undefined {
    return this.events.find((event): event is ConductorEvent & { type: T } => event.type === type);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.conductor[Symbol.asyncDispose]();
    await this.agent[Symbol.asyncDispose]();
  }
}
