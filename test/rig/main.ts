// The rig by hand: builds the ramdisk or the image, or boots one of them and shows what its console says.

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildConfigDriveImage } from "../kit/config-drive.ts";
import { CACHE_DIRECTORY } from "./cache.ts";
import { BOOTED_MARKER, demoImage, NO_CONFIG_DRIVE_MARKER } from "./image.ts";
import { type DiskBus, Machine } from "./machine.ts";
import { enterNamespace } from "./namespace.ts";
import { Network } from "./network.ts";
import { run } from "./programs.ts";
import { type BaseOptions, composeRamdisk, ramdiskBase } from "./ramdisk.ts";

const USAGE = `usage: bun run test/rig/main.ts COMMAND [OPTIONS]

  ramdisk        build the ramdisk's base
  image          build the image
  boot-ramdisk   boot the ramdisk with two network cards until the agent has ended once, then power off
  boot-image     boot the image with a config drive until it has printed its marker

  --uefi              OVMF instead of SeaBIOS
  --bus BUS           virtio (default), sata, nvme or scsi
  --agent FILE        the agent in the ramdisk (default dist/ironic-python-agent-linux-x64)
  --until REGEX       boot-ramdisk: what to wait for on the console
  --no-config-drive   boot-image: without one
  --fresh             ignore the cache
  --mirror URL        Debian mirror, instead of apt's
`;

const DISK_BYTES = 4 * 1024 ** 3;
const MINUTE = 60_000;

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  options: {
    uefi: { type: "boolean", default: false },
    bus: { type: "string", default: "virtio" },
    agent: { type: "string", default: join(import.meta.dir, "../../dist/ironic-python-agent-linux-x64") },
    until: { type: "string", default: "rig: the agent ended with exit code" },
    "no-config-drive": { type: "boolean", default: false },
    fresh: { type: "boolean", default: false },
    mirror: { type: "string" },
  },
});

const started = performance.now();
const report = (line: string) =>
  console.log(`[${((performance.now() - started) / 1000).toFixed(1)} s] ${line}`);
const base: BaseOptions = {
  fresh: values.fresh,
  report,
  ...(values.mirror === undefined ? {} : { mirror: values.mirror }),
};
const firmware = values.uefi ? "uefi" : "bios";
const bus = values.bus as DiskBus;

async function buildRamdisk(): Promise<void> {
  report(JSON.stringify(await ramdiskBase(base), null, 2));
}

async function buildImage(): Promise<void> {
  report(JSON.stringify(await demoImage(base), null, 2));
}

async function bootRamdisk(): Promise<void> {
  await enterNamespace();
  await using workspace = await makeWorkspace();
  await using network = await Network.create({ directory: workspace.directory });
  const ramdisk = await composeRamdisk(await ramdiskBase(base), {
    agent: values.agent,
    output: join(workspace.directory, "initrd"),
  });
  report("ramdisk ready");
  await using machine = await Machine.create({
    name: "rig",
    directory: workspace.directory,
    firmware,
    memoryMiB: 2048,
    cpus: 2,
    disks: [{ bus, serial: "RIG0001", sizeBytes: DISK_BYTES }],
    nics: [
      { mac: "52:54:00:00:00:01", tap: await network.addTap() },
      { mac: "52:54:00:00:00:02", tap: await network.addTap() },
    ],
    smbios: { manufacturer: "Rig", product: "Emulated, by hand" },
  });
  await machine.start({ ...ramdisk, cmdline: "console=ttyS0 rig.shell=1" });
  report("machine started");
  for (const pattern of [/rig: .*starting udev/, /rig: .*starting the agent/, new RegExp(values.until)]) {
    const [line] = await machine.waitForConsole(pattern, { timeout: 5 * MINUTE });
    report(`console: ${line}`);
  }
  report(`leases: ${JSON.stringify(await network.leases())}`);
  console.log(machine.consoleTail(40));
  await run(["socat", "-", `UNIX-CONNECT:${machine.shellSocket}`], {
    input: "poweroff\n",
    timeoutMs: 20_000,
  });
  await machine.waitForExit(MINUTE);
  report("machine is off");
}

async function bootImage(): Promise<void> {
  await using workspace = await makeWorkspace();
  const image = await demoImage(base);
  const disk = join(workspace.directory, "image.raw");
  await run(["cp", "--sparse=always", image.raw.file, disk]);
  const iso = join(workspace.directory, "config.iso");
  const content = {
    meta_data: { hostname: "deployed" },
    user_data: "#!/bin/sh\necho hello from user data\n",
  };
  await writeFile(
    iso,
    await buildConfigDriveImage(content, { uuid: "11111111-2222-3333-4444-555555555555" }),
  );
  report("disk ready");
  await using machine = await Machine.create({
    name: "rig",
    directory: workspace.directory,
    firmware,
    memoryMiB: 1024,
    cpus: 2,
    disks: [
      { bus, serial: "RIG0001", file: disk },
      ...(values["no-config-drive"]
        ? []
        : [{ bus: "virtio" as const, serial: "CONFIG", file: iso, readOnly: true }]),
    ],
    nics: [{ mac: "52:54:00:00:00:01" }],
  });
  await machine.start({ disk: true });
  report("machine started");
  const [line] = await machine.waitForConsole(
    new RegExp(`${BOOTED_MARKER.source}|${NO_CONFIG_DRIVE_MARKER.source}`),
    {
      timeout: 5 * MINUTE,
    },
  );
  console.log(machine.consoleTail(25));
  report(`console: ${line}`);
}

async function makeWorkspace(): Promise<AsyncDisposable & { directory: string }> {
  const parent = join(CACHE_DIRECTORY, "by-hand");
  await mkdir(parent, { recursive: true });
  const directory = await mkdtemp(`${parent}/`);
  return { directory, [Symbol.asyncDispose]: () => rm(directory, { recursive: true }) };
}

const commands: Record<string, () => Promise<void>> = {
  ramdisk: buildRamdisk,
  image: buildImage,
  "boot-ramdisk": bootRamdisk,
  "boot-image": bootImage,
};

const command = commands[positionals[0] ?? ""];
if (command === undefined) {
  console.error(USAGE);
  process.exit(2);
}
try {
  await command();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
