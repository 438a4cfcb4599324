// hardware 13.90, with the real fio on loop devices.

import { describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import {
  CleaningError,
  CommandExecutionError,
  HostDiskError,
  ProtectedDeviceError,
} from "../../../src/errors.ts";
import type { JsonObject } from "../../../src/json.ts";
import { burnInDisks } from "../../../src/steps/burn-in/disk.ts";
import type { System } from "../../../src/system/system.ts";
import { loopDevice, noLoopDevices } from "../../support/loop-device.ts";
import type { RecordedProgram } from "../../support/recorded-system.ts";
import { rejection, thrower } from "../../support/rejection.ts";
import { eraseMachine } from "../erase-support.ts";
import { burnInContext, missing, realSystem } from "./support.ts";

const DISKS = ["/dev/sda", "/dev/nvme0n1"];
const FIO =
  "fio --rw readwrite --bs 4k --direct 1 --ioengine libaio --iodepth 32 --verify crc32c --verify_dump 1 --verify_state_save 0 " +
  "--continue_on_error verify";

function burnIn(system: System, driverInfo: JsonObject = {}, disks: readonly string[] = DISKS) {
  const context = burnInContext(system, driverInfo);
  return { context, ended: burnInDisks(context, async () => disks) };
}

function machine(programs: Record<string, RecordedProgram> = {}, disks: readonly string[] = DISKS) {
  const { recorded, system } = eraseMachine(disks, { fio: {}, ...programs });
  const ran = () =>
    recorded.calls.map((argv) => argv.join(" ")).filter((line) => /^(fio|smartctl)/.test(line));
  return { recorded, system, ran };
}

test("the command line without any settings, with the disks as they are listed", async () => {
  const { system, ran } = machine();
  expect(await burnIn(system).ended).toBeNull();
  expect(ran()).toEqual([`${FIO} --loops 4 --runtime 0 --time_based --name /dev/sda --name /dev/nvme0n1`]);
});

test("every setting has its place", async () => {
  const { system, ran } = machine();
  await burnIn(system, {
    agent_burnin_fio_disk_loops: "2",
    agent_burnin_fio_disk_runtime: 600,
    agent_burnin_fio_disk_outputfile: "/var/log/burnin.disk",
    agent_burnin_fio_disk_smart_test: "false",
  }).ended;
  expect(ran()).toEqual([
    `${FIO} --loops 2 --runtime 600 --time_based --output-format json --output /var/log/burnin.disk --name /dev/sda --name /dev/nvme0n1`,
  ]);
});

test("what an erase leaves alone is left alone", async () => {
  const members = { "lsblk --fs --noheadings /dev/sda": { stdout: "sda linux_raid_member\n" } };
  const one = machine(members);
  await burnIn(one.system).ended;
  expect(one.ran()).toEqual([`${FIO} --loops 4 --runtime 0 --time_based --name /dev/nvme0n1`]);
  expect(one.recorded.records.map(({ message }) => message)).toContain(
    "/dev/sda is not tested: it is a member of a RAID array",
  );
  const none = machine(members, ["/dev/sda"]);
  expect(await burnIn(none.system, {}, ["/dev/sda"]).ended).toBeNull();
  expect(none.ran()).toEqual([]);
});

test("nothing is written to a disk of the running system, nor to a file system that other machines share", async () => {
  const files = { "/proc/self/mountinfo": "1 1 8:0 / / rw - ext4 /dev/sda rw\n" };
  const host = eraseMachine(DISKS, { fio: {} }, files);
  expect(await rejection(burnIn(host.system).ended)).toBeInstanceOf(HostDiskError);
  const shared = machine({
    "lsblk -bia --json -oUUID,PTUUID,PARTTYPE,PARTUUID,FSTYPE /dev/nvme0n1": {
      stdout: '{"blockdevices": [{"uuid": null, "fstype": "gfs2"}]}',
    },
  });
  expect(await rejection(burnIn(shared.system).ended)).toBeInstanceOf(ProtectedDeviceError);
  expect(shared.ran()).toEqual([]);
  expect(host.recorded.calls.some(([program]) => program === "fio")).toBe(false);
});

test("a disk that does not give back what was written, a missing tool, and settings that mean nothing", async () => {
  const bad = machine({ fio: { exitCode: 1, stderr: "verify: bad header rand_seed" } });
  expect(await rejection(burnIn(bad.system).ended)).toBeInstanceOf(CommandExecutionError);
  expect(await thrower(burnIn(bad.system).ended)).toThrow(/fio failed: .*exit code 1.*bad header/);
  const { system } = eraseMachine(DISKS);
  expect(await thrower(burnIn(system).ended)).toThrow("fio failed: cannot run fio");
  const wrong = machine();
  const ended = burnIn(wrong.system, { agent_burnin_fio_disk_loops: "many" }).ended;
  expect(await rejection(ended)).toBeInstanceOf(CleaningError);
  expect(wrong.ran()).toEqual([]);
});

test("the self-test comes after a good run only, and only if it is wanted", async () => {
  const smartctl = { exitCode: 4, stderr: "no self-test here" };
  const good = machine({ smartctl });
  const wanted = { agent_burnin_fio_disk_smart_test: "True" };
  expect(await thrower(burnIn(good.system, wanted).ended)).toThrow("could not be started on /dev/sda");
  expect(good.ran().map((line) => line.split(" ")[0])).toEqual(["fio", "smartctl", "smartctl"]);
  const bad = machine({ smartctl, fio: { exitCode: 1 } });
  await rejection(burnIn(bad.system, wanted).ended);
  expect(bad.ran()).toHaveLength(1);
});

test("how far it is comes from what the kernel has read of the disks", async () => {
  const finish = Promise.withResolvers<object>();
  const { system } = eraseMachine(DISKS);
  let sectors = 1000;
  const watched: System = {
    ...system,
    run: async (argv, options) => {
      if (argv[0] !== "fio") return system.run(argv, options);
      await finish.promise;
      return { exitCode: 0, stdout: "", stderr: "" };
    },
    files: {
      ...system.files,
      readAttribute: async (path) => {
        if (path.endsWith("/size")) return "512";
        if (!path.endsWith("/stat")) return system.files.readAttribute(path);
        sectors += 64;
        if (sectors > 4000) finish.resolve({});
        return ` 10 0 ${sectors} 5 20 0 999999 5 0 5 5`;
      },
    },
  };
  const { context, ended } = burnIn(watched, { agent_burnin_fio_disk_loops: 3 });
  await ended;
  const total = 3 * 2 * 512 * 512;
  expect(context.reports[0]).toMatchObject({
    phase: "testing 2 disks",
    total,
    unit: "bytes",
    done: 2 * 128 * 512,
  });
  expect(context.reports[1]).toMatchObject({ done: 4 * 128 * 512 });
  expect(context.reports.every(({ done }) => done !== null && done <= total)).toBe(true);
});

describe.skipIf(noLoopDevices !== null || missing("fio") !== null)("the real fio", () => {
  test("writes over every disk and tells of each in its file", async () => {
    await using one = await loopDevice(4 * 2 ** 20);
    await using two = await loopDevice(4 * 2 ** 20, 4096);
    const directory = await mkdtemp("/tmp/burn-in-");
    try {
      const outputFile = `${directory}/fio.json`;
      const context = burnInContext(
        realSystem(),
        { agent_burnin_fio_disk_loops: 2, agent_burnin_fio_disk_outputfile: outputFile },
        { config: { allow_host_disks: true } },
      );
      expect(await burnInDisks(context, async () => [one.path, two.path])).toBeNull();
      const report = JSON.parse((await Bun.file(outputFile).text()).replace(/^[^{]*/, "")) as {
        jobs: { jobname: string; error: number; read: { io_bytes: number } }[];
      };
      // Exactly the size of the disk is read in each round: what DiskTraffic counts on.
      expect(report.jobs.map(({ jobname, error, read }) => [jobname, error, read.io_bytes])).toEqual([
        [one.path, 0, 2 * one.size],
        [two.path, 0, 2 * two.size],
      ]);
      for (const { backingFile } of [one, two])
        expect((await Bun.file(backingFile).bytes()).some((byte) => byte !== 0)).toBe(true);
    } finally {
      await rm(directory, { recursive: true });
    }
  }, 60_000);
});
