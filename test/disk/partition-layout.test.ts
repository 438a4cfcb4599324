import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import fc from "fast-check";
import {
  type LayoutRequest,
  layoutFault,
  layoutMismatch,
  partedArguments,
  planPartitions,
} from "../../src/disk/partition-layout.ts";
import { tool } from "../support/loop-device.ts";

const MEBIBYTE = 1024 * 1024;

const REQUEST: LayoutRequest = {
  bootMode: "bios",
  label: "msdos",
  netboot: false,
  ephemeralMiB: 0,
  swapMiB: 0,
  configDriveMiB: 0,
  rootMiB: 5000,
  efiSystemPartitionMiB: 550,
  biosBootPartitionMiB: 1,
};

const rolesOf = (request: Partial<LayoutRequest>) =>
  planPartitions({ ...REQUEST, ...request }).partitions.map(({ number, role, startMiB, sizeMiB, flags }) =>
    `${number} ${role} ${startMiB}+${sizeMiB} ${flags}`.trim(),
  );

test("deploy 3.3: the partitions by boot mode and label, root always last", () => {
  expect(rolesOf({})).toEqual(["1 root 1+5000 boot"]);
  expect(rolesOf({ label: "gpt" })).toEqual(["1 BIOS Boot partition 1+1 bios_grub", "2 root 2+5000"]);
  expect(
    rolesOf({ bootMode: "uefi", label: "gpt", ephemeralMiB: 1024, swapMiB: 512, configDriveMiB: 1 }),
  ).toEqual([
    "1 efi system partition 1+550 boot",
    "2 ephemeral 551+1024",
    "3 swap 1575+512",
    "4 configdrive 2087+1",
    "5 root 2088+5000",
  ]);
});

test("deploy 11.53: a node that boots from the network gets no boot partition and no boot flag", () => {
  expect(rolesOf({ netboot: true })).toEqual(["1 root 1+5000"]);
  expect(rolesOf({ netboot: true, bootMode: "uefi", label: "gpt" })).toEqual(["1 root 1+5000"]);
});

test("deploy 3.4: one parted call, with an empty word for no file system", () => {
  const layout = planPartitions({ ...REQUEST, swapMiB: 512 });
  expect(partedArguments("/dev/sda", layout).join(" ")).toBe(
    "-a optimal -s /dev/sda -- unit MiB mklabel msdos mkpart primary linux-swap 1 513 " +
      "mkpart primary  513 5513 set 2 boot on",
  );
});

test("deploy 11.47, 11.48: what cannot work is said before the disk is touched", () => {
  const five = planPartitions({ ...REQUEST, ephemeralMiB: 1, swapMiB: 1, configDriveMiB: 1 });
  expect(layoutFault(five, 2 ** 40, 512)).toBeNull();
  const gptNeeded = {
    ...five,
    partitions: [...five.partitions, ...five.partitions.slice(0, 1)],
  };
  expect(layoutFault(gptNeeded, 2 ** 40, 512)).toContain("has room for 4; use the disk label gpt");
  expect(layoutFault(planPartitions(REQUEST), 5002 * MEBIBYTE, 512)).toBeNull();
  expect(layoutFault(planPartitions(REQUEST), 5002 * MEBIBYTE - 1, 512)).toBe(
    "the partitions need 5001 MiB (root 5000), and the disk has 5000",
  );
});

// deploy 11.48
test("an msdos table counts sectors in 32 bits, as parted says as well", async () => {
  const path = `${await mkdtemp(`${tmpdir()}/layout-`)}/disk`;
  try {
    for (const [rootMiB, swapMiB, fits] of [
      [2_097_151, 0, true],
      [2_097_152, 0, false],
      [1000, 2_097_100, true],
      [1000, 2_097_151, false],
    ] as const) {
      const layout = planPartitions({ ...REQUEST, rootMiB, swapMiB });
      const fault = layoutFault(layout, 4 * 2 ** 40, 512);
      if (fits) expect(fault).toBeNull();
      else expect(fault).toEndWith("no number above 2097151 MiB; use the disk label gpt");
      await tool("truncate", "--size=0", path);
      await tool("truncate", "--size=4T", path);
      const made = tool("parted", ...partedArguments(path, layout)).then(
        () => true,
        () => false,
      );
      expect(await made).toBe(fits);
      // Larger sectors reach further, and a GPT has no such limit.
      expect(layoutFault(layout, 4 * 2 ** 40, 4096)).toBeNull();
      expect(
        layoutFault(planPartitions({ ...REQUEST, label: "gpt", rootMiB, swapMiB }), 4 * 2 ** 40, 512),
      ).toBeNull();
    }
  } finally {
    await rm(path.replace(/\/disk$/, ""), { recursive: true });
  }
}, 60_000);

test("no two partitions overlap, and numbers have no gaps", () => {
  const size = fc.nat(10_000);
  fc.assert(
    fc.property(
      fc.record({
        bootMode: fc.constantFrom("uefi", "bios"),
        label: fc.constantFrom("gpt", "msdos"),
        netboot: fc.boolean(),
        ephemeralMiB: size,
        swapMiB: size,
        configDriveMiB: size,
        rootMiB: fc.integer({ min: 1, max: 10_000 }),
        efiSystemPartitionMiB: fc.constant(550),
        biosBootPartitionMiB: fc.constant(1),
      }),
      (request) => {
        const { partitions } = planPartitions(request as LayoutRequest);
        let end = 1;
        for (const [index, { number, startMiB, sizeMiB }] of partitions.entries()) {
          expect(number).toBe(index + 1);
          expect(startMiB).toBe(end);
          end += sizeMiB;
        }
        expect(partitions.at(-1)?.role).toBe("root");
      },
    ),
  );
});

test("deploy 3.5: a table is only the planned one if places, sizes and types are", () => {
  const layout = planPartitions({ ...REQUEST, swapMiB: 512 });
  const base = { name: "", uuid: null, active: false };
  const table = {
    label: "msdos" as const,
    partitions: [
      { ...base, number: 1, start: MEBIBYTE, size: 512 * MEBIBYTE, type: "82" },
      { ...base, number: 2, start: 513 * MEBIBYTE, size: 5000 * MEBIBYTE, type: "83" },
    ],
  };
  const [swap, root] = table.partitions as [(typeof table.partitions)[0], (typeof table.partitions)[0]];
  const mismatch = (partitions: typeof table.partitions) => layoutMismatch(layout, { ...table, partitions });
  expect(mismatch([swap, root])).toBeNull();
  expect(layoutMismatch(layout, { ...table, label: "gpt" })).toBe("its table is gpt, not msdos");
  expect(mismatch([root])).toBe("it has 1 partitions, not 2");
  expect(mismatch([swap, { ...root, start: 514 * MEBIBYTE }])).toBe(
    "partition 2 (root) has 5000 MiB at 514 MiB, not 5000 at 513",
  );
  expect(mismatch([{ ...swap, type: "83" }, root])).toBe("partition 1 (swap) has the type 83, not 82");
});
