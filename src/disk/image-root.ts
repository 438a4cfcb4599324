// The root file system of a deployed image, mounted so that its own programs can run in it. They are a tenant's code with
// root's rights: they get namespaces of their own (no network, no other processes, nothing that outlives them), the
// ramdisk's /dev and /sys read-only, and no file of the ramdisk besides. Source: deploy specification 5.5, 5.9.

import { InvalidImage } from "../errors.ts";
import type { ProgramResult } from "../system/programs.ts";
import type { System } from "../system/system.ts";
import { resolveInside } from "./inside.ts";
import { bindReadOnly, type Mounted, mountOn, mountTemporarily } from "./mounts.ts";

/** Building an initramfs or probing many disks takes minutes on slow ones. */
const PROGRAM_TIMEOUT = 1800;
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export class ImageRoot implements AsyncDisposable {
  readonly #system: System;
  readonly #signal: AbortSignal;
  readonly #mounts: AsyncDisposableStack;
  /** Where it is mounted. */
  readonly path: string;

  private constructor(system: System, path: string, mounts: AsyncDisposableStack, signal: AbortSignal) {
    this.#system = system;
    this.path = path;
    this.#mounts = mounts;
    this.#signal = signal;
  }

  /** @param device the partition or volume with the root file system. @throws ProgramFailedError */
  static async mount(system: System, device: string, signal: AbortSignal): Promise<ImageRoot> {
    await using mounts = new AsyncDisposableStack();
    const options = { type: null, readOnly: false, executable: true, signal };
    const { path } = mounts.use(await mountTemporarily(system, device, options));
    return new ImageRoot(system, path, mounts.move(), signal);
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

  /** Makes /dev, /sys and udev's database visible inside, for programs that will run. */
  async prepareToRun(): Promise<void> {
    const { files } = this.#system;
    for (const path of ["/dev", "/sys", "/run/udev"]) {
      if ((await files.targetKind(path)) !== "directory") continue;
      const at = await this.#directory(path);
      this.#mounts.use(await bindReadOnly(this.#system, path, at, this.#signal));
    }
    await this.#directory("/proc");
  }

  /** Runs a program of the image, confined; prepareToRun comes first. @throws ProgramFailedError */
  run(argv: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<ProgramResult> {
    const confined = [
      ...["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=SIGKILL"],
      ...["--net", "--ipc", "--uts", `--root=${this.path}`, "--wd=/", "--mount-proc=/proc", "--", ...argv],
    ];
    return this.#system.run(confined, {
      environment: { PATH, ...environment },
      timeout: PROGRAM_TIMEOUT,
      signal: this.#signal,
    });
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
