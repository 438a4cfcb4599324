// That udev leaves such an array inactive, and that mdadm starts it so, was seen in a QEMU machine with Debian 12.

import { expect, test } from "bun:test";
import { startDegradedArrays } from "../../src/hardware/degraded-arrays.ts";
import { type RecordedFile, recordedSystem } from "../support/recorded-system.ts";
import { rejection } from "../support/rejection.ts";

function arrays(states: Readonly<Record<string, readonly [state: string, metadata: string]>>) {
  const files: Record<string, RecordedFile> = {};
  for (const [index, [name, [state, metadata]]] of Object.entries(states).entries()) {
    files[`/dev/${name}`] = { device: { major: 9, minor: index } };
    files[`/sys/dev/block/9:${index}`] = { link: `../../devices/virtual/block/${name}` };
    files[`/sys/class/block/${name}`] = { link: `../../devices/virtual/block/${name}` };
    files[`/sys/devices/virtual/block/${name}/md/array_state`] = `${state}\n`;
    files[`/sys/devices/virtual/block/${name}/md/metadata_version`] = `${metadata}\n`;
  }
  const recorded = recordedSystem({
    files,
    programs: {
      // As the recorded one: what can run runs, and mdadm fails if something cannot.
      "mdadm --incremental --run --scan": () => {
        change("read-auto");
        return {};
      },
    },
  });
  const fileMap = recorded.fileMap as Map<string, RecordedFile>;
  const change = (state: string) =>
    fileMap.set("/sys/devices/virtual/block/md127/md/array_state", `${state}\n`);
  return { ...recorded, change };
}

const INACTIVE = ["inactive", "1.2"] as const;

test("an array that lacks a member is started after half a minute, and one that cannot run is named", async () => {
  const system = arrays({ md127: INACTIVE, md126: INACTIVE, md0: ["clean", "1.2"] });
  await startDegradedArrays(system);
  expect(system.sleeps).toHaveLength(30);
  expect(system.calls).toEqual([["mdadm", "--incremental", "--run", "--scan"]]);
  expect(system.records.map(({ level, message }) => `${level} ${message}`).slice(1)).toEqual([
    "WARNING started /dev/md127, members of which are missing",
    "WARNING /dev/md126 cannot be started without the members that are missing",
  ]);
});

test("a member that comes late is waited for, and nothing is started without it", async () => {
  const system = arrays({ md127: INACTIVE });
  const clock = {
    ...system.clock,
    sleep: async () => void system.change("clean"),
  };
  await startDegradedArrays({ ...system, clock });
  expect(system.calls).toEqual([]);
});

test("nothing waits for the container of a firmware RAID, which is never active", async () => {
  const system = arrays({ md127: ["inactive", "external:imsm"], md126: ["active", "external:/md127/0"] });
  await startDegradedArrays(system);
  expect([system.sleeps, system.calls]).toEqual([[], []]);
});

test("a machine that is being switched off is not held up", async () => {
  const system = arrays({ md127: INACTIVE });
  const starting = startDegradedArrays(system, AbortSignal.abort(new Error("enough")));
  expect(await rejection(starting)).toMatchObject({ message: "enough" });
});
