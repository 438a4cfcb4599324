// Debian trees from Debian's packages, by mmdebstrap: unlike debootstrap it takes any number of extra packages in one go
// and leaves out what is not wanted while unpacking, which makes a tree with the kernel in 25 s instead of a minute.
// Everything that mounts runs in mount and process namespaces of its own. What goes wrong or is interrupted there ends
// with all its children and mounts, and a mounted /proc or /sys is never seen by somebody who removes the tree.

import { mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { outsideNamespace } from "./namespace.ts";
import { run } from "./programs.ts";

export const SUITE = "bookworm";

/** What no tree of ours needs: documentation, translations and the drivers of other people's sound cards. */
const EXCLUDED_PATHS = [
  "/usr/share/doc/*",
  "/usr/share/man/*",
  "/usr/share/info/*",
  "/usr/share/locale/*",
  "/usr/share/i18n/*",
  "/usr/share/lintian/*",
  "/usr/share/bash-completion/*",
  ...["sound", "drivers/gpu", "drivers/media", "drivers/infiniband", "drivers/staging", "drivers/iio"].map(
    (directory) => `/lib/modules/*/kernel/${directory}/*`,
  ),
  "/lib/modules/*/kernel/drivers/net/wireless/*",
];

/** Before a command that mounts: what it mounts and starts ends with it, and with us. */
export const CONTAINED = [
  ...["setpriv", "--pdeathsig", "KILL"],
  ...["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"],
];

export interface TreeOptions {
  packages: readonly string[];
  /** Where the tree is made; must be empty or missing. */
  directory: string;
  mirror?: string | undefined;
  logFile: string;
  signal?: AbortSignal | undefined;
}

/** Makes a Debian tree with the packages installed, without recommended packages and without an initramfs. */
export async function debianTree(options: TreeOptions): Promise<void> {
  await mkdir(dirname(options.directory), { recursive: true });
  const mirror = options.mirror ?? (await aptMirror());
  await run(
    outsideNamespace([
      ...CONTAINED,
      "mmdebstrap",
      "--mode=root",
      "--variant=minbase",
      // Installs usr-is-merged instead of usrmerge, which would bring all of Perl.
      "--hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr",
      `--include=${options.packages.join(",")}`,
      "--aptopt=APT::Install-Recommends false",
      ...EXCLUDED_PATHS.map((path) => `--dpkgopt=path-exclude=${path}`),
      SUITE,
      options.directory,
      mirror,
    ]),
    {
      name: "mmdebstrap",
      // The kernel's package honours INITRD=No: who wants an initramfs makes a small one afterwards.
      // Its temporary files are beside the tree, to go with it when it is killed.
      env: {
        INITRD: "No",
        LC_ALL: "C",
        DEBIAN_FRONTEND: "noninteractive",
        TMPDIR: dirname(options.directory),
      },
      logFile: options.logFile,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    },
  );
  // Copied from this machine by mmdebstrap, and nobody else's business.
  for (const file of ["etc/resolv.conf", "etc/hostname"]) {
    await rm(join(options.directory, file), { force: true });
  }
}

/** Runs a shell command inside a tree, with /proc and /sys there. */
export async function runInTree(
  directory: string,
  command: string,
  options: { logFile: string; signal?: AbortSignal | undefined },
): Promise<void> {
  const script =
    'mount -t proc proc "$1/proc" && mount --rbind /sys "$1/sys" && exec chroot "$1" /bin/sh -ec "$2"';
  await run([...CONTAINED, "sh", "-c", script, "sh", directory, command], {
    name: `"${command.slice(0, 60)}" in the tree`,
    env: { LC_ALL: "C", PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
    logFile: options.logFile,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
}

/** The mirror that apt on this machine uses for Debian itself. */
export async function aptMirror(): Promise<string> {
  const { stdout } = await run([
    "apt-get",
    "indextargets",
    "--format",
    "$(SITE) $(RELEASE)",
    "Created-By: Packages",
  ]);
  const targets = stdout
    .trim()
    .split("\n")
    .map((line) => line.split(" "));
  const site = (targets.find(([, release]) => release === SUITE) ?? targets[0])?.[0];
  if (site === undefined || site === "") {
    throw new Error("apt names no Debian mirror (apt-get indextargets); name one with --mirror");
  }
  return site;
}
