// A machine for tests of whole agents: recorded programs and files, and hardware behind a manager of the test's own, but real
// sockets, real TLS and real time (which can be made to run faster). An agent in it may power itself off: nothing happens.

import type { Config } from "../../src/config/config.ts";
import {
  type HardwareManager,
  type Inventory,
  type ManagerContext,
  type ManagerFactory,
  Support,
} from "../../src/hardware/manager.ts";
import type { Step, StepKind } from "../../src/steps/step.ts";
import { type Clock, realClock } from "../../src/system/clock.ts";
import { realHttpClient } from "../../src/system/http-client.ts";
import { realHttpListener } from "../../src/system/http-server.ts";
import { realResolveHost } from "../../src/system/resolver.ts";
import { realOpenUdp } from "../../src/system/udp.ts";
import { type RecordedSystem, type Recording, recordedSystem } from "./recorded-system.ts";

/** Real time, `factor` times as fast. */
export function hurriedClock(factor: number): Clock {
  return {
    now: realClock.now,
    monotonic: () => realClock.monotonic() * factor,
    sleep: (seconds, signal) => realClock.sleep(seconds / factor, signal),
    uniform: realClock.uniform,
  };
}

/** A machine whose route to anything on this host starts at 127.0.0.1. */
export function testMachine(options: { readonly hurry?: number } & Recording = {}): RecordedSystem {
  const loopback = { stdout: "local 127.0.0.1 dev lo src 127.0.0.1 uid 0 \n    cache <local> \n" };
  const recording = { ...options, programs: { "ip route get 127.0.0.1": loopback, ...options.programs } };
  return {
    ...recordedSystem(recording),
    http: realHttpClient,
    listen: realHttpListener,
    resolveHost: realResolveHost,
    openUdp: realOpenUdp,
    clock: hurriedClock(options.hurry ?? 1),
  };
}

export type TestSteps = { readonly [kind in StepKind]?: readonly Step[] };

/** A manager with one network card and the steps that `steps` makes. */
export function testManager(
  mac: string,
  steps: (context: ManagerContext) => TestSteps = () => ({}),
): ManagerFactory {
  return (context): HardwareManager => {
    const card = { ...CARD, mac_address: mac };
    return {
      className: "TestHardwareManager",
      name: "test_hardware_manager",
      version: "1.0",
      evaluateHardwareSupport: async () => Support.generic,
      listNetworkInterfaces: async () => [card],
      getInterfaceInfo: async () => card,
      listHardwareInfo: async () => ({ ...INVENTORY, interfaces: [card] }),
      waitForDisks: async () => undefined,
      steps: async (kind) => steps(context)[kind] ?? [],
    };
  };
}

/** A port nobody listens on; it stays free unless something else on this host takes it in the meantime. */
export async function freePort(): Promise<number> {
  const probe = await realHttpListener({
    host: "127.0.0.1",
    port: 0,
    tls: null,
    maxRequestBody: 1,
    handle: () => new Response(),
  });
  await probe.stop(0);
  return probe.port;
}

/** Options that make an agent listen and advertise on loopback, on a port of its own. */
export async function loopbackOptions(): Promise<Parameters<typeof Config.of>[0] & { listen_port: number }> {
  const port = await freePort();
  return { listen_host: "127.0.0.1", listen_port: port, advertise_port: port };
}

const CARD = {
  name: "eth0",
  mac_address: "",
  ipv4_address: "127.0.0.1",
  ipv6_address: null,
  has_carrier: true,
  lldp: null,
  vendor: null,
  product: null,
  client_id: null,
  biosdevname: null,
  speed_mbps: null,
  pci_address: null,
  driver: null,
};

const INVENTORY: Inventory = {
  interfaces: [],
  cpu: {
    model_name: "Recorded",
    frequency: "2000",
    count: 1,
    architecture: "x86_64",
    flags: [],
    socket_count: 1,
  },
  disks: [],
  memory: { total: 1024 ** 3, physical_mb: 1024 },
  bmc_address: "0.0.0.0",
  bmc_v6address: "::/0",
  system_vendor: {
    product_name: "",
    serial_number: "",
    manufacturer: "",
    firmware: { vendor: "", version: "", build_date: "" },
  },
  boot: { current_boot_mode: "bios", pxe_interface: null },
  hostname: "recorded",
};
