// Makes the fixtures test/fixtures/raid and test/fixtures/erase: boots the rig's ramdisk once in QEMU with a handful of disks, does to
// them by hand what the agent does, and keeps what mdadm, parted, sgdisk, lsblk, nvme, hdparm, smartctl and shred
// printed. The host's kernel has neither md nor NVMe. Needs root, QEMU and the rig's packages.
//
//   bun test/disk/recording/record-tools.ts

import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Machine } from "../../rig/machine.ts";
import { composeRamdisk, ramdiskBase } from "../../rig/ramdisk.ts";
import { type RecordedCommand, SESSIONS } from "./sessions.ts";

const REPOSITORY = join(import.meta.dir, "../../..");
const WORK = join(REPOSITORY, ".cache/recording/tools");
const MIB = 2 ** 20;

await rm(WORK, { recursive: true, force: true });
await mkdir(WORK, { recursive: true });
// In the place of the agent: this machine is driven through its shell.
const idle = join(WORK, "idle");
await writeFile(idle, "#!/bin/sh\nexec sleep 100000\n", { mode: 0o755 });
const ramdisk = await composeRamdisk(await ramdiskBase({ report: console.log }), {
  agent: idle,
  output: join(WORK, "ramdisk.cpio"),
});
await using machine = await Machine.create({
  name: "tools",
  directory: WORK,
  firmware: "bios",
  memoryMiB: 2048,
  cpus: 2,
  disks: [
    { bus: "virtio", serial: "DISK1", sizeBytes: 300 * MIB },
    { bus: "virtio", serial: "DISK2", sizeBytes: 300 * MIB },
    { bus: "virtio", serial: "DISK3", sizeBytes: 4096 * MIB },
    { bus: "sata", serial: "SATA1", sizeBytes: 300 * MIB },
    { bus: "nvme", serial: "NVME1", sizeBytes: 300 * MIB },
    { bus: "scsi", serial: "SCSI1", sizeBytes: 2 * MIB },
  ],
  nics: [],
});
await machine.start({ ...ramdisk, cmdline: "console=ttyS0 quiet rig.shell=1" });
await machine.waitForConsole(/starting the agent/, { timeout: 300_000 });
for (const [name, commands] of Object.entries(SESSIONS)) {
  const recorded: RecordedCommand[] = [];
  for (const command of commands) {
    // The two streams apart, and the status, through files: the shell itself is a terminal.
    await machine.shell(`{ ${command}\n} >/tmp/out 2>/tmp/err </dev/null; echo $? >/tmp/code`, 300_000);
    const exitCode = Number(await readBack("code"));
    recorded.push({ command, exitCode, stdout: await readBack("out"), stderr: await readBack("err") });
    console.log(`${name}: ${command}: exit code ${exitCode}`);
  }
  const directory = join(REPOSITORY, "test/fixtures", name);
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, "session.json"), `${JSON.stringify(recorded, null, 1)}\n`);
}

async function readBack(name: string): Promise<string> {
  const base64 = await machine.shell(`base64 -w 0 /tmp/${name}; echo`, 30_000);
  return Buffer.from(base64.replaceAll(/\s/g, ""), "base64").toString("utf8");
}
