// Media that a BMC shows to the machine as if they were plugged in: a small disk with the agent's parameters, and the boot
// ISO with configuration files. An instance's own config drive carries the same label as the ISO, so a medium is only believed
// to be one when it is a CD drive or a small USB disk, never a partition and never a disk of 4 GiB or more.
// Source: control-plane specification 2.8, conductor contract 7.3.

import type { BootMedia } from "../config/boot-media.ts";
import { errorText } from "../errors.ts";
import type { System } from "../system/system.ts";
import { devicePath, kernelName } from "./block-tree.ts";
import { describeMedium, listLabels } from "./lsblk-media.ts";
import { readMounts } from "./mount-table.ts";
import { mountTemporarily } from "./mounts.ts";

const PARAMETERS_LABEL = "ir-vfd-dev";
const PARAMETERS_FILE = "parameters.txt";
const MODEL = "virtual media";

const CONFIGURATION_LABELS = ["config-2", "vmedia_boot_iso"];
/** Below the root of the ISO and of this machine. */
const CONFIGURATION_DIRECTORIES = ["etc/ironic-python-agent", "etc/ironic-python-agent.d"];

/** Where the ramdisk's own scripts mount a config drive to set up the network. */
const CONFIG_DRIVE_MOUNT = "/mnt/config";

/** Bytes of a disk that is too large to be a medium. */
const REAL_DISK = 4 * 1024 ** 3;
/** Bytes of one file of configuration: bundles of certificates are the largest. */
const LARGEST_FILE = 16 * 1024 * 1024;

export class VirtualMedia implements BootMedia {
  readonly #system: System;
  readonly #note: (text: string) => void;

  /** `note` is told what is done, in one line each. */
  constructor(system: System, note: (text: string) => void) {
    this.#system = system;
    this.#note = note;
  }

  async copyConfiguration(): Promise<void> {
    const device = await this.#findByLabel(CONFIGURATION_LABELS);
    if (device === null) {
      this.#note("no virtual media with configuration files is plugged in");
      return;
    }
    const mountPoint = await this.#mountPoint(device);
    if (mountPoint !== null) await this.#copyFrom(mountPoint, device);
    else await this.#mounted(device, (path) => this.#copyFrom(path, device));
  }

  async readParameters(): Promise<{ text: string; device: string } | null> {
    const device = (await this.#findByLabel([PARAMETERS_LABEL])) ?? (await this.#findByModel());
    if (device === null) {
      this.#note("no virtual media with parameters is plugged in");
      return null;
    }
    const { files } = this.#system;
    const text = await this.#mounted(device, async (path) => {
      const file = `${path}/${PARAMETERS_FILE}`;
      return (await files.targetKind(file)) === null ? null : files.readText(file);
    });
    if (text === null) this.#note(`the virtual media ${device} holds no ${PARAMETERS_FILE}`);
    return text === null ? null : { text, device };
  }

  /** The first device with one of these labels, in any case of letters, that is a medium. */
  async #findByLabel(labels: readonly string[]): Promise<string | null> {
    for (const { device, label } of await listLabels(this.#system))
      if (labels.includes(label.toLowerCase()) && (await this.#isMedium(device))) return device;
    return null;
  }

  async #findByModel(): Promise<string | null> {
    const { files } = this.#system;
    for (const name of await files.list("/sys/class/block")) {
      const model = (await files.readAttribute(`/sys/class/block/${name}/device/model`)) ?? "";
      if (model.toLowerCase().includes(MODEL) && (await this.#isMedium(devicePath(name))))
        return devicePath(name);
    }
    return null;
  }

  async #isMedium(device: string): Promise<boolean> {
    const medium = await describeMedium(this.#system, device);
    const fits =
      medium?.type === "rom" ||
      (medium?.type === "disk" && medium.transport === "usb" && medium.size < REAL_DISK);
    if (!fits)
      this.#note(
        `${device} is not taken for virtual media: it is ${medium === null ? "gone" : `a ${medium.type}`}`,
      );
    return fits;
  }

  async #mountPoint(device: string): Promise<string | null> {
    const wanted = await kernelName(this.#system, device);
    for (const { source, mountPoint } of await readMounts(this.#system, "self"))
      if (source.startsWith("/dev/") && (await kernelName(this.#system, source)) === wanted)
        return mountPoint;
    return null;
  }

  /** A medium that cannot be unmounted again does no harm. */
  async #mounted<T>(device: string, work: (path: string) => Promise<T>): Promise<T> {
    const { signal } = new AbortController();
    const mounted = await mountTemporarily(this.#system, device, { type: null, readOnly: true, signal });
    try {
      return await work(mounted.path);
    } finally {
      try {
        await mounted[Symbol.asyncDispose]();
      } catch (error) {
        this.#note(errorText(error));
      }
    }
  }

  /** Plain files, one level deep, to the same place on this machine. */
  async #copyFrom(root: string, device: string): Promise<void> {
    const { files } = this.#system;
    for (const directory of CONFIGURATION_DIRECTORIES) {
      for (const name of await files.list(`${root}/${directory}`)) {
        const source = `${root}/${directory}/${name}`;
        if ((await files.kind(source)) !== "file") continue;
        await files.makeDirectory(`/${directory}`);
        await files.write(`/${directory}/${name}`, await files.readBytes(source, LARGEST_FILE), 0o600);
        this.#note(`copied /${directory}/${name} from the virtual media ${device}`);
      }
    }
  }
}

/**
 * Unmounts what the ramdisk's network scripts leave mounted at /mnt/config, as often as it is mounted: it may be the config
 * drive of the instance that was here before, and its disk must be free to be cleaned.
 */
export async function unmountConfigDrive(system: System): Promise<void> {
  const mounts = await readMounts(system, "self");
  for (const { source } of mounts.filter(({ mountPoint }) => mountPoint === CONFIG_DRIVE_MOUNT)) {
    try {
      await system.run(["umount", CONFIG_DRIVE_MOUNT], { attempts: 3 });
      system.log.info(`Unmounted the config drive ${source} from ${CONFIG_DRIVE_MOUNT}`);
    } catch (error) {
      system.log.warning(`${CONFIG_DRIVE_MOUNT} stays mounted, so its disk cannot be cleaned`, error);
      return;
    }
  }
}
