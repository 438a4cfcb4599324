// The process full of agents: the real Agent class, each on recorded hardware with sockets, TLS and time of this
// machine. Nothing else runs here, so its memory and processor time are those of the agents. Takes orders from fleet.ts.

import { Agent } from "../../../src/agent.ts";
import { Config } from "../../../src/config/config.ts";
import { GenericHardwareManager } from "../../../src/hardware/generic-manager.ts";
import { type ManagerFactory, Support } from "../../../src/hardware/manager.ts";
import type { Step, StepKind } from "../../../src/steps/step.ts";
import { realClock } from "../../../src/system/clock.ts";
import { type HttpClient, realHttpClient } from "../../../src/system/http-client.ts";
import { realHttpListener } from "../../../src/system/http-server.ts";
import { createLogger } from "../../../src/system/log.ts";
import type { System } from "../../../src/system/system.ts";
import { realOpenUdp } from "../../../src/system/udp.ts";
import { loadMachine } from "../../hardware/recording/recording.ts";
import { type Recording, recordedSystem } from "../../support/recorded-system.ts";
import { residentMemory } from "../measure.ts";
import {
  type ApiRequest,
  agentAddress,
  agentMac,
  type FleetSettings,
  type News,
  type Order,
} from "./protocol.ts";

/** Of the recorded machine's network card. */
const RECORDED_MAC = "52:54:00:00:00:01";

const settings: FleetSettings = JSON.parse(process.argv[2] ?? "{}");
const tell = (news: News) => process.send?.(news);

const machine = await loadMachine("qemu-uefi");
const requests: ApiRequest[] = [];
const released = Promise.withResolvers<null>();
const running: { readonly agent: Agent; readonly ended: Promise<number> }[] = [];

/** Sends as the real one does, and notes what became of it. */
const observedHttp: HttpClient = async (request) => {
  const { pathname } = new URL(request.url);
  const kind = pathname.includes("/heartbeat/")
    ? "heartbeat"
    : pathname.endsWith("/lookup")
      ? "lookup"
      : "version";
  const at = Date.now();
  const note = (status: number) => requests.push({ at, kind, status, took: Date.now() - at });
  try {
    const response = await realHttpClient(request);
    note(response.status);
    return response;
  } catch (error) {
    if (!request.signal?.aborted) note(0);
    throw error;
  }
};

/** The recorded machine with another MAC address; what does not contain it is shared by all. */
function machineOf(agent: number): Recording {
  const renamed = <T>(values: Readonly<Record<string, T>> | undefined) =>
    Object.fromEntries(
      Object.entries(values ?? {}).map(([name, value]) => {
        const text = JSON.stringify(value) ?? "";
        return [
          name,
          text.includes(RECORDED_MAC) ? JSON.parse(text.replaceAll(RECORDED_MAC, agentMac(agent))) : value,
        ];
      }),
    );
  return { ...machine, programs: renamed(machine.programs), files: renamed(machine.files) };
}

function systemOf(agent: number): System {
  return {
    ...recordedSystem(machineOf(agent)),
    http: observedHttp,
    listen: realHttpListener,
    resolveHost: async (host) => [host],
    openUdp: realOpenUdp,
    clock: realClock,
    // Formatted as ever, and thrown away.
    log: createLogger("fleet", "INFO", () => undefined),
  };
}

/** The generic manager, with one clean step that holds until it is released instead of its own. */
function managerOf(agent: number): ManagerFactory {
  const hold: Step = {
    step: "hold",
    priority: 10,
    interface: "deploy",
    reboot_requested: false,
    run: async ({ report }) => {
      tell({ news: "holding", agent });
      report({ phase: "hold", done: null, total: null, unit: "steps", rate: null });
      return released.promise;
    },
  };
  return (context) =>
    new (class extends GenericHardwareManager {
      override evaluateHardwareSupport = async () => Support.mainline;
      override steps = async (kind: StepKind) => (kind === "clean" ? [hold] : []);
    })(context);
}

function start(agent: number): void {
  const address = agentAddress(agent);
  const config = Config.of({
    api_url: settings.apiUrl,
    listen_host: address,
    advertise_host: address,
    disk_wait_attempts: 0,
    lookup_timeout: 600,
  });
  const made = new Agent(systemOf(agent), config, [managerOf(agent)]);
  running.push({ agent: made, ended: made.run() });
}

async function obey(order: Order): Promise<void> {
  switch (order.order) {
    case "start":
      for (let agent = order.from; agent <= order.to; agent++) start(agent);
      break;
    case "release":
      released.resolve(null);
      break;
    case "measure": {
      const { user, system } = process.cpuUsage();
      const memory = await residentMemory(process.pid, "VmRSS");
      tell({
        news: "measured",
        usage: { memory, cpu: (user + system) / 1000 },
        requests: requests.splice(0),
      });
      break;
    }
    case "stop": {
      for (const { agent } of running) agent.stop();
      const exitCodes = await Promise.all(running.map(({ ended }) => ended));
      tell({ news: "stopped", exitCodes });
      break;
    }
  }
}

process.on("message", (order: Order) => void obey(order));
// Who gave the orders is gone.
process.on("disconnect", () => process.exit(1));
tell({ news: "ready" });
