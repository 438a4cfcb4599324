// The root file system of a deployed image, mounted so that its own programs can run in it. They are a tenant's code with
// root's user id; what they get is in `run`. Source: deploy specification 5.5, 5.9.

import { InvalidImage } from "../errors.ts";
import type { ProgramResult } from "../system/programs.ts";
import type { System } from "../system/system.ts";
import { kernelName } from "./block-tree.ts";
import { mountConfinedDev } from "./confined-dev.ts";
import { probeFileSystem } from "./file-system.ts";
import { resolveInside } from "./inside.ts";
import { bindReadOnly, type Mounted, mountOn, mountTemporarily } from "./mounts.ts";

/** Building an initramfs or probing many disks takes minutes on slow ones. */
const PROGRAM_TIMEOUT = 1800;
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * All that root may do inside: have any file, be any user. Missing, above all: mounting and unmounting, device nodes, raw memory and
 * ports, kernel modules, tracing, kexec and reboot, networks, the clock, file handles.
 */
const CAPABILITIES = [
  ...["chown", "dac_override", "fowner", "fsetid", "setfcap", "kill", "setgid", "setuid", "sys_chroot"],
];
/**
 * GRUB asks device mapper what a logical volume stands on, and btrfs for its subvolumes: both tell this capability only. What else it
 * would permit is filtered out (restrained-exec.ts).
 */
const TELLING_CAPABILITY = "sys_admin";

/**
 * Makes the image the root of its namespace. Not by pivot_root, which the kernel refuses while the root is the initial ram file
 * system: the mount is moved on top of it, as switch_root does. Up from there leads nowhere else, and without the right to unmount
 * nothing brings the ramdisk to light again. $1 the image, $2 its /proc, $3 the capabilities; then what enters it.
 */
const ENTER = [
  ...["root=$1 proc=$2 capabilities=$3", "shift 3"],
  // Read-only, or root of a new process namespace could still set core_pattern and the like for the whole machine.
  'mount -t proc -o ro,nosuid,nodev,noexec proc "$proc"',
  'cd "$root"',
  "mount --move . /",
  'exec setpriv --bounding-set "$capabilities" --inh-caps=-all --no-new-privs -- "$@"',
].join("\n");

export class ImageRoot implements AsyncDisposable {
  readonly #system: System;
  readonly #signal: AbortSignal;
  readonly #mounts: AsyncDisposableStack;
  /** Of the partition or volume. */
  readonly #device: string;
  /** Where it is mounted. */
  readonly path: string;

  private constructor(
    system: System,
    mounted: { readonly device: string; readonly path: string; readonly mounts: AsyncDisposableStack },
    signal: AbortSignal,
  ) {
    this.#system = system;
    this.path = mounted.path;
    this.#device = mounted.device;
    this.#mounts = mounted.mounts;
    this.#signal = signal;
  }

  /** @param device the partition or volume with the root file system. @throws ProgramFailedError */
  static async mount(system: System, device: string, signal: AbortSignal): Promise<ImageRoot> {
    await using mounts = new AsyncDisposableStack();
    const options = { type: null, readOnly: false, executable: true, signal };
    const { path } = mounts.use(await mountTemporarily(system, device, options));
    return new ImageRoot(system, { device, path, mounts: mounts.move() }, signal);
  }

  /** A path of the image in the ramdisk's terms, links of the image followed inside it. */
  resolve(path: string): Promise<string> {
    return resolveInside(this.#system, this.path, path);
  }

  /** True if the image has a regular file there. */
  async hasFile(path: string): Promise<boolean> {
    return (await this.#system.files.kind(await this.resolve(path))) === "file";
  }

  async hasDirectory(path: string): Promise<boolean> {
    return (await this.#system.files.kind(await this.resolve(path))) === "directory";
  }

  /** Mounts a FAT file system at `path` of the image, which is made if it is missing. */
  async mountFat(device: string, path: string): Promise<Mounted> {
    const at = await this.#directory(path);
    return mountOn(this.#system, device, at, { type: "vfat", readOnly: false, signal: this.#signal });
  }

  /**
   * Makes what programs need to see visible inside: the devices given with their relatives, /sys, and what udev knows.
   * @param devices paths: the disks to install on
   */
  async prepareToRun(devices: readonly string[]): Promise<void> {
    const { files } = this.#system;
    const dev = await this.#directory("/dev");
    this.#mounts.use(await mountConfinedDev(this.#system, dev, [this.#device, ...devices], this.#signal));
    // Of /run/udev the data alone: beside it is the socket by which udev takes orders.
    for (const path of ["/sys", "/run/udev/data"]) {
      if ((await files.targetKind(path)) !== "directory") continue;
      const at = await this.#directory(path);
      this.#mounts.use(await bindReadOnly(this.#system, path, at, this.#signal));
    }
  }

  /**
   * Runs a program of the image, confined; prepareToRun comes first. It has namespaces of its own, with no network, and the image for
   * its root; it sees its own processes, the devices it is for, and no file of the ramdisk. The outer process namespace is what
   * ends it and all it started: unlike the inner one its first process is ours, and does what it is told to.
   * @throws ProgramFailedError
   */
  async run(
    argv: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): Promise<ProgramResult> {
    const dying = ["--pid", "--fork", "--kill-child=SIGKILL"];
    const apart = ["--mount", "--propagation", "private", "--net", "--ipc", "--uts"];
    const proc = await this.#directory("/proc");
    const telling = await this.#needsTelling();
    const rights = telling ? [...CAPABILITIES, TELLING_CAPABILITY] : CAPABILITIES;
    const entering = ["chroot", ".", ...argv];
    const confined = [
      ...["unshare", ...dying, "--", "unshare", ...dying, ...apart, "--"],
      ...[
        "sh",
        "-e",
        "-c",
        ENTER,
        "sh",
        this.path,
        proc,
        ["-all", ...rights.map((name) => `+${name}`)].join(","),
      ],
      ...(telling ? this.#system.restrained(entering) : entering),
    ];
    return await this.#system.run(confined, {
      environment: { PATH, ...environment },
      timeout: PROGRAM_TIMEOUT,
      signal: this.#signal,
      shownAs: argv,
    });
  }

  async #needsTelling(): Promise<boolean> {
    if ((await kernelName(this.#system, this.#device))?.startsWith("dm-") === true) return true;
    const { type } = await probeFileSystem(this.#system, this.#device, this.#signal);
    return type === "btrfs";
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#mounts.disposeAsync();
  }

  async #directory(path: string): Promise<string> {
    const at = await this.resolve(path);
    const kind = await this.#system.files.kind(at);
    if (kind === null) await this.#system.files.makeDirectory(at);
    else if (kind !== "directory") throw new InvalidImage(`${path} of the image is no directory`);
    return at;
  }
}
