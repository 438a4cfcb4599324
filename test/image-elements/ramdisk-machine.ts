// A machine that runs a finished ramdisk, and a conductor that only listens: it answers the look-up and takes heartbeats, as with a
// node in maintenance, so that the test has the ramdisk for itself. Commands are run over SSH, as an operator does.

import { join } from "node:path";
import { check } from "../ironic/check.ts";
import { EmbeddedConductor } from "../kit/conductor.ts";
import type { Node } from "../kit/node.ts";
import type { PowerControl } from "../kit/power.ts";
import { type BootSource, type Firmware, Machine } from "../rig/machine.ts";
import type { Network } from "../rig/network.ts";
import { run } from "../rig/programs.ts";

export const API_PORT = 6385;
/** Of its cards; Ironic knows the first, which it is booted from. */
export const MACS = ["52:54:00:de:30:01", "52:54:00:de:30:02"] as const;
const MEMORY_MIB = 2048;
const SSH_TIMEOUT_MS = 120_000;

/** The test switches the machine itself. */
const NOBODY: PowerControl = {
  on: () => Promise.reject(new Error("the test switches the machine on by itself")),
  off: () => Promise.resolve(),
  state: () => Promise.resolve("power on"),
};

export interface Heartbeat {
  /** Seconds since power-on. */
  seconds: number;
  callbackUrl: string;
  agentVerifyCa: string | null;
}

export class RamdiskMachine implements AsyncDisposable {
  readonly machine: Machine;
  readonly node: Node;
  readonly conductor: EmbeddedConductor;
  readonly #heartbeats: Heartbeat[] = [];
  readonly #startedAt: number;

  private constructor(machine: Machine, conductor: EmbeddedConductor, node: Node) {
    this.machine = machine;
    this.conductor = conductor;
    this.node = node;
    this.#startedAt = performance.now();
    conductor.observe((event) => {
      if (event.type !== "heartbeat") return;
      const { callbackUrl, agentVerifyCa } = event;
      this.#heartbeats.push({ seconds: this.#seconds(), callbackUrl, agentVerifyCa });
    });
  }

  /** Powers it on; from BIOS or UEFI, from a kernel or, with `disk`, from what QEMU's arguments plug in. */
  static async start(options: {
    name: string;
    directory: string;
    network: Network;
    firmware: Firmware;
    boot: BootSource;
    qemuArguments?: readonly string[];
  }): Promise<RamdiskMachine> {
    const conductor = EmbeddedConductor.start({ hostname: options.network.address, port: API_PORT });
    const node = conductor.enrol({ uuid: crypto.randomUUID(), name: options.name, macs: [MACS[0]] }, NOBODY);
    node.provisionState = "wait call-back";
    const machine = await Machine.create({
      name: options.name,
      directory: join(options.directory, options.name),
      firmware: options.firmware,
      memoryMiB: MEMORY_MIB,
      cpus: 2,
      disks: [{ bus: "virtio", serial: "IMAGE0001", sizeBytes: 5 * 1024 ** 3 }],
      nics: await Promise.all(MACS.map(async (mac) => ({ mac, tap: await options.network.addTap() }))),
      qemuArguments: options.qemuArguments ?? [],
    });
    const started = new RamdiskMachine(machine, conductor, node);
    await machine.start(options.boot);
    return started;
  }

  /** The first heartbeat after the ones that were waited for already. */
  async heartbeat(timeoutMs: number): Promise<Heartbeat> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const heartbeat = this.#heartbeats.shift();
      if (heartbeat !== undefined) return heartbeat;
      if (performance.now() > deadline || !this.machine.running)
        throw new Error(
          `no heartbeat within ${timeoutMs / 1000} s; the end of the console (${this.machine.consoleLog}):\n${this.machine.consoleTail(25)}`,
        );
      await Bun.sleep(200);
    }
  }

  /** What comes from now on is waited for. */
  forgetHeartbeats(): void {
    this.#heartbeats.length = 0;
  }

  /** Ends a rescue as Ironic does. The answer comes before the user does. */
  async finalizeRescue(callbackUrl: string, password: string): Promise<void> {
    const answer = await fetch(`${callbackUrl}/v1/commands/?wait=true&agent_token=${this.node.token}`, {
      method: "POST",
      body: JSON.stringify({
        name: "rescue.finalize_rescue",
        params: { rescue_password: password, hashed: false },
      }),
      tls: { rejectUnauthorized: false },
    });
    const text = await answer.text();
    check(answer.ok && text.includes("SUCCEEDED"), "the rescue is finalized", text);
  }

  /**
   * Output of a command over SSH, with a terminal if wanted. Tries until the server is up, which makes its keys at the first
   * start. Without a key the password is that of SSH_ASKPASS in `env`.
   */
  async ssh(
    user: string,
    keyFile: string | null,
    address: string,
    command: string,
    { terminal = false, env = {} }: { terminal?: boolean; env?: Record<string, string> } = {},
  ): Promise<string> {
    const options = [
      "StrictHostKeyChecking=no",
      "UserKnownHostsFile=/dev/null",
      "LogLevel=ERROR",
      ...(keyFile === null ? ["PreferredAuthentications=password"] : ["BatchMode=yes"]),
    ];
    const argv = [
      "ssh",
      ...(keyFile === null ? [] : ["-i", keyFile]),
      ...options.flatMap((option) => ["-o", option]),
      ...(terminal ? ["-tt"] : []),
      `${user}@${address}`,
      command,
    ];
    const deadline = performance.now() + SSH_TIMEOUT_MS;
    for (;;) {
      try {
        return (await run(argv, { env, timeoutMs: SSH_TIMEOUT_MS })).stdout.trim();
      } catch (error) {
        // 255 is ssh's own: nobody listens yet. Everything else is the command's.
        const refused = error instanceof Error && error.message.includes("exit code 255");
        if (!refused || performance.now() > deadline) throw error;
        await Bun.sleep(2000);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine.powerOff();
    await this.conductor[Symbol.asyncDispose]();
  }

  #seconds(): number {
    return (performance.now() - this.#startedAt) / 1000;
  }
}

/**
 * What Ironic passes to a ramdisk that is booted from the network. Without no_timer_check the kernel panics when a loaded machine
 * lets the emulated timer wait.
 */
export function networkBootParameters(address: string): string {
  return `console=ttyS0 no_timer_check ipa-api-url=http://${address}:${API_PORT} BOOTIF=01-${MACS[0].replaceAll(":", "-")} ipa-debug=1`;
}
