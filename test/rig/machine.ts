// A bare metal machine, emulated: QEMU with the firmware, disks and network cards that were asked for. It is created
// once and started as often as wanted (the ramdisk first, its disk afterwards); what is on its disks and in its UEFI
// variables stays in between. Each start is a process of its own, which dies with ours.

import { readFileSync } from "node:fs";
import { copyFile, mkdir, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ConsoleReader, consoleTail, plainText } from "./console.ts";
import { logIn } from "./login.ts";
import { lastLines, processStatus, type RunningProgram, start } from "./programs.ts";
import {
  type BootSource,
  CONSOLE_SOCKET,
  factoryVariables,
  type MachineOptions,
  qemuArguments,
  VARIABLES_FILE,
} from "./qemu.ts";
import { QmpConnection } from "./qmp.ts";
import { runInShell } from "./shell.ts";

export type { BootSource, DiskBus, DiskOptions, Firmware, MachineOptions, NicOptions } from "./qemu.ts";

const POLL_MS = 100;
const QMP_TIMEOUT_MS = 20_000;

/** Something the machine did not do, with the last lines of its console and where the whole of it is. */
export class MachineError extends Error {
  override readonly name = "MachineError";
}

export interface ConsoleWait {
  /** Milliseconds. */
  timeout: number;
  signal?: AbortSignal;
}

export class Machine implements AsyncDisposable {
  readonly name: string;
  readonly directory: string;
  /** Host files of the disks, in the order of the options. */
  readonly diskFiles: readonly string[];
  readonly #options: MachineOptions;
  #boots = 0;
  #qemu: RunningProgram | undefined;
  #qmp: QmpConnection | undefined;

  private constructor(options: MachineOptions, diskFiles: readonly string[]) {
    this.name = options.name;
    this.directory = options.directory;
    this.diskFiles = diskFiles;
    this.#options = options;
  }

  /** Makes its disks (sparse files) and its own copy of the UEFI variables. Does not start it. */
  static async create(options: MachineOptions): Promise<Machine> {
    await mkdir(options.directory, { recursive: true });
    const diskFiles: string[] = [];
    for (const [index, disk] of options.disks.entries()) {
      if ((disk.file === undefined) === (disk.sizeBytes === undefined)) {
        throw new MachineError(`disk ${disk.serial} of ${options.name}: give either its size or a file`);
      }
      const file = disk.file ?? join(options.directory, `disk-${index}.raw`);
      if (disk.sizeBytes !== undefined) {
        await writeFile(file, "");
        await truncate(file, disk.sizeBytes);
      }
      diskFiles.push(file);
    }
    const machine = new Machine(options, diskFiles);
    await machine.resetVariables();
    return machine;
  }

  /** As if its battery was taken out: the UEFI variables, and with them all boot entries, are as from the factory. */
  async resetVariables(): Promise<void> {
    const variables = factoryVariables(this.#options);
    if (variables !== null) await copyFile(variables, join(this.directory, VARIABLES_FILE));
  }

  /** How often it was switched on. */
  get boots(): number {
    return this.#boots;
  }

  get running(): boolean {
    return this.#qemu?.running === true;
  }

  /** Seconds of processor time that QEMU has used since it was switched on. */
  get processorTime(): number {
    if (this.#qemu === undefined || !this.running) throw new MachineError(`${this.name} is not running`);
    const fields = processStatus(this.#qemu.pid) ?? [];
    // utime and stime, in hundredths of a second.
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  /** Console log of the current or last boot. */
  get consoleLog(): string {
    return join(this.directory, `console-${this.#boots}.log`);
  }

  /** What QEMU itself said. */
  get qemuLog(): string {
    return join(this.directory, "qemu.log");
  }

  /** Unix socket of the second serial port: a root shell in the ramdisk when its kernel parameters say rig.shell=1. */
  get shellSocket(): string {
    return join(this.directory, "shell.sock");
  }

  /** Powers it on. Returns when QEMU runs; what the guest does is seen on its console. */
  async start(source: BootSource): Promise<void> {
    if (this.running) throw new MachineError(`${this.name} is running already`);
    this.#boots++;
    // A console that QEMU has not opened yet must read as empty, not as the file of some earlier run.
    await writeFile(this.consoleLog, "");
    const argv = qemuArguments(this.#options, this.diskFiles, source, `console-${this.#boots}.log`);
    const qemu = start(argv, { cwd: this.directory, logFile: this.qemuLog });
    this.#qemu = qemu;
    this.#qmp = await this.#connect(qemu);
  }

  /** Waits until the guest has powered off. Throws after `timeout` milliseconds. */
  async waitForExit(timeout: number, signal?: AbortSignal): Promise<void> {
    await this.#poll(timeout, signal, "power off", () => (this.running ? undefined : true));
    this.#disconnect();
  }

  /**
   * The first match in a line of this boot's console, lines already printed included. Throws on time-out, and at once
   * when the machine goes off without having printed it.
   */
  async waitForConsole(pattern: RegExp, wait: ConsoleWait): Promise<RegExpMatchArray> {
    const reader = new ConsoleReader(this.consoleLog);
    return await this.#poll(wait.timeout, wait.signal, `print ${pattern}`, () => {
      const ended = !this.running;
      for (const line of reader.newLines()) {
        const match = line.match(pattern);
        if (match !== null) return match;
      }
      if (ended) throw this.#error(`went off before it did: print ${pattern}`);
      return undefined;
    });
  }

  /** Everything on this boot's console so far. */
  consoleText(): string {
    return plainText(readFileSync(this.consoleLog, "utf8"));
  }

  /** The last lines of this boot's console, control sequences removed. */
  consoleTail(lines: number): string {
    return consoleTail(this.consoleLog, lines);
  }

  /** Pulls the plug. */
  async powerOff(): Promise<void> {
    this.#disconnect();
    // SIGTERM makes QEMU close its files; the guest is not asked.
    await this.#qemu?.stop();
  }

  /** Puts an empty disk of the same size into a machine that is off, in the place of the one with this serial number. */
  async replaceDisk(serial: string): Promise<void> {
    const file = this.diskFiles[this.#options.disks.findIndex((disk) => disk.serial === serial)];
    if (file === undefined) throw new MachineError(`${this.name} has no disk ${serial}`);
    const { size } = await stat(file);
    await truncate(file, 0);
    await truncate(file, size);
  }

  /** Presses the reset button. */
  async reset(): Promise<void> {
    if (this.#qmp === undefined || !this.running) throw new MachineError(`${this.name} is not running`);
    await this.#qmp.execute("system_reset");
  }

  /** Presses the power button: the guest is asked by ACPI, and may do nothing. */
  async pressPowerButton(): Promise<void> {
    if (this.#qmp === undefined || !this.running) throw new MachineError(`${this.name} is not running`);
    await this.#qmp.execute("system_powerdown");
  }

  /** Pulls the cable out of a network card (by its device id), or plugs it in. */
  async setCable(device: string, plugged: boolean): Promise<void> {
    if (this.#qmp === undefined || !this.running) throw new MachineError(`${this.name} is not running`);
    await this.#qmp.execute("set_link", { name: device, up: plugged });
  }

  /** Output of a command in the ramdisk's shell (rig.shell=1). Throws ShellError after `timeoutMs`, or if it fails. */
  async shell(command: string, timeoutMs: number): Promise<string> {
    return await runInShell(this.#socket("shell.sock"), command, timeoutMs);
  }

  /**
   * Logs in on the console and leaves a shell there; what it returns runs a command in it, as shell() does in the
   * other one.
   */
  async logIn(
    credentials: { user: string; password: string },
    timeoutMs: number,
  ): Promise<(command: string) => Promise<string>> {
    const socket = this.#socket(CONSOLE_SOCKET);
    await logIn(socket, credentials, timeoutMs);
    return (command) => runInShell(socket, command, timeoutMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.powerOff();
  }

  /** Through /proc, because a path to a socket may have 107 bytes and a checkout's directory has any length. */
  #socket(name: string): string {
    if (this.#qemu === undefined || !this.running) throw new MachineError(`${this.name} is not running`);
    return `/proc/${this.#qemu.pid}/cwd/${name}`;
  }

  async #connect(qemu: RunningProgram): Promise<QmpConnection> {
    const deadline = Date.now() + QMP_TIMEOUT_MS;
    for (;;) {
      if (!qemu.running) {
        const said = lastLines(await Bun.file(this.qemuLog).text(), 10);
        throw new MachineError(`QEMU for ${this.name} did not start:\n${said}\n  full log: ${this.qemuLog}`);
      }
      try {
        return await QmpConnection.connect(this.#socket("qmp.sock"));
      } catch (error) {
        if (Date.now() > deadline) {
          await qemu.stop();
          throw new MachineError(`QEMU for ${this.name} does not answer: ${(error as Error).message}`);
        }
        await Bun.sleep(POLL_MS / 2);
      }
    }
  }

  #disconnect(): void {
    this.#qmp?.[Symbol.dispose]();
    this.#qmp = undefined;
  }

  async #poll<T>(
    timeout: number,
    signal: AbortSignal | undefined,
    what: string,
    attempt: () => T | undefined,
  ): Promise<T> {
    const deadline = Date.now() + timeout;
    for (;;) {
      signal?.throwIfAborted();
      const result = attempt();
      if (result !== undefined) return result;
      if (Date.now() > deadline)
        throw this.#error(`did not do within ${Math.round(timeout / 1000)} s: ${what}`);
      await Bun.sleep(POLL_MS);
    }
  }

  #error(what: string): MachineError {
    const tail = this.consoleTail(15);
    const quoted = tail === "" ? "  (nothing on its console)" : tail.replace(/^/gm, "  | ");
    return new MachineError(`machine ${this.name} ${what}\n${quoted}\n  full console: ${this.consoleLog}`);
  }
}
