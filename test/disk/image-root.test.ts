// Programs of an image, confined for real: a hostile grub-install tries to get at the agent's token, at the network, out of its root,
// at other disks, and to stay. The image is a file system on a loop device; what it tries is in fixtures/hostile.
// deploy 11.78.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { familyOf } from "../../src/disk/confined-dev.ts";
import { ImageRoot } from "../../src/disk/image-root.ts";
import { createSystem } from "../../src/system/real.ts";
import type { System } from "../../src/system/system.ts";
import { type LoopDevice, loopDevice, noLoopDevices, tool } from "../support/loop-device.ts";
import { rejection } from "../support/rejection.ts";

const MEBIBYTE = 1024 * 1024;
/** The agent's token, so to say; a number, because it is also how long the survivor would sleep. */
const SECRET = "87654321987";
const system = createSystem({ name: "test", debug: false, json: false, file: "/dev/null", stream: "stderr" });

let tree = "";

beforeAll(async () => {
  tree = await mkdtemp(`${tmpdir()}/hostile-`);
  for (const directory of ["bin", "boot", "usr/bin", "usr/sbin"])
    await mkdir(`${tree}/${directory}`, { recursive: true });
  for (const program of ["/usr/bin/perl", "/bin/sleep"]) {
    const libraries = (await tool("ldd", program)).match(/\/\S+/g) ?? [];
    for (const file of [program, ...libraries]) await cp(file, `${tree}${file}`, { dereference: true });
  }
  const script = await readFile(`${import.meta.dir}/../fixtures/hostile/grub-install.pl`);
  await writeFile(`${tree}/usr/sbin/grub-install`, script);
  await chmod(`${tree}/usr/sbin/grub-install`, 0o755);
});

afterAll(() => rm(tree, { recursive: true }));

/** The capability that GRUB needs to be told what is below a volume. */
const SYS_ADMIN = 1n << 21n;

/** The same machine, but every file system is said to be btrfs, of which there is none here. */
const onBtrfs: System = {
  ...system,
  run: async (argv, options) =>
    argv[0] === "blkid" ? { exitCode: 0, stdout: "TYPE=btrfs\n", stderr: "" } : system.run(argv, options),
};

/** Runs the hostile program on a disk of its own beside another one; its report. */
async function runHostile(machine: System, signal: AbortSignal) {
  await using own = await loopDevice(64 * MEBIBYTE);
  await using other = await loopDevice(8 * MEBIBYTE);
  await tool("parted", "-s", own.path, "mklabel", "msdos", "mkpart", "primary", "1MiB", "60MiB");
  await tool("partprobe", own.path);
  await tool("mkfs.ext4", "-q", "-d", tree, `${own.path}p1`);
  const served: string[] = [];
  const server = createServer((socket) => {
    served.push("a connection");
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const number = await system.files.deviceNumber(other.path);
  try {
    await using image = await ImageRoot.mount(machine, `${own.path}p1`, signal);
    await image.prepareToRun([own.path]);
    const words = [port, number?.major, number?.minor, import.meta.path, SECRET].map(String);
    const ended = image.run(["grub-install", ...words]);
    const outcome = await ended.then(
      () => null,
      (error: unknown) => error,
    );
    return { own, other, served, outcome, report: await reportOf(image.path), left: await sleepers() };
  } finally {
    server.close();
  }
}

async function reportOf(root: string): Promise<Map<string, string>> {
  const lines = (await readFile(`${root}/report`, "utf8")).trim().split("\n");
  return new Map(lines.map((line) => line.split(": ", 2) as [string, string]));
}

/** Processes of this machine that the hostile program has left. */
async function sleepers(): Promise<string[]> {
  const found: string[] = [];
  for (const id of await readdir("/proc")) {
    if (!/^\d+$/.test(id)) continue;
    const line = await readFile(`/proc/${id}/cmdline`, "utf8").catch(() => "");
    // Zombies have no command line.
    if (/sleep|grub-install/.test(line) && line.includes(SECRET)) found.push(`${id} ${line}`);
  }
  return found;
}

test.skipIf(noLoopDevices !== null).each([
  ["on an ordinary root", system, 0n],
  ["on a root of which GRUB has to be told more", onBtrfs, SYS_ADMIN],
])(
  "a hostile program of an image finds no token, no network, no way out, no other disk, and does not stay: %s",
  async (_, machine, more) => {
    const { own, served, outcome, report, left } = await runHostile(machine, new AbortController().signal);
    expect(outcome).toBeNull();
    expect(report.get("done")).toBe("yes");
    expect(BigInt(`0x${report.get("capabilities")}`) & SYS_ADMIN).toBe(more);
    const told = new Set(["done", "capabilities", "block devices"]);
    const worked = [...report].filter(([name, result]) => !told.has(name) && result !== "refused");
    expect(worked).toEqual([]);
    expect(report.size).toBeGreaterThan(29);
    const nodes = report.get("block devices")?.split(" ") ?? [];
    expect(nodes.filter((path) => !path.startsWith("/dev/disk/"))).toEqual([own.path, `${own.path}p1`]);
    expect(served).toEqual([]);
    expect(left).toEqual([]);
  },
  120_000,
);

test.skipIf(noLoopDevices !== null)(
  "one that ignores signals and has left its parent ends when the command is aborted",
  async () => {
    const abort = new AbortController();
    await writeFile(`${tree}/hang`, "");
    const running = runHostile(system, abort.signal);
    while ((await sleepers()).filter((line) => line.includes("sleep")).length === 0) await Bun.sleep(50);
    abort.abort(new Error("the agent ends"));
    const { outcome } = await running;
    await rm(`${tree}/hang`);
    expect(String(outcome)).toContain("the agent ends");
    // The namespace's first process is dead by now; the kernel ends the others after it, which takes moments on a busy machine.
    let left = await sleepers();
    for (
      const deadline = Date.now() + 10_000;
      left.length > 0 && Date.now() < deadline;
      left = await sleepers()
    )
      await Bun.sleep(20);
    expect(left).toEqual([]);
  },
  120_000,
);

test.skipIf(noLoopDevices !== null)("a disk's family is itself and its partitions", async () => {
  await using disk: LoopDevice = await loopDevice(8 * MEBIBYTE);
  await tool("parted", "-s", disk.path, "mklabel", "msdos", "mkpart", "primary", "1MiB", "7MiB");
  await tool("partprobe", disk.path);
  const name = disk.path.slice("/dev/".length);
  const family = [...(await familyOf(system, [`${disk.path}p1`]))].sort();
  expect(family).toEqual([name, `${name}p1`]);
  expect([...(await familyOf(system, ["/dev/no-such-disk"]))]).toEqual([]);
  expect(await rejection(ImageRoot.mount(system, disk.path, new AbortController().signal))).toBeInstanceOf(
    Error,
  );
});
