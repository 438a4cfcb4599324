// The chassis of a QEMU machine, as its BMC sees it. With the boot device "pxe" it boots what Ironic's script for its
// network card says, with anything else from its disks.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { BootSource, Machine } from "../rig/machine.ts";
import type { Chassis } from "./bmc.ts";
import { followBootScript } from "./boot-script.ts";

export class MachineChassis implements Chassis {
  bootDevice = "default";
  /** What the machine was last switched on for. */
  lastBoot: "ramdisk" | "disk" | null = null;
  readonly #machine: Machine;
  readonly #httpRoot: string;
  readonly #mac: string;
  #last: Promise<void> = Promise.resolve();
  #failure: unknown = null;

  /** `httpRoot` is where Ironic writes its boot scripts, `mac` the address of the card that boots. */
  constructor(machine: Machine, httpRoot: string, mac: string) {
    this.#machine = machine;
    this.#httpRoot = httpRoot;
    this.#mac = mac;
  }

  powered(): boolean {
    return this.#machine.running;
  }

  powerOn(): void {
    this.#enqueue(() => this.#start());
  }

  powerOff(): void {
    this.#enqueue(() => this.#machine.powerOff());
  }

  /** Off and on, because what is booted afterwards may be something else. */
  reset(): void {
    this.powerOff();
    this.powerOn();
  }

  pressPowerButton(): void {
    this.#enqueue(() => this.#machine.pressPowerButton());
  }

  /** What went wrong when it was last switched; a BMC has nobody to tell. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Settles when everything that was ordered so far is done. */
  get idle(): Promise<void> {
    return this.#last;
  }

  #enqueue(action: () => Promise<void>): void {
    this.#last = this.#last.then(action).catch((error: unknown) => {
      this.#failure = error;
    });
  }

  async #start(): Promise<void> {
    if (this.#machine.running) return;
    const network = this.bootDevice === "pxe";
    const source: BootSource = network ? await this.#networkBoot() : { disk: true };
    this.lastBoot = network ? "ramdisk" : "disk";
    await this.#machine.start(source);
  }

  async #networkBoot(): Promise<BootSource> {
    const file = join(this.#httpRoot, "pxelinux.cfg", this.#mac.replaceAll(":", "-"));
    const { kernel, initrd, cmdline } = followBootScript(await readFile(file, "utf8"), { mac: this.#mac });
    const fileOf = (url: string) => join(this.#httpRoot, new URL(url).pathname);
    return { kernel: fileOf(kernel), initrd: fileOf(initrd), cmdline };
  }
}
