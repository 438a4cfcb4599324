// A QEMU machine that runs the agent's own executable, standalone, out of the rig's ramdisk, commanded through its API. Its disks are
// files: in here the agent may destroy what it likes. QEMU forwards the API's port from loopback, so no network is set up.

import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { JsonObject } from "../../src/json.ts";
import { buildAgent } from "../rig/executable.ts";
import { type DiskOptions, type Firmware, Machine } from "../rig/machine.ts";
import { composeRamdisk, minimalRamdiskBase, ramdiskBase } from "../rig/ramdisk.ts";
import { makeBootMedium } from "../rig/signed-loaders.ts";
import { freePort } from "../support/test-machine.ts";

const WORK = resolve(import.meta.dir, "../../.cache/vm");
const MINUTE = 60_000;
const API_PORT = 9999;

/** These tests take minutes, so they only run when they are asked for by name: `bun test test/vm`. */
export const askedFor = readFileSync("/proc/self/cmdline", "utf8").includes("test/vm");

export type StepEnd = {
  readonly status: string;
  /** `clean_result` or `deploy_result`. */
  readonly result: unknown;
  readonly error: { readonly type: string; readonly details: string } | null;
  /** Every `command_progress` that was seen while it ran. */
  readonly progress: readonly JsonObject[];
};

export type AgentMachine = AsyncDisposable & {
  readonly machine: Machine;
  /** Runs a command to its end; its entry in the command list. */
  command(name: string, params: JsonObject): Promise<JsonObject>;
  /** On loopback, what is forwarded to the port of this number in the machine. */
  portOf(port: number): number;
  /** Runs a step to its end, as a conductor does. */
  step(name: string, options?: StepOptions): Promise<StepEnd>;
  /** The answer to a command: its end, or RUNNING. */
  post(name: string, params?: JsonObject): Promise<JsonObject>;
  /** All commands of this boot. */
  commands(): Promise<readonly JsonObject[]>;
  /** Whether the API answers within two seconds. */
  answers(): Promise<boolean>;
  /** Output of a command in the machine. */
  shell(command: string): Promise<string>;
  /** Switches it on again, into the ramdisk; ready when the agent answers. */
  boot(): Promise<void>;
  /** Ends the agent as a service manager does; when this returns its successor answers. */
  restart(): Promise<void>;
};

export type StepOptions = {
  readonly kind?: "clean" | "deploy";
  readonly interface?: "deploy" | "raid";
  readonly node?: JsonObject;
  readonly args?: JsonObject;
  /** Called with each new `command_progress`. */
  readonly onProgress?: (progress: JsonObject) => void;
};

/** Boots it; ready when the agent answers. `qemuArguments` may add disks that DiskOptions cannot describe. */
export async function bootAgent(options: {
  readonly firmware: Firmware;
  /** The smallest ramdisk is booted from a medium then, serial number `RAMDISK_MEDIUM`. */
  readonly secureBoot?: boolean;
  readonly disks: readonly DiskOptions[];
  readonly qemuArguments?: readonly string[];
  /** MiB; 2048 unless given. */
  readonly memoryMiB?: number;
  /** The smallest ramdisk instead of the rig's with everything. */
  readonly minimal?: boolean;
  /** More lines for the agent's configuration file. */
  readonly configuration?: string;
  /** Ports of the machine that are to be reached, besides the API's. */
  readonly forwarded?: readonly number[];
  /** Port of a server on this machine's loopback that the agent reaches as `HOST_URL`. */
  readonly hostPort?: number;
}): Promise<AgentMachine> {
  await mkdir(WORK, { recursive: true });
  const agent = await builtAgent();
  const directory = await mkdtemp(`${WORK}/`);
  const { secureBoot = false, minimal = secureBoot } = options;
  const ramdisk = await composeRamdisk(
    await (minimal ? minimalRamdiskBase : ramdiskBase)({ report: console.log }),
    {
      agent,
      files: [
        {
          path: "/etc/ironic-python-agent.d/vm.conf",
          content: `${CONFIGURATION}${options.configuration ?? ""}`,
        },
      ],
      output: join(directory, "ramdisk.cpio"),
    },
  );
  const ports = new Map<number, number>();
  for (const inside of [API_PORT, ...(options.forwarded ?? [])]) ports.set(inside, await freePort());
  const forwards = [...ports].map(([inside, outside]) => `hostfwd=tcp:127.0.0.1:${outside}-:${inside}`);
  const { hostPort } = options;
  if (hostPort !== undefined)
    forwards.push(`guestfwd=tcp:10.0.2.100:80-cmd:socat - TCP4:127.0.0.1:${hostPort}`);
  const medium = join(directory, "medium");
  if (secureBoot) await makeBootMedium(medium, { ...ramdisk, cmdline: CMDLINE });
  const machine = await Machine.create({
    ...{ name: "agent", directory, firmware: options.firmware, secureBoot, cpus: 2 },
    memoryMiB: options.memoryMiB ?? 2048,
    disks: [
      ...options.disks,
      ...(secureBoot
        ? [{ bus: "virtio" as const, serial: RAMDISK_MEDIUM, file: medium, readOnly: true }]
        : []),
    ],
    nics: [],
    qemuArguments: [
      ...["-netdev", `user,id=api,restrict=on,${forwards.join(",")}`],
      ...["-device", "virtio-net-pci,netdev=api,mac=52:54:00:00:00:01,romfile="],
      ...(options.qemuArguments ?? []),
    ],
  });
  const portOf = (port: number) => {
    const outside = ports.get(port);
    if (outside === undefined) throw new Error(`port ${port} of the machine is not forwarded`);
    return outside;
  };
  const url = `http://127.0.0.1:${portOf(API_PORT)}/v1`;
  const boot = async () => {
    await machine.start(secureBoot ? { disk: RAMDISK_MEDIUM } : { ...ramdisk, cmdline: CMDLINE });
    await machine.waitForConsole(/Serving the API at/, { timeout: 5 * MINUTE });
  };
  const answers = () =>
    fetch(`${url}/status`, { signal: AbortSignal.timeout(2000) }).then(
      ({ ok }) => ok,
      () => false, // refused, reset, or nobody there
    );
  const post = (name: string, params: JsonObject = {}) => request(`${url}/commands/`, { name, params });
  await boot();
  return {
    machine,
    portOf,
    boot,
    answers,
    post,
    commands: async () => (await request(`${url}/commands/`)).commands as readonly JsonObject[],
    async command(name, params) {
      const { id } = await post(name, params);
      for (;;) {
        const now = await request(`${url}/commands/${id}`);
        if (now.command_status !== "RUNNING") return now;
        await Bun.sleep(200);
      }
    },
    step: (name, stepOptions = {}) => runStep(url, name, stepOptions),
    shell: (command) => machine.shell(command, 2 * MINUTE),
    async restart() {
      const process = await machine.shell("pidof ironic-python-agent", MINUTE);
      await machine.shell(`kill -TERM ${process}; while [ -e /proc/${process} ]; do sleep 0.2; done`, MINUTE);
      while (!(await answers())) await Bun.sleep(500);
    },
    async [Symbol.asyncDispose]() {
      await machine.powerOff();
      await rm(directory, { recursive: true });
    },
  };
}

export const RAMDISK_MEDIUM = "RAMDISK";
/** An emulated processor that gets no time for a while would take its timer for broken, and panic. */
const CMDLINE = "console=ttyS0 quiet no_timer_check net.ifnames=0 rig.shell=1 rig.restart_delay=2";

/** Where the machine reaches `hostPort`; everything else outside is out of its reach. */
export const HOST_URL = "http://10.0.2.100";

/** Once for all machines of a run. */
let agentUnderTest: Promise<string> | undefined;

function builtAgent(): Promise<string> {
  const copy = join(WORK, "agent");
  agentUnderTest ??= buildAgent(copy, WORK, AbortSignal.timeout(3 * MINUTE)).then(() => copy);
  return agentUnderTest;
}

const CONFIGURATION = `[DEFAULT]
standalone = true
enable_auto_tls = false
listen_host = 0.0.0.0
debug = true
disk_wait_attempts = 1
`;

async function runStep(url: string, name: string, options: StepOptions): Promise<StepEnd> {
  const kind = options.kind ?? "clean";
  const step = { step: name, interface: options.interface ?? "deploy", args: options.args ?? {} };
  const params = { step, node: { uuid: "11111111-2222-3333-4444-555555555555", ...options.node }, ports: [] };
  const accepted = await request(`${url}/commands/`, {
    name: `${kind}.execute_${kind}_step`,
    params: { ...params, [`${kind}_version`]: null },
  });
  const progress: JsonObject[] = [];
  for (;;) {
    const now = await request(`${url}/commands/${accepted.id}`);
    const seen = now.command_progress as JsonObject | undefined;
    if (seen !== undefined && JSON.stringify(seen) !== JSON.stringify(progress.at(-1))) {
      progress.push(seen);
      options.onProgress?.(seen);
    }
    if (now.command_status !== "RUNNING")
      return {
        status: now.command_status as string,
        result: (now.command_result as JsonObject | null)?.[`${kind}_result`],
        error: now.command_error as StepEnd["error"],
        progress,
      };
    await Bun.sleep(200);
  }
}

async function request(url: string, body?: unknown): Promise<JsonObject> {
  const response = await fetch(url, body === undefined ? {} : { method: "POST", body: JSON.stringify(body) });
  const answer = (await response.json()) as JsonObject;
  if (!response.ok) throw new Error(`${url}: HTTP ${response.status}: ${JSON.stringify(answer)}`);
  return answer;
}
