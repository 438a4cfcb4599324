// Who the fleet talks to: the embedded conductor of test/kit, or the real Ironic of test/ironic with nodes of its fake
// hardware type. Both clean every node with the one step its agent offers.

import { API_PORT } from "../../ironic/configuration.ts";
import { Ironic } from "../../ironic/ironic.ts";
import { EmbeddedConductor } from "../../kit/conductor.ts";
import type { PowerControl } from "../../kit/power.ts";
import { makeRunDirectory } from "../../rig/run-directory.ts";
import { agentMac, agentUuid } from "./protocol.ts";

export interface FleetConductor extends AsyncDisposable {
  readonly name: string;
  readonly url: string;
  /** Begins to clean so many nodes; resolves when all wait for their agents. */
  beginCleaning(nodes: number): Promise<void>;
  /** Nodes whose cleaning has failed so far. */
  failed(): Promise<number>;
  /** Resolves when all are done, to the last_errors of those that failed. */
  cleaned(): Promise<readonly string[]>;
  /** The API refuses connections until comeBack(). */
  goDown(): Promise<void>;
  comeBack(): Promise<void>;
}

export type ConductorOptions = {
  /** Seconds; agents heartbeat at 0.3 to 0.6 of it. */
  readonly heartbeatTimeout: number;
};

const POLL_MS = 1000;
const PATIENCE_MS = 900_000;
const AT_A_TIME = 5;

/** A switch with nothing behind it: the agents run whatever it says. */
function looseSwitch(): PowerControl {
  let on = false;
  return {
    on: async () => {
      on = true;
    },
    off: async () => {
      on = false;
    },
    state: async () => (on ? "power on" : "power off"),
  };
}

export function embeddedConductor({ heartbeatTimeout }: ConductorOptions): FleetConductor {
  const conductor = EmbeddedConductor.start({
    settings: { heartbeatTimeout, powerOffInterval: 1, powerOffAttempts: 1, progressInterval: 0 },
  });
  let operations: Promise<string | null>[] = [];
  let failed = 0;
  return {
    name: "embedded conductor",
    url: conductor.url,
    async beginCleaning(count) {
      const waiting = Promise.withResolvers<void>();
      let left = count;
      conductor.observe((event) => {
        if (event.type === "state" && event.to === "clean wait" && --left === 0) waiting.resolve();
      });
      operations = Array.from({ length: count }, async (_, i) => {
        const node = conductor.enrol({ uuid: agentUuid(i), macs: [agentMac(i)] }, looseSwitch());
        try {
          await conductor.clean(node);
          return null;
        } catch (error) {
          failed++;
          return error instanceof Error ? error.message : String(error);
        }
      });
      await waiting.promise;
    },
    failed: async () => failed,
    cleaned: async () => (await Promise.all(operations)).filter((error) => error !== null),
    goDown: () => conductor.goOffline(),
    comeBack: async () => conductor.comeBack(),
    [Symbol.asyncDispose]: () => conductor[Symbol.asyncDispose](),
  };
}

/** Some at a time: each takes seconds, of which most are waiting. */
async function forEach(count: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
}

const FAKE_HARDWARE = {
  enabled_hardware_types: "fake-hardware",
  enabled_boot_interfaces: "fake",
  enabled_deploy_interfaces: "direct",
  enabled_inspect_interfaces: "no-inspect",
  enabled_management_interfaces: "fake",
  enabled_power_interfaces: "fake",
  enabled_raid_interfaces: "no-raid",
  enabled_rescue_interfaces: "no-rescue",
  enabled_vendor_interfaces: "no-vendor",
  default_raid_interface: "no-raid",
  default_rescue_interface: "no-rescue",
} as const;

/** To be called inside a network namespace of the rig's, whose loopback is up. */
export async function realIronic({ heartbeatTimeout }: ConductorOptions): Promise<FleetConductor> {
  const stop = new AbortController();
  const directory = await makeRunDirectory("fleet");
  const address = "127.0.0.1";
  const ironic = await Ironic.start({ address, directory, bootFiles: [], signal: stop.signal });
  const changes = {
    DEFAULT: { ...FAKE_HARDWARE, debug: false },
    api: { ramdisk_heartbeat_timeout: heartbeatTimeout },
    deploy: { erase_devices_metadata_priority: 0 },
    agent: { deploy_logs_collect: "never" },
  };
  await ironic.restart(changes);
  let count = 0;
  const states = async () =>
    Promise.all(Array.from({ length: count }, (_, i) => ironic.client.node(agentUuid(i))));
  /** Polls node by node, not to be a load itself. */
  const settled = async (end: readonly string[]): Promise<Awaited<ReturnType<typeof states>>> => {
    const deadline = Date.now() + PATIENCE_MS;
    const pending = new Set(Array.from({ length: count }, (_, i) => i));
    for (;;) {
      for (const i of pending)
        if (end.includes((await ironic.client.node(agentUuid(i))).provision_state)) pending.delete(i);
      if (pending.size === 0) return states();
      if (Date.now() > deadline) throw new Error(`${pending.size} nodes did not get to ${end.join(" or ")}`);
      await Bun.sleep(POLL_MS);
    }
  };
  return {
    name: "Ironic 21.4 (SQLite, one process)",
    url: `http://${address}:${API_PORT}`,
    async beginCleaning(nodes) {
      count = nodes;
      await forEach(nodes, async (i) => {
        const uuid = agentUuid(i);
        await ironic.client.createNode({
          uuid,
          driver: "fake-hardware",
          deploy_interface: "direct",
          driver_info: { deploy_kernel: "file:///dev/null", deploy_ramdisk: "file:///dev/null" },
        });
        await ironic.client.createPort({ node_uuid: uuid, address: agentMac(i) });
        await ironic.client.provision(uuid, "manage");
      });
      await settled(["manageable"]);
      await forEach(nodes, (i) => ironic.client.provision(agentUuid(i), "provide"));
      await settled(["clean wait"]);
    },
    async failed() {
      const query = "provision_state=clean%20failed&fields=uuid&limit=1000";
      const answer = await fetch(`http://${address}:${API_PORT}/v1/nodes?${query}`, {
        headers: { "X-OpenStack-Ironic-API-Version": "1.82" },
      });
      return ((await answer.json()) as { nodes: unknown[] }).nodes.length;
    },
    async cleaned() {
      const nodes = await settled(["available", "clean failed"]);
      return nodes.flatMap(({ provision_state, last_error }) =>
        provision_state === "clean failed" ? [last_error ?? "no last_error"] : [],
      );
    },
    goDown: () => ironic.stop(),
    comeBack: () => ironic.launch(),
    async [Symbol.asyncDispose]() {
      await ironic[Symbol.asyncDispose]();
    },
  };
}
