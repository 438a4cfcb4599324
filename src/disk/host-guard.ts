// Keeps the agent from destroying the machine it was started on by mistake. Two rules, each enough by itself:
//   1. outside a ramdisk nothing destructive is done at all, unless --allow-host-disks says that this is a test machine;
//   2. never, override or not, a disk under a mounted file system, swap space or the running root.
// The kernel's exclusive open (block-device.ts) is the net below for what cannot be seen here: other mount namespaces,
// ZFS pools, devices somebody opened a moment ago.

import { DeviceNotFound, HostDiskError } from "../errors.ts";
import { FileError } from "../system/files.ts";
import type { System } from "../system/system.ts";
import { devicePath, diskOfPartition, kernelName, loopBackingFile, slavesOf } from "./block-tree.ts";
import { type Mount, mountOf, parseSwaps, readMounts, unescapeOctal } from "./mount-table.ts";

/** File systems whose content is in memory and nowhere else. */
const MEMORY_FILE_SYSTEMS = new Set(["rootfs", "tmpfs", "ramfs"]);
/** Block devices that are memory (ram0, zram0), or media that no deploy writes to (sr0: virtual media boots from it). */
const NO_DISK = /^(?:z?ram|sr)\d+$/;

/** What Ironic, or an operator, puts on the kernel command line of a machine that is to run the agent. */
const AGENT_PARAMETER = /(?:^|\s)ipa-[a-z-]+=/;

/** Where the root file system's bytes are; "untold" when the kernel's names lead out of what this process can see. */
type Home = { readonly kind: "memory" | "disk" | "untold"; readonly text: string };

export class HostGuard {
  readonly #system: System;
  readonly #allowHostDisks: boolean;

  constructor(system: System, options: { readonly allowHostDisks: boolean }) {
    this.#system = system;
    this.#allowHostDisks = options.allowHostDisks;
  }

  /** True when no part of the running root file system is on a disk. */
  async inRamdisk(): Promise<boolean> {
    return (await this.#rootHome()).kind === "memory";
  }

  /**
   * Block devices that must never be offered as a target or written to: every disk, partition, array and map below a
   * mounted file system or swap space, as device path → reason. The same with and without the override.
   */
  async protectedDisks(): Promise<Map<string, string>> {
    const protectedNames = new Map<string, string>();
    const mounts = await this.#allMounts();
    for (const mount of mounts) {
      const reason = `${mount.source} is mounted on ${mount.mountPoint}`;
      for (const name of await this.#devicesOf(mount))
        await this.#protect(name, reason, mounts, protectedNames);
    }
    for (const path of parseSwaps(await this.#system.files.readText("/proc/swaps").catch(missingIsEmpty))) {
      const name = await kernelName(this.#system, path);
      // A swap file needs no line of its own: the file system it is in is mounted.
      if (name !== null) await this.#protect(name, `${path} is swap space in use`, mounts, protectedNames);
    }
    return new Map([...protectedNames].map(([name, reason]) => [devicePath(name), reason]));
  }

  /**
   * Returns if `device` may be overwritten. `action` completes the sentence "Refused to …".
   * @throws HostDiskError if it may not; DeviceNotFound if it is no block device.
   */
  async assertMayDestroy(device: string, action = "overwrite"): Promise<void> {
    const name = await kernelName(this.#system, device);
    if (name === null) throw new DeviceNotFound(`Refused to ${action} ${device}: it is not a block device`);
    if (!this.#allowHostDisks) {
      const home = await this.#rootHome();
      if (home.kind !== "memory")
        throw new HostDiskError(
          `Refused to ${action} ${device}: the agent does not run from a ramdisk (its root file system is ` +
            `${home.text}), so this looks like a machine in use. Boot the agent's ramdisk on the machine to be ` +
            "deployed; on a test machine whose disks may be destroyed, start the agent with --allow-host-disks.",
        );
    }
    const protectedDisks = await this.protectedDisks();
    // Not through loop devices: writing to one changes a file, and does not destroy the disk the file is on.
    for (const below of await this.#foundation(name, null)) {
      const reason = protectedDisks.get(devicePath(below));
      if (reason !== undefined)
        throw new HostDiskError(
          `Refused to ${action} ${device}: ${below === name ? "it" : devicePath(below)} is in use by the running ` +
            `system (${reason}). --allow-host-disks does not change this; unmount it (or swapoff) if it is ` +
            "really meant to be overwritten.",
        );
    }
  }

  async #rootHome(): Promise<Home> {
    const mounts = await readMounts(this.#system, "self");
    const root = mountOf(mounts, "/");
    if (root === null) return { kind: "untold", text: "unknown: no mount of / in /proc/self/mountinfo" };
    const home = await this.#homeOf(root, mounts, new Set());
    // A root whose parts lie where this process cannot see is that of a container, or of a live image that switched its root. Only a
    // kernel that was booted to run the agent makes it a ramdisk; everything else is taken for a machine in use.
    const bootedForAgent = AGENT_PARAMETER.test(
      await this.#system.files.readText("/proc/cmdline").catch(missingIsEmpty),
    );
    return home.kind === "untold" && bootedForAgent ? { kind: "memory", text: home.text } : home;
  }

  async #homeOf(mount: Mount, mounts: readonly Mount[], seen: Set<Mount>): Promise<Home> {
    const text = `${mount.fileSystem} on ${mount.source}`;
    if (MEMORY_FILE_SYSTEMS.has(mount.fileSystem)) return { kind: "memory", text };
    if (seen.has(mount)) return { kind: "untold", text };
    seen.add(mount);
    const parts: Home[] = [];
    if (mount.fileSystem === "overlay") {
      for (const directory of overlayDirectories(mount.superOptions))
        parts.push(await this.#homeOfPath(directory, mounts, seen));
    } else {
      for (const name of await this.#devicesOf(mount))
        parts.push(await this.#homeOfDevice(name, mounts, seen));
      // Network and other file systems without a device: not memory, so not a ramdisk.
      if (parts.length === 0) return { kind: "disk", text };
    }
    return worst(parts, text);
  }

  async #homeOfPath(path: string, mounts: readonly Mount[], seen: Set<Mount>): Promise<Home> {
    const mount = mountOf(mounts, path);
    // A path below the very root that is asked about is a name from another mount namespace.
    const visible =
      mount !== null && !seen.has(mount) && (await this.#system.files.targetKind(path)) !== null;
    return visible ? this.#homeOf(mount, mounts, seen) : { kind: "untold", text: `backed by ${path}` };
  }

  async #homeOfDevice(name: string, mounts: readonly Mount[], seen: Set<Mount>): Promise<Home> {
    const text = `on ${devicePath(name)}`;
    if (NO_DISK.test(name)) return { kind: "memory", text };
    const backingFile = await loopBackingFile(this.#system, name);
    if (backingFile !== null) return this.#homeOfPath(backingFile, mounts, seen);
    const slaves = await slavesOf(this.#system, name);
    if (slaves.length === 0) return { kind: "disk", text };
    return worst(
      await Promise.all(slaves.map((slave) => this.#homeOfDevice(slave, mounts, new Set(seen)))),
      text,
    );
  }

  async #protect(
    name: string,
    reason: string,
    mounts: readonly Mount[],
    protectedNames: Map<string, string>,
  ): Promise<void> {
    for (const below of await this.#foundation(name, mounts))
      if (!protectedNames.has(below)) protectedNames.set(below, reason);
  }

  /** The device itself and everything it stands on; with `mounts` also the devices that hold a loop device's file. */
  async #foundation(name: string, mounts: readonly Mount[] | null): Promise<Set<string>> {
    const found = new Set<string>();
    const waiting = [name];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (found.has(next)) continue;
      found.add(next);
      const disk = await diskOfPartition(this.#system, next);
      if (disk !== null) waiting.push(disk);
      waiting.push(...(await slavesOf(this.#system, next)));
      const file = mounts === null ? null : await loopBackingFile(this.#system, next);
      const mount = file === null || mounts === null ? null : mountOf(mounts, file);
      if (mount !== null) waiting.push(...(await this.#devicesOf(mount)));
    }
    return found;
  }

  /** Kernel names of the block devices a mount is on: by number, by source, and for btrfs by its list of members. */
  async #devicesOf(mount: Mount): Promise<string[]> {
    const { files } = this.#system;
    const names = new Set<string>();
    const { major, minor } = mount.device;
    const direct = await files.realPath(`/sys/dev/block/${major}:${minor}`).catch(missingIsEmpty);
    if (direct !== "") names.add(direct.slice(direct.lastIndexOf("/") + 1));
    const bySource = mount.source.startsWith("/") ? await kernelName(this.#system, mount.source) : null;
    if (bySource !== null) names.add(bySource);
    if (mount.fileSystem === "btrfs" && bySource !== null) {
      for (const uuid of await files.list("/sys/fs/btrfs")) {
        const members = await files.list(`/sys/fs/btrfs/${uuid}/devices`);
        if (members.includes(bySource)) for (const member of members) names.add(member);
      }
    }
    return [...names];
  }

  /** Mounts this process sees and, where it differs (containers), those of the machine's first process. */
  async #allMounts(): Promise<Mount[]> {
    const own = await readMounts(this.#system, "self");
    const first = await readMounts(this.#system, "1").catch((error: unknown) => {
      if (error instanceof FileError) return []; // hidden by the container's /proc
      throw error;
    });
    return [...own, ...first];
  }
}

/** A disk anywhere makes it a disk; then what cannot be told; memory only if all of it is. */
function worst(parts: readonly Home[], text: string): Home {
  const found = parts.find(({ kind }) => kind === "disk") ?? parts.find(({ kind }) => kind === "untold");
  if (found !== undefined)
    return { kind: found.kind, text: text.endsWith(found.text) ? text : `${text}, ${found.text}` };
  return { kind: parts.length === 0 ? "untold" : "memory", text };
}

/** Lower and upper directories of an overlay; colons inside names are escaped by a backslash. */
function overlayDirectories(options: string): string[] {
  const directories: string[] = [];
  for (const option of options.split(/(?<!\\),/)) {
    const match = /^(?:lowerdir\+?|datadir\+|upperdir)=(.*)$/.exec(option);
    if (match === null) continue;
    for (const part of (match[1] ?? "").split(/(?<!\\):+/))
      if (part !== "") directories.push(unescapeOctal(part).replace(/\\(.)/g, "$1"));
  }
  return directories;
}

function missingIsEmpty(error: unknown): string {
  if (error instanceof FileError) return "";
  throw error;
}
