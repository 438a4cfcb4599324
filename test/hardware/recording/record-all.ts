// Makes the recordings in test/fixtures: starts each machine of machines.ts once with the rig's ramdisk, in
// which record-machine.ts stands in the place of the agent, and takes the result from a disk. Needs root,
// QEMU and the rig's packages.
//
//   bun test/hardware/recording/record-all.ts [MACHINE…]

import { mkdir, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Machine } from "../../rig/machine.ts";
import { composeRamdisk, ramdiskBase } from "../../rig/ramdisk.ts";
import { MACHINES } from "./machines.ts";

const REPOSITORY = join(import.meta.dir, "../../..");
const WORK = join(REPOSITORY, ".cache/recording");
/** Bytes of the disk the recording is written to. */
const OUTPUT_SIZE = 16 * 2 ** 20;
const TIMEOUT_MS = 300_000;

await mkdir(WORK, { recursive: true });
const recorder = join(WORK, "record-machine");
await Bun.build({
  entrypoints: [join(import.meta.dir, "record-machine.ts")],
  compile: { target: "bun-linux-x64-baseline", outfile: recorder },
});
const base = await ramdiskBase({ report: console.log });

const wanted = process.argv.slice(2);
for (const [name, machine] of Object.entries(MACHINES)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const directory = join(WORK, name);
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  for (const [serial, size] of Object.entries(machine.disks)) {
    await writeFile(join(directory, `DISK-${serial}`), "");
    await truncate(join(directory, `DISK-${serial}`), size);
  }
  const ramdisk = await composeRamdisk(base, {
    agent: recorder,
    files: [{ path: "/etc/record-machine.json", content: JSON.stringify(machine.preparation) }],
    output: join(directory, "ramdisk.cpio"),
  });
  await using vm = await Machine.create({
    name,
    directory,
    firmware: machine.firmware,
    memoryMiB: machine.memoryMiB,
    cpus: 2,
    disks: [{ bus: "virtio", serial: "RECORD", sizeBytes: OUTPUT_SIZE }],
    nics: [],
    qemuArguments: [...machine.devices],
  });
  console.log(`${name}: starting`);
  await vm.start({
    ...ramdisk,
    cmdline: `console=ttyS0 net.ifnames=0 quiet ${machine.kernelParameters}`.trim(),
  });
  const [said] = await vm.waitForConsole(/record: written|the agent ended/, { timeout: TIMEOUT_MS });
  if (said !== "record: written") throw new Error(`recording ${name} failed, see ${vm.consoleLog}`);
  await vm.powerOff();
  const bytes = await Bun.file(vm.diskFiles[0] ?? "").bytes();
  const text = new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
  const target = join(REPOSITORY, "test/fixtures", name);
  await mkdir(target, { recursive: true });
  await writeFile(join(target, "machine.json"), text);
  console.log(`${name}: ${text.length} bytes`);
}
