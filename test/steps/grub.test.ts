// install_bootloader for partition images. The image is a real ext4 file system with a shell and stand-ins for GRUB's programs, which
// are tenant's code to the agent; it is mounted and its programs run confined, all for real, on a loop device.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { Config } from "../../src/config/config.ts";
import type { OptionValues } from "../../src/config/options.ts";
import { InvalidImage, type RestError } from "../../src/errors.ts";
import { installBootLoader } from "../../src/steps/boot-loader.ts";
import { Deployment } from "../../src/steps/deployment.ts";
import { withEspLine } from "../../src/steps/fstab.ts";
import { configEnvironment, withKernelParameter } from "../../src/steps/grub.ts";
import { createSystem } from "../../src/system/real.ts";
import type { System } from "../../src/system/system.ts";
import { type LoopDevice, loopDevice, noLoopDevices, tool } from "../support/loop-device.ts";

const MEBIBYTE = 1024 * 1024;
const ROOT_UUID = "3d3c1f5e-4a53-44d0-9c1e-6a2f1f0f7d11";
/** No other process of this machine sleeps this long. */
const SURVIVOR = "98765431";

let tree = "";

beforeAll(async () => {
  tree = await mkdtemp(`${tmpdir()}/image-tree-`);
  for (const directory of ["bin", "usr/sbin", "etc", "boot", "proc"])
    await mkdir(`${tree}/${directory}`, { recursive: true });
  for (const program of ["dash", "ls", "cat", "sleep"]) await copyProgram(`/bin/${program}`);
  // Images have a shell, but not all have bash.
  await symlink("dash", `${tree}/bin/sh`);
  await script(
    "usr/sbin/grub-install",
    'echo "$@" >> /asked; ls /proc > /processes; cat /proc/net/dev > /network; cat /secret > /stolen 2>&1',
    `(sleep ${SURVIVOR} &); { echo > /dev/survey; } 2> /write-to-dev; true`,
  );
  await script("usr/sbin/grub-mkconfig", 'echo "$GRUB_DISABLE_OS_PROBER $GRUB_SAVEDEFAULT $@" >> /asked');
  await writeFile(`${tree}/etc/fstab`, "/dev/root / ext4 defaults 0 1");
});

afterAll(() => rm(tree, { recursive: true }));

async function script(path: string, ...lines: string[]): Promise<void> {
  await writeFile(`${tree}/${path}`, `#!/bin/sh\n${lines.join("\n")}\n`);
  await chmod(`${tree}/${path}`, 0o755);
}

/** A program and the libraries it needs, as ldd names them. */
async function copyProgram(path: string): Promise<void> {
  const libraries = (await tool("ldd", path)).match(/\/\S+/g) ?? [];
  for (const file of [path, ...libraries]) await cp(file, `${tree}${file}`, { dereference: true });
}

/** A disk with one partition that holds the image, changed by `change` first. */
async function withImage(
  change: (tree: string) => Promise<void>,
  work: (disk: LoopDevice) => Promise<void>,
): Promise<void> {
  const own = await mkdtemp(`${tmpdir()}/image-own-`);
  await tool("cp", "-aT", tree, own);
  await change(own);
  await using disk = await loopDevice(64 * MEBIBYTE);
  await tool(
    "parted",
    "-s",
    disk.path,
    "mklabel",
    "msdos",
    "mkpart",
    "primary",
    "1MiB",
    "40MiB",
    "set",
    "1",
    "boot",
    "on",
  );
  await tool("partprobe", disk.path);
  await tool("mkfs.ext4", "-q", "-U", ROOT_UUID, "-d", own, `${disk.path}p1`);
  await rm(own, { recursive: true });
  await work(disk);
}

async function install(
  disk: LoopDevice,
  config: Partial<OptionValues> = {},
  kind: "partition" | "whole disk" | null = "partition",
  signal = new AbortController().signal,
): Promise<{ error: RestError | null }> {
  const real = createSystem({ name: "test", debug: false, json: false, file: "/dev/null", stream: "stderr" });
  const system: System = {
    ...real,
    // The ramdisk's mode must not be this machine's.
    files: {
      ...real.files,
      targetKind: async (path) => (path === "/sys/firmware/efi" ? null : real.files.targetKind(path)),
    },
  };
  const deployment = new Deployment();
  if (kind !== null) deployment.written({ kind, uuids: {}, netboot: false });
  const context = {
    system,
    config: Config.of({ allow_host_disks: true, enable_bios_bootloader_install: true, ...config }),
    signal,
    installDevice: async () => disk.path,
    deployment,
  };
  const request = {
    rootUuid: ROOT_UUID.toUpperCase(),
    efiSystemPartUuid: null,
    prepBootPartUuid: null,
    targetBootMode: "bios",
    ignoreBootloaderFailure: null,
  };
  const before = await tool("cat", "/proc/self/mounts");
  const error = await installBootLoader(context, request).then(
    () => null,
    (thrown: unknown) => thrown as RestError,
  );
  // Others may mount meanwhile: only what this disk brought counts (deploy 11.83).
  const mounts = (await tool("cat", "/proc/self/mounts")).split("\n");
  expect(mounts.filter((line) => line.includes(disk.path))).toEqual([]);
  expect(mounts.filter((line) => line.includes("ironic-agent-mount-") && !before.includes(line))).toEqual([]);
  return { error };
}

/** A file of the image as the system would see it after the deployment; null if it is not there. */
async function fileOf(disk: LoopDevice, path: string): Promise<string | null> {
  await tool("blockdev", "--flushbufs", `${disk.path}p1`);
  const copy = `${tmpdir()}/${crypto.randomUUID()}`;
  await tool("debugfs", "-R", `dump ${path} ${copy}`, `${disk.path}p1`);
  try {
    return await readFile(copy, "utf8");
  } catch {
    return null;
  } finally {
    await rm(copy, { force: true });
  }
}

async function isDirectory(disk: LoopDevice, path: string): Promise<boolean> {
  await tool("blockdev", "--flushbufs", `${disk.path}p1`);
  return (await tool("debugfs", "-R", `stat ${path}`, `${disk.path}p1`)).includes("Type: directory");
}

async function processesSleeping(): Promise<string[]> {
  const found: string[] = [];
  for (const id of await readdir("/proc")) {
    if (!/^\d+$/.test(id)) continue;
    const line = await readFile(`/proc/${id}/cmdline`, "utf8").catch(() => "");
    if (line.includes(SURVIVOR)) found.push(id);
  }
  return found;
}

const onImage = (
  name: string,
  change: (tree: string) => Promise<void>,
  work: (disk: LoopDevice) => Promise<void>,
) => test.skipIf(noLoopDevices !== null)(name, () => withImage(change, work), 120_000);
const asItIs = async () => {};

describe("BIOS, partition image", () => {
  onImage(
    "grub-install gets the disk, grub-mkconfig its file, without os-prober (deploy 11.75, 11.79)",
    asItIs,
    async (disk) => {
      expect((await install(disk)).error).toBeNull();
      expect(await fileOf(disk, "/asked")).toBe(`${disk.path}\ntrue true -o /boot/grub/grub.cfg\n`);
    },
  );

  onImage(
    "its programs see no process, no network and no file of the ramdisk (deploy 11.78)",
    asItIs,
    async (disk) => {
      expect((await install(disk)).error).toBeNull();
      const processes = (await fileOf(disk, "/processes"))?.split("\n").filter((name) => /^\d+$/.test(name));
      // Itself, and the ls.
      expect(processes).toHaveLength(2);
      expect((await fileOf(disk, "/network"))?.match(/^ *\w+:/gm)).toEqual(["    lo:"]);
      expect(await fileOf(disk, "/stolen")).toContain("No such file");
      expect(await fileOf(disk, "/write-to-dev")).toContain("Read-only file system");
      expect(await processesSleeping()).toEqual([]);
    },
  );

  onImage(
    "grub2's names are found by what the image has (deploy 11.79)",
    async (own) => {
      await tool("mv", `${own}/usr/sbin/grub-install`, `${own}/usr/sbin/grub2-install`);
      await tool("mv", `${own}/usr/sbin/grub-mkconfig`, `${own}/usr/sbin/grub2-mkconfig`);
    },
    async (disk) => {
      expect((await install(disk)).error).toBeNull();
      expect(await fileOf(disk, "/asked")).toContain("-o /boot/grub2/grub.cfg");
    },
  );

  onImage(
    "a grub-install that fails is quoted",
    async (own) => {
      await writeFile(
        `${own}/usr/sbin/grub-install`,
        "#!/bin/sh\necho 'embedding is not possible' >&2; exit 1\n",
      );
    },
    async (disk) => {
      const { error } = await install(disk);
      expect(error?.type).toBe("CommandExecutionError");
      expect(error?.details).toStartWith(`Installing GRUB2 boot loader to device ${disk.path} failed with `);
      expect(error?.details).toContain("embedding is not possible");
      expect((await install(disk, { ignore_bootloader_failure: true })).error).toBeNull();
    },
  );

  onImage(
    "aborted in grub-install: its programs end, and nothing stays mounted (deploy 11.83)",
    async (own) => {
      await writeFile(`${own}/usr/sbin/grub-install`, `#!/bin/sh\nsleep ${SURVIVOR} & sleep ${SURVIVOR}\n`);
    },
    async (disk) => {
      const abort = new AbortController();
      const installed = install(disk, {}, "partition", abort.signal);
      while ((await processesSleeping()).length < 2) await Bun.sleep(20);
      abort.abort(new Error("enough of it"));
      const { error } = await installed;
      expect(String(error)).toContain("enough of it");
      expect(await processesSleeping()).toEqual([]);
    },
  );

  onImage("where the image's programs must not run, none does (deploy 11.77)", asItIs, async (disk) => {
    const { error } = await install(disk, { enable_bios_bootloader_install: false });
    expect(error).toBeInstanceOf(InvalidImage);
    expect(error?.details).toContain("enable_bios_bootloader_install");
    expect(await fileOf(disk, "/asked")).toBeNull();
  });

  onImage(
    "a link of the image does not lead into the ramdisk",
    async (own) => {
      await rm(`${own}/proc`, { recursive: true });
      await tool("ln", "-s", "/../../../../../../tmp", `${own}/proc`);
    },
    async (disk) => {
      // Followed as the image's own: a directory of the image is made, and the ramdisk's is not taken for it.
      expect((await install(disk)).error).toBeNull();
      expect(await isDirectory(disk, "/tmp")).toBe(true);
    },
  );

  onImage(
    "a whole disk that this agent wrote has its own boot code, whatever its root's UUID",
    asItIs,
    async (disk) => {
      expect((await install(disk, {}, "whole disk")).error).toBeNull();
      expect(await fileOf(disk, "/asked")).toBeNull();
    },
  );

  onImage(
    "a disk of unknown origin is looked at: parted's stub is no boot code (deploy 11.80)",
    asItIs,
    async (disk) => {
      expect((await install(disk, {}, null)).error).toBeNull();
      expect(await fileOf(disk, "/asked")).toContain(disk.path);
    },
  );
});

test("GRUB is to remember what it booted only where it can write", () => {
  const saves = (root: string, partition: number | null, onRaid: boolean) =>
    "GRUB_SAVEDEFAULT" in configEnvironment("/dev/sda", { path: root, partition }, onRaid);
  expect(saves("/dev/sda2", 2, false)).toBe(true);
  expect(saves("/dev/sda", null, false)).toBe(true);
  expect(saves("/dev/dm-0", null, false)).toBe(false);
  expect(saves("/dev/md0p2", 2, true)).toBe(false);
});

test("a parameter gets into the kernel's line once, whatever the quotes", () => {
  const add = (text: string) => withKernelParameter(text, "rd.md.uuid=1:2");
  expect(add('A=1\nGRUB_CMDLINE_LINUX="quiet"\nB=2\n')).toBe(
    'A=1\nGRUB_CMDLINE_LINUX="quiet rd.md.uuid=1:2"\nB=2\n',
  );
  expect(add("GRUB_CMDLINE_LINUX=''")).toBe("GRUB_CMDLINE_LINUX='rd.md.uuid=1:2'");
  const once = add('GRUB_CMDLINE_LINUX="a b"');
  expect(add(once)).toBe(once);
  expect(add('GRUB_CMDLINE_LINUX_DEFAULT="quiet"')).toBe('GRUB_CMDLINE_LINUX_DEFAULT="quiet"');
});

describe("fstab", () => {
  const LINE = "UUID=ABCD-1234\t/boot/efi\tvfat\tumask=0077\t0\t1\n";
  test("gets one line for the ESP, on a line of its own", () => {
    expect(withEspLine("", "UUID=ABCD-1234")).toBe(LINE);
    expect(withEspLine("/dev/a / ext4", "UUID=ABCD-1234")).toBe(`/dev/a / ext4\n${LINE}`);
    const once = withEspLine("# x\n", "UUID=ABCD-1234");
    expect(withEspLine(once, "UUID=ABCD-1234")).toBe(once);
  });

  test("is left alone if it mounts one already, but a comment is no mount", () => {
    const other = "PARTUUID=1  /boot/efi  vfat  ro 0 0\n";
    expect(withEspLine(other, "UUID=ABCD-1234")).toBe(other);
    expect(withEspLine(`#${other}`, "UUID=ABCD-1234")).toBe(`#${other}${LINE}`);
  });
});
