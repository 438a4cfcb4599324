import { expect, test } from "bun:test";
import { BlockDeviceError, DeviceNotFound } from "../../src/errors.ts";
import { waitForDisks } from "../../src/hardware/wait-for-disks.ts";
import { recordedSystem } from "../support/recorded-system.ts";
import { thrower } from "../support/rejection.ts";

/** Waits for a disk that appears at attempt `appears` (0: never). */
async function wait(appears: number, attempts: number) {
  const system = recordedSystem();
  let asked = 0;
  const find = async () => {
    asked += 1;
    if (asked !== appears) throw new DeviceNotFound("nothing yet");
    return "/dev/sda";
  };
  await waitForDisks({ find, attempts, delay: 3, clock: system.clock, log: system.log });
  const warnings = system.records.filter(({ level }) => level === "WARNING").map(({ message }) => message);
  return { asked, sleeps: system.sleeps, warnings };
}

// hardware 13.36
test("ten attempts sleep nine times, then warn", async () => {
  const { asked, sleeps, warnings } = await wait(0, 10);
  expect(asked).toBe(10);
  expect(sleeps).toEqual(Array(9).fill(3));
  expect(warnings).toEqual(["the root disk did not appear within 27 seconds: nothing yet"]);
});

test("success at the second attempt sleeps once and does not warn", async () => {
  expect(await wait(2, 10)).toEqual({ asked: 2, sleeps: [3], warnings: [] });
});

test("no attempts: nobody is asked", async () => {
  expect(await wait(1, 0)).toEqual({ asked: 0, sleeps: [], warnings: [] });
});

test("other errors are not waited away", async () => {
  const { clock, log } = recordedSystem();
  const find = async () => {
    throw new BlockDeviceError("lsblk printed no JSON");
  };
  expect(await thrower(waitForDisks({ find, attempts: 10, delay: 3, clock, log }))).toThrow(
    "lsblk printed no JSON",
  );
});
