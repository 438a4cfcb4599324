// The tables of the deploy specification's 3.4, made by the real parted on sparse loop devices and read with other tools than the
// agent's own: sfdisk for sectors, types and flags, sgdisk for the check of the whole.

import { describe, expect, test } from "bun:test";
import { type LayoutRequest, planPartitions } from "../../src/disk/partition-layout.ts";
import { createPartitions, findPartitions } from "../../src/disk/partitioner.ts";
import { DeploymentError } from "../../src/errors.ts";
import { createSystem } from "../../src/system/real.ts";
import { loopDevice, noLoopDevices, tool } from "../support/loop-device.ts";
import { rejection } from "../support/rejection.ts";

const GIB = 2 ** 30;
const system = createSystem({ name: "test", debug: false, json: false, file: "/dev/null", stream: "stderr" });
const options = { attempts: 10, signal: new AbortController().signal };

const ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
const LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
const SWAP = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F";
const BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649";

type Row = { start: number; size: number; type: string; name?: string; bootable?: boolean };

/** First to last sector, as the specification writes it. */
function row(first: number, last: number, type: string, more: Partial<Row> = { name: "primary" }): Row {
  return { start: first, size: last - first + 1, type, ...more };
}

const FULL = { ephemeralMiB: 1024, swapMiB: 1024, configDriveMiB: 1, rootMiB: 5000 };
const NOTHING = { ephemeralMiB: 0, swapMiB: 0, configDriveMiB: 0, rootMiB: 5000 };

const CASES: [string, 512 | 4096, Omit<LayoutRequest, "netboot" | `${string}PartitionMiB`>, Row[]][] = [
  [
    "UEFI",
    512,
    { bootMode: "uefi", label: "gpt", ...FULL },
    [
      row(2048, 1128447, ESP),
      row(1128448, 3225599, LINUX),
      row(3225600, 5322751, SWAP),
      row(5322752, 5324799, LINUX),
      row(5324800, 15564799, LINUX),
    ],
  ],
  [
    "BIOS with a GPT",
    512,
    { bootMode: "bios", label: "gpt", ...NOTHING },
    [row(2048, 4095, BIOS_BOOT), row(4096, 10244095, LINUX)],
  ],
  [
    "BIOS with an MBR",
    512,
    { bootMode: "bios", label: "msdos", ...FULL },
    [
      row(2048, 2099199, "83", {}),
      row(2099200, 4196351, "82", {}),
      row(4196352, 4198399, "83", {}),
      row(4198400, 14438399, "83", { bootable: true }),
    ],
  ],
  [
    "UEFI on 4096-byte sectors",
    4096,
    { bootMode: "uefi", label: "gpt", ...FULL },
    [
      row(256, 141055, ESP),
      row(141056, 403199, LINUX),
      row(403200, 665343, SWAP),
      row(665344, 665599, LINUX),
      row(665600, 1945599, LINUX),
    ],
  ],
];

describe.skipIf(noLoopDevices !== null)("deploy 11.44: exact sectors, types, flags and names", () => {
  test.concurrent.each(CASES)(
    "%s",
    async (_, sectorSize, request, expected) => {
      await using disk = await loopDevice(10 * GIB, sectorSize);
      const layout = planPartitions({
        ...request,
        netboot: false,
        efiSystemPartitionMiB: 550,
        biosBootPartitionMiB: 1,
      });
      const paths = await createPartitions(system, disk.path, layout, options);
      expect([...paths.values()]).toEqual(expected.map((__, index) => `${disk.path}p${index + 1}`));
      const table = JSON.parse(await tool("sfdisk", "--json", disk.path)).partitiontable;
      expect(table.label).toBe(request.label === "gpt" ? "gpt" : "dos");
      expect(table.partitions.map(({ node: __, uuid: ___, ...rest }: JsonRow) => rest)).toEqual(
        expected as never,
      );
      if (request.label === "gpt")
        expect(await tool("sgdisk", "-v", disk.path)).toContain("No problems found");
    },
    180_000,
  );
});

test.concurrent.skipIf(noLoopDevices !== null)(
  "a disk that an agent with a smaller EFI system partition has made is not taken for ours, and the option is named",
  async () => {
    await using disk = await loopDevice(10 * GIB);
    const layout = (efiSystemPartitionMiB: number) =>
      planPartitions({
        ...{ bootMode: "uefi", label: "gpt", netboot: false, biosBootPartitionMiB: 1, efiSystemPartitionMiB },
        ...FULL,
      });
    await createPartitions(system, disk.path, layout(200), options);
    const error = await rejection(findPartitions(system, disk.path, layout(550), options.signal));
    expect(error).toBeInstanceOf(DeploymentError);
    const { details } = error as DeploymentError;
    expect(details).toContain("partition 1 (efi system partition) has 200 MiB at 1 MiB, not 550 at 1");
    expect(details).toContain("the option efi_system_partition_size of [disk_utils] brings that back");
    expect((await findPartitions(system, disk.path, layout(200), options.signal)).size).toBe(5);
  },
  180_000,
);

type JsonRow = Row & { node: string; uuid?: string };
