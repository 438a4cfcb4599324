// Erasing whole disks on the operator's request, aborted by him in the middle, and asked for again.

import { open, readFile } from "node:fs/promises";
import { check } from "../check.ts";
import type { Scenario } from "../scenario.ts";

const ERASE = [{ interface: "deploy", step: "erase_devices" }];
const MIB = 1024 ** 2;
const TEXT = Buffer.from("somebody's data ");
const OFF_TIMEOUT_MS = 60_000;

// hardware 13.57, 13.58
export const eraseDevices: Scenario = {
  name: "erase-devices",
  about: "two disks overwritten at the same time, aborted in the middle, and again; nothing is left on them",
  async run(stage) {
    await using _ironic = await stage.configured({ deploy: { disk_erasure_concurrency: 2 } });
    const node = await stage.enrol({
      disks: [
        { bus: "virtio", sizeGiB: 0.5 },
        { bus: "sata", sizeGiB: 0.5 },
      ],
    });
    const { machine } = node.managed;
    for (const file of machine.diskFiles) await fill(file);

    await node.when(
      "erase_devices",
      () => node.failsToClean(ERASE, /abort/i),
      async () => {
        const both = 'while [ "$(pidof shred | wc -w)" != 2 ]; do sleep 0.2; done';
        await node.shell(both);
        await node.managed.abort();
      },
    );
    const deadline = Date.now() + OFF_TIMEOUT_MS;
    while (machine.running && Date.now() < deadline) await Bun.sleep(500);
    check(!machine.running, "an aborted cleaning leaves the machine off", "it is on");

    await node.managed.manage();
    await node.cleanManually(ERASE, 20);
    for (const file of machine.diskFiles) {
      const blank = await isBlank(file);
      check(blank, `${file} is blank`, "something is left");
    }
    const log = machine.consoleText();
    for (const serial of ["RIG0000", "RIG0001"])
      check(new RegExp(`erased /dev/.*"${serial}"`).test(log), `the log has a record of ${serial}`, "none");
  },
};

/** A text at every MiB. */
async function fill(file: string): Promise<void> {
  await using disk = await open(file, "r+");
  const { size } = await disk.stat();
  for (let at = 0; at < size; at += MIB) await disk.write(TEXT, 0, TEXT.length, at);
}

async function isBlank(file: string): Promise<boolean> {
  return (await readFile(file)).every((byte) => byte === 0);
}
