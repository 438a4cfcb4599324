import { describe, expect, test } from "bun:test";
import { BlockDeviceEraseError, HostDiskError, IncompatibleHardwareMethodError } from "../../src/errors.ts";
import type { JsonObject } from "../../src/json.ts";
import { eraseDevice } from "../../src/steps/erase-device.ts";
import { createSystem } from "../../src/system/real.ts";
import { AtaDrive, type AtaDriveOptions } from "../disk/ata-drive.ts";
import { recordedOutput } from "../disk/recording/sessions.ts";
import { loopDevice, noLoopDevices } from "../support/loop-device.ts";
import { rejection, thrower } from "../support/rejection.ts";
import { type EraseMachine, eraseContext, eraseDisk, eraseMachine } from "./erase-support.ts";

const mustKeep = async () => null;

function erase(machine: EraseMachine, device: string, settings: JsonObject = {}) {
  return eraseDevice({ ...eraseContext(machine.system, settings), mustKeep }, eraseDisk(device));
}

/** A machine whose one disk has ATA security, and which really forgets when it is erased. */
function ataMachine(options: AtaDriveOptions = {}) {
  const drive = new AtaDrive(options);
  const hdparm = drive.programs.hdparm as (argv: readonly string[]) => object;
  const machine: EraseMachine = eraseMachine(["/dev/sda"], {
    ...drive.programs,
    hdparm: (argv) => {
      const answer = hdparm(argv);
      if (drive.erased !== null) machine.content.get("/dev/sda")?.fill(0xff);
      return answer;
    },
  });
  return { drive, machine };
}

describe("the record", () => {
  test("of an overwritten disk says what, how, with which words, and what was found afterwards", async () => {
    const machine = eraseMachine(["/dev/sda"]);
    expect(await erase(machine, "/dev/sda")).toEqual({
      ...{ serial: "SN-sda", model: "MODEL", size: 256 * 1024, method: "shred" },
      started_at: "2027-01-15T08:00:00.000Z",
      seconds: expect.any(Number) as never,
      output: "shred: /dev/sda: pass 1/1 (000000)...",
      verification: {
        checked: true,
        places: expect.any(Number) as never,
        blank: expect.any(Number) as never,
        changed: 0,
        unchanged: 0,
        unreadable: 0,
      },
    });
  });

  test("of a disk erased by its firmware names the firmware's way", async () => {
    const enhanced = ataMachine();
    expect(await erase(enhanced.machine, "/dev/sda")).toMatchObject({
      method: "ata-secure-erase-enhanced",
      verification: { checked: true, unchanged: 0 },
    });
    expect(enhanced.machine.destructive().some((line) => line.startsWith("shred"))).toBe(false);
    const plain = ataMachine({ enhanced: false });
    expect(await erase(plain.machine, "/dev/sda")).toMatchObject({ method: "ata-secure-erase" });
  });

  test("names what was tried before", async () => {
    const { machine } = ataMachine({ frozen: true });
    const record = await erase(machine, "/dev/sda", { agent_continue_if_secure_erase_failed: true });
    expect(record).toMatchObject({
      method: "shred",
      tried_before: [expect.stringContaining("/dev/sda is frozen") as never],
    });
  });
});

describe("a secure erase that fails", () => {
  // hardware 13.61
  test("is the end for this manager, with the reason, unless overwriting instead is enabled", async () => {
    const { machine } = ataMachine({ frozen: true });
    const failed = erase(machine, "/dev/sda");
    expect(await rejection(failed)).toBeInstanceOf(IncompatibleHardwareMethodError);
    expect(await thrower(failed)).toThrow(/overwriting it instead is not enabled .*\/dev\/sda is frozen/);
    expect(machine.destructive()).toEqual([]);
    const isShredded = async (settings: JsonObject) => {
      const { machine: other } = ataMachine({ frozen: true });
      await rejection(erase(other, "/dev/sda", settings)).catch(() => null);
      return other.destructive().includes("shred /dev/sda");
    };
    expect(await isShredded({ agent_continue_if_ata_erase_failed: true })).toBe(true);
    // The newer switch wins where it is set; null is not set.
    const [older, newer] = ["agent_continue_if_ata_erase_failed", "agent_continue_if_secure_erase_failed"];
    expect(await isShredded({ [older!]: true, [newer!]: false })).toBe(false);
    expect(await isShredded({ [older!]: true, [newer!]: null })).toBe(true);
  });

  test("is not tried where the node does not want it", async () => {
    const { machine } = ataMachine({ frozen: true });
    expect(await erase(machine, "/dev/sda", { agent_enable_ata_secure_erase: false })).toMatchObject({
      method: "shred",
    });
    expect(machine.recorded.calls.some(([program]) => program === "hdparm")).toBe(false);
  });
});

describe("NVMe", () => {
  const files = {
    "/sys/devices/nvme0n1/device": { link: "../nvme0" },
    "/sys/devices/nvme0/nvme0n1": { directory: true },
    "/sys/devices/nvme0/nvme0n2": { directory: true },
  } as const;

  async function controller(fna: number): Promise<EraseMachine> {
    const { stdout } = await recordedOutput("erase", "nvme id-ctrl /dev/nvme0n1 -o json");
    const identity = { stdout: JSON.stringify({ ...JSON.parse(stdout), fna }) };
    const machine: EraseMachine = eraseMachine(
      ["/dev/nvme0n1"],
      {
        nvme: (argv) => {
          if (argv[1] === "id-ctrl") return identity;
          machine.content.get("/dev/nvme0n1")?.fill(0);
          return { stdout: "Success formatting namespace:1\n" };
        },
      },
      files,
    );
    return machine;
  }

  // hardware 13.62
  test("is formatted by its controller, and hdparm never sees it", async () => {
    const machine = await controller(0);
    expect(await erase(machine, "/dev/nvme0n1")).toMatchObject({
      method: "nvme-format-user-data",
      output: "Success formatting namespace:1",
    });
    expect(machine.recorded.calls.some(([program]) => program === "hdparm" || program === "smartctl")).toBe(
      false,
    );
    expect(await erase(await controller(4), "/dev/nvme0n1")).toMatchObject({ method: "nvme-format-crypto" });
    const unwanted = await controller(0);
    const settings = { agent_enable_nvme_secure_erase: false };
    expect(await erase(unwanted, "/dev/nvme0n1", settings)).toMatchObject({ method: "shred" });
  });

  test("is sanitized where the agent's option wants that and the controller can", async () => {
    const identity = await recordedOutput("erase", "nvme id-ctrl /dev/nvme0n1 -o json");
    const able = { stdout: JSON.stringify({ ...JSON.parse(identity.stdout), sanicap: 2 }) };
    const machine: EraseMachine = eraseMachine(
      ["/dev/nvme0n1"],
      {
        nvme: (argv) => {
          if (argv[1] === "id-ctrl") return able;
          if (argv[1] === "sanitize") machine.content.get("/dev/nvme0n1")?.fill(0);
          return { stdout: '{"nvme0n1": {"sprog": 65535, "sstat": {"status": "(1) Done"}}}' };
        },
      },
      files,
    );
    const sanitized = (keep: string | null) =>
      eraseDevice(
        { ...eraseContext(machine.system, {}, { nvme_sanitize: true }), mustKeep: async () => keep },
        eraseDisk("/dev/nvme0n1"),
      );
    // Every namespace goes with it.
    expect(await thrower(sanitized("read-only"))).toThrow(
      /\/dev\/nvme0n2 must keep its data: it is read-only/,
    );
    expect(machine.recorded.calls.some((argv) => argv[1] === "sanitize")).toBe(false);
    expect(await sanitized(null)).toMatchObject({ method: "nvme-sanitize-block", output: "Done" });
    expect(machine.destructive().some((line) => line.startsWith("nvme /dev"))).toBe(false);
  });

  test("is not formatted when that would erase a namespace that must stay", async () => {
    const machine = await controller(2);
    const context = {
      ...eraseContext(machine.system),
      mustKeep: async (device: string) => (device === "/dev/nvme0n2" ? "in skip_block_devices" : null),
    };
    const failed = eraseDevice(context, eraseDisk("/dev/nvme0n1"));
    expect(await thrower(failed)).toThrow(/\/dev\/nvme0n2 must keep its data: it is in skip_block_devices/);
    expect(machine.destructive()).toEqual([]);
    // A controller that erases one namespace at a time is not asked about the others.
    const single = await controller(0);
    expect(await eraseDevice({ ...context, system: single.system }, eraseDisk("/dev/nvme0n1"))).toMatchObject(
      {
        method: "nvme-format-user-data",
      },
    );
  });
});

describe("left alone", () => {
  // hardware 13.63
  test("read-only disks are an error, unless the node wants them skipped", async () => {
    const machine = eraseMachine(["/dev/sda"], {}, { "/sys/devices/sda/ro": "1\n" });
    const failed = erase(machine, "/dev/sda");
    expect(await rejection(failed)).toBeInstanceOf(BlockDeviceEraseError);
    expect(await thrower(failed)).toThrow(/\/dev\/sda is read-only/);
    const record = await erase(machine, "/dev/sda", { agent_erase_skip_read_only: true });
    expect(record).toEqual({
      serial: "SN-sda",
      model: "MODEL",
      size: 256 * 1024,
      method: "none",
      reason: "read-only",
    });
    expect(machine.destructive()).toEqual([]);
  });

  // hardware 13.64, 13.65
  test("virtual media, members of arrays, and what nobody can tell of", async () => {
    const machine = eraseMachine(
      ["/dev/sda", "/dev/sdb", "/dev/sdc", "/dev/md0"],
      {
        "lsblk --fs --noheadings /dev/sdb": { stdout: "sdb\n└─sdb1 linux_raid_member 1.2 node:root\n" },
        "lsblk --fs --noheadings /dev/sdc": { exitCode: 32 },
      },
      { "/dev/disk/by-label/ir-vfd-dev": { link: "../../sda" } },
    );
    const methods = [];
    for (const device of ["/dev/sda", "/dev/sdb", "/dev/sdc", "/dev/md0"])
      methods.push((await erase(machine, device)).method);
    expect(methods).toEqual(["none", "none", "none", "shred"]);
    expect(machine.destructive()).toEqual(["shred /dev/md0"]);
  });

  test("disks of the running system", async () => {
    const machine = eraseMachine(
      ["/dev/sda"],
      {},
      {
        "/proc/self/mountinfo": "1 1 0:2 / / rw - rootfs rootfs rw\n2 1 8:0 / /mnt rw - ext4 /dev/sda rw\n",
      },
    );
    expect(await rejection(erase(machine, "/dev/sda"))).toBeInstanceOf(HostDiskError);
    expect(machine.destructive()).toEqual([]);
  });
});

describe("the disk is asked afterwards", () => {
  test("and one that still holds what it held is an error, whatever the tool said", async () => {
    const lying = eraseMachine(["/dev/sda"], { shred: {} });
    const failed = erase(lying, "/dev/sda");
    expect(await rejection(failed)).toBeInstanceOf(BlockDeviceEraseError);
    expect(await thrower(failed)).toThrow(/\/dev\/sda is not erased although shred ended without an error/);
    const drive = new AtaDrive();
    const firmware = eraseMachine(["/dev/sda"], drive.programs);
    expect(await thrower(erase(firmware, "/dev/sda"))).toThrow(
      /ata-secure-erase-enhanced .* hold what they held before/,
    );
  });

  test("random passes are changes, zeros are blank", async () => {
    const machine = eraseMachine(["/dev/sda"]);
    const record = await erase(machine, "/dev/sda", { agent_erase_devices_zeroize: false });
    expect(record.verification).toMatchObject({ checked: true, blank: 0, unchanged: 0 });
    // Half of it was not overwritten with zeros.
    const half = eraseMachine(["/dev/sda"], {
      shred: () => {
        half.content.get("/dev/sda")?.fill(0, 0, 4096);
        return {};
      },
    });
    expect(await thrower(erase(half, "/dev/sda"))).toThrow(/are not blank/);
  });

  test("a check that cannot be made is told, and is no error", async () => {
    const machine = eraseMachine(["/dev/sda"], { blockdev: { exitCode: 1, stderr: "no ioctl" } });
    expect((await erase(machine, "/dev/sda")).verification).toEqual({
      checked: false,
      reason: expect.stringContaining("no ioctl") as never,
    });
  });
});

// hardware 13.57
test("a disk that cannot be overwritten is nobody's, with the tool's words", async () => {
  const machine = eraseMachine(["/dev/sda"], {
    shred: { exitCode: 1, stderr: "shred: /dev/sda: error writing at offset 512: Input/output error" },
  });
  const failed = erase(machine, "/dev/sda");
  expect(await rejection(failed)).toBeInstanceOf(IncompatibleHardwareMethodError);
  expect(await thrower(failed)).toThrow(
    /\/dev\/sda could not be overwritten .*error writing at offset 512.*data is left on it\. \/dev\/sda is model .*, serial number /,
  );
});

describe.skipIf(noLoopDevices !== null)("on a real disk", () => {
  test.each([512, 4096] as const)(
    "of %d byte sectors: overwritten, checked, recorded",
    async (sectorSize) => {
      await using disk = await loopDevice(8 * 2 ** 20, sectorSize);
      await Bun.write(
        disk.backingFile,
        new Uint8Array(disk.size).map((_, index) => index % 253),
      );
      const system = createSystem({
        name: "t",
        debug: false,
        json: false,
        file: "/dev/null",
        stream: "stderr",
      });
      const context = { ...eraseContext(system, {}, { allow_host_disks: true }), mustKeep };
      const record = await eraseDevice(context, eraseDisk(disk.path, disk.size));
      expect(record).toMatchObject({
        method: "shred",
        verification: { checked: true, unchanged: 0, unreadable: 0 },
      });
      expect(context.reports.length).toBeGreaterThan(1);
      expect((await Bun.file(disk.backingFile).bytes()).every((byte) => byte === 0)).toBe(true);
    },
  );
});
