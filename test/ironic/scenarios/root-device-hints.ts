// Root device hints: of five disks the one that is meant. Most kinds of hints are put to the agent's own helper in one boot,
// because a deployment for each would take an hour; one is deployed.

import type { JsonObject } from "../../../src/json.ts";
import { check } from "../check.ts";
import { signaturesOn } from "../disk-content.ts";
import type { Scenario } from "../scenario.ts";
import type { StageNode } from "../stage-node.ts";

const CONSOLE_TIMEOUT_MS = 300_000;
/** The agent starts anew for each question, on an emulated processor that has other work. */
const ANSWER_TIMEOUT_MS = 300_000;
const WWN = "0x5000c500a1b2c3d4";

/** The number of the disk that each set of hints means. */
const HINTS: readonly (readonly [hints: JsonObject, disk: number])[] = [
  [{}, 4],
  [{ serial: "RIG0003" }, 3],
  [{ serial: "rig0001" }, 1],
  [{ serial: "<in> g0002" }, 2],
  [{ serial: "<or> other <or> RIG0001" }, 1],
  [{ wwn: WWN }, 3],
  [{ wwn: "s== 0x5000C500A1B2C3D4" }, 3],
  [{ wwn_with_extension: WWN }, 3],
  [{ size: 12 }, 1],
  [{ size: ">= 11" }, 1],
  [{ size: "= 11" }, 1],
  [{ size: "<= 6" }, 4],
  [{ rotational: false }, 1],
  [{ rotational: "no", size: ">= 4" }, 1],
  [{ tran: "nvme" }, 1],
  [{ tran: "sata", rotational: true }, 2],
  [{ model: "<in> nvme" }, 1],
  [{ model: "QEMU HARDDISK", size: 9 }, 3],
  [{ model: "s!= qemu harddisk", size: "< 12" }, 0],
  [{ vendor: "0x1af4" }, 0],
  [{ vendor: "ATA" }, 2],
  [{ vendor: "qemu", size: "< 8" }, 4],
  [{ name: "/dev/nvme0n1" }, 1],
  [{ name: "<or> /dev/nowhere <or> /dev/vda" }, 0],
];

/** Hints whose values only the machine knows: what it says of a disk has to lead back to it. */
const SELF_NAMED: readonly (readonly [hint: string, disk: number])[] = [
  ["hctl", 3],
  ["hctl", 4],
  ["by_path", 2],
  ["by_path", 0],
];

export const rootDeviceHints: Scenario = {
  name: "root-device-hints",
  about:
    "hints of every kind choose the right one of five disks (virtio, NVMe, SATA, two SCSI); one is deployed",
  async run(stage) {
    // UEFI, because a BIOS has one boot disk, and which one is not the agent's to say.
    const node = await stage.enrol({
      firmware: "uefi",
      disks: [
        { bus: "virtio", sizeGiB: 8 },
        { bus: "nvme", sizeGiB: 12 },
        { bus: "sata", sizeGiB: 10 },
        { bus: "scsi", sizeGiB: 9, wwn: WWN },
        { bus: "scsi", sizeGiB: 6 },
      ],
      // Ironic 21.4 refuses the hint tran, which the agent knows.
      properties: { root_device: { vendor: "ATA", size: ">= 9" } },
      kernelParameters: "rig.agent=by-hand",
    });
    await node.provide();
    const { machine } = node.managed;
    await node.when(
      "agent starts",
      () => node.deploy({ minutes: 30 }),
      async () => {
        await machine.waitForConsole(/rig: .*left to you/, { timeout: CONSOLE_TIMEOUT_MS });
        try {
          await askForEach(node);
        } finally {
          await node.shell(
            "ironic-python-agent --config-dir /etc/ironic-python-agent.d >/dev/console 2>&1 </dev/null &",
          );
        }
      },
    );
    const deployed = [];
    for (const file of machine.diskFiles) deployed.push((await signaturesOn(file)).includes("gpt"));
    check(
      deployed.join() === [false, false, true, false, false].join(),
      "the image is on the third disk and on no other",
      deployed.join(),
    );
  },
};

async function askForEach(node: StageNode): Promise<void> {
  const shell = (command: string) => node.managed.machine.shell(command, ANSWER_TIMEOUT_MS);
  const serials = new Map<string, string>();
  for (const line of (await shell("lsblk -dnbo PATH,SERIAL")).split("\n")) {
    const [path = "", serial = ""] = line.trim().split(/\s+/);
    serials.set(path, serial);
  }
  const inventory = JSON.parse(await shell("ironic-python-agent inventory 2>/dev/null"));
  const disks: JsonObject[] = inventory.disks;
  const named = SELF_NAMED.map(([hint, disk]) => {
    const record = disks.find(({ serial }) => serial === serialOf(disk));
    return [{ [hint]: record?.[hint] ?? null } as JsonObject, disk] as const;
  });
  const asked = [...HINTS, ...named];
  // In one run, because the agent's start takes longest. The last hints match nothing, so it ends with 1.
  const words = [...asked.map(([hints]) => hints), { serial: "nope" }].map(
    (hints) => `'${JSON.stringify(hints)}'`,
  );
  const output = await shell(`ironic-python-agent root-device ${words.join(" ")} 2>/dev/null || true`);
  const answers = output.split("\n").map((line) => line.trim());
  for (const [index, [hints, disk]] of asked.entries()) {
    const answer = answers[index] ?? "";
    const found = serials.get(answer);
    check(found === serialOf(disk), `${JSON.stringify(hints)} means disk ${disk}`, `${answer} (${found})`);
  }
  const none = answers[asked.length] ?? "";
  check(/nope/.test(none) && /RIG0004/.test(none), "hints that match nothing say what there is", none);
}

/** As the stage numbers its disks. */
function serialOf(disk: number): string {
  return `RIG000${disk}`;
}
