import { expect, test } from "bun:test";
import { udevLogs } from "../../src/hardware/udev-logs.ts";
import { recordedSystem } from "../support/recorded-system.ts";

// control-plane 9.2, member udev/<kname>
test("one JSON object per block device that udev knows", async () => {
  const system = recordedSystem({
    files: {
      "/sys/class/block/sda/dev": "8:0\n",
      "/sys/class/block/sda1/dev": "8:1\n",
      "/sys/class/block/loop0/dev": "7:0\n",
      "/run/udev/data/b8:0": "S:disk/by-id/x\nE:ID_SERIAL=WD-1\nE:ID_MODEL=a=b\n",
      "/run/udev/data/b8:1": "E:ID_PART_ENTRY_NUMBER=1\n",
    },
  });
  const logs = await udevLogs(system);
  expect(Object.keys(logs)).toEqual(["udev/sda", "udev/sda1"]);
  expect(JSON.parse(logs["udev/sda"]!)).toEqual({ ID_SERIAL: "WD-1", ID_MODEL: "a=b" });
});
