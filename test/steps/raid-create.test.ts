import { describe, expect, test } from "bun:test";
import { CommandExecutionError, HostDiskError, SoftwareRAIDError } from "../../src/errors.ts";
import type { JsonObject } from "../../src/json.ts";
import { applyConfigurationStep, createConfigurationStep } from "../../src/steps/raid-steps.ts";
import type { StepContext } from "../../src/steps/step.ts";
import { rejection, thrower } from "../support/rejection.ts";
import { RaidMachine } from "./raid-machine.ts";
import { harness, software } from "./raid-support.ts";

const BIOS = { properties: { capabilities: "boot_mode:bios" } };
const MIRROR = { raid_level: "1", size_gb: 1 };
const MIRROR_ALL = { raid_level: "1", size_gb: "MAX" };

function create(
  machine: RaidMachine,
  config: JsonObject,
  node: JsonObject = BIOS,
  options = {},
  spared: ReadonlySet<string> = new Set(),
) {
  const target = { ...node, target_raid_config: config };
  const { context, host, ...rest } = harness(machine, target, options, spared);
  return { ...rest, run: () => createConfigurationStep(host).run(context as StepContext, {}) };
}

function apply(machine: RaidMachine, args: JsonObject) {
  const { context, host } = harness(machine, BIOS);
  return applyConfigurationStep(host).run(context as StepContext, args);
}

// hardware 13.74
test("in BIOS mode: tables and starts of all disks, partitions disk by disk, then the arrays", async () => {
  const machine = new RaidMachine(["sda", "sdb"]);
  const config = software(MIRROR, { raid_level: "0", size_gb: "MAX" });
  const { run } = create(machine, config);
  // contract 4.3: the configuration itself, or Ironic fails the step.
  expect(await run()).toEqual(config);
  expect(machine.commands).toEqual([
    "parted /dev/sda -s -- mklabel msdos",
    "sgdisk -F /dev/sda",
    "parted /dev/sdb -s -- mklabel msdos",
    "sgdisk -F /dev/sdb",
    "parted /dev/sda -s -a optimal -- mkpart primary 2048s 1GiB",
    "parted /dev/sdb -s -a optimal -- mkpart primary 2048s 1GiB",
    "parted /dev/sda -s -a optimal -- mkpart primary 1GiB -1",
    "parted /dev/sdb -s -a optimal -- mkpart primary 1GiB -1",
    "mdadm --create /dev/md0 --force --run --metadata=1 --level 1 --name md0 --raid-devices 2 /dev/sda1 /dev/sdb1",
    "mdadm --create /dev/md1 --force --run --metadata=1 --level 0 --name md1 --raid-devices 2 /dev/sda2 /dev/sdb2",
  ]);
});

// hardware 13.74, 13.75
test("UEFI and GPT in BIOS mode leave their room in front", async () => {
  const made = async (capabilities: string) => {
    const machine = new RaidMachine(["sda", "sdb"]);
    await create(machine, software(MIRROR, { ...MIRROR, size_gb: 2 }), {
      properties: { capabilities },
    }).run();
    return machine.commands.filter((line) => line.includes("/dev/sda -s"));
  };
  expect(await made("boot_mode:uefi")).toEqual([
    "parted /dev/sda -s -- mklabel gpt",
    "parted /dev/sda -s -a optimal -- mkpart primary 551MiB 1GiB",
    "parted /dev/sda -s -a optimal -- mkpart primary 1GiB 3GiB",
  ]);
  expect((await made("boot_mode:bios,disk_label:gpt")).slice(0, 2)).toEqual([
    "parted /dev/sda -s -- mklabel gpt",
    "parted /dev/sda -s -a optimal -- mkpart primary 8MiB 1GiB",
  ]);
});

// hardware 13.76
test("what takes the rest comes last, and the arrays are numbered in that order", async () => {
  const machine = new RaidMachine(["sda", "sdb"]);
  await create(
    machine,
    software({ ...MIRROR_ALL, volume_name: "big" }, { ...MIRROR, volume_name: "small" }),
  ).run();
  expect(machine.commands.filter((line) => line.includes("--create"))).toEqual([
    expect.stringMatching(/--create \/dev\/md0 .* --name small .* \/dev\/sda1 \/dev\/sdb1$/),
    expect.stringMatching(/--create \/dev\/md1 .* --name big .* \/dev\/sda2 \/dev\/sdb2$/),
  ]);
});

// hardware 13.77
test("1+0 is level 10, and NVMe's partitions have a p", async () => {
  const machine = new RaidMachine(["nvme0n1", "nvme1n1"]);
  await create(machine, software(MIRROR, { raid_level: "1+0", size_gb: "MAX" })).run();
  expect(machine.commands.at(-1)).toMatch(/--level 10 .* \/dev\/nvme0n1p2 \/dev\/nvme1n1p2$/);
});

describe("physical_disks", () => {
  const on = (...names: string[]) => names.map((name) => ({ name: `/dev/${name}` }));

  // hardware 13.78
  test("on different disks make every first partition number 1", async () => {
    const machine = new RaidMachine(["sda", "sdb", "sdc", "sdd"]);
    const config = software(
      { ...MIRROR_ALL, physical_disks: on("sdd", "sdb") },
      { ...MIRROR, physical_disks: on("sda", "sdc") },
    );
    await create(machine, config).run();
    expect(machine.arrays).toEqual({ md0: ["sda1", "sdc1"], md1: ["sdd1", "sdb1"] });
  });

  test("take the first disk that is not taken yet", async () => {
    const machine = new RaidMachine(["sda", "sdb", "sdc"]);
    await create(machine, software({ ...MIRROR, physical_disks: [{ size: 1 }, { size: 1 }] })).run();
    expect(machine.arrays).toEqual({ md0: ["sda1", "sdb1"] });
  });

  // hardware 13.78
  test("that mean the same disk twice, or none, are errors before anything is written", async () => {
    const machine = new RaidMachine(["sda", "sdb"]);
    const twice = create(machine, software({ ...MIRROR, physical_disks: on("sda", "sda") })).run();
    expect(await rejection(twice)).toBeInstanceOf(SoftwareRAIDError);
    expect(await thrower(twice)).toThrow(
      /No disk is left for physical_disks {"name":"\/dev\/sda"}: it matches only \/dev\/sda/,
    );
    const none = create(machine, software({ ...MIRROR, physical_disks: on("sda", "sdz") })).run();
    expect(await thrower(none)).toThrow(/it matches none of \/dev\/sda, \/dev\/sdb/);
    expect(machine.commands).toEqual([]);
  });
});

test("a disk that is to be left alone is none of all disks, and hints do not find it", async () => {
  const spared = new Set(["/dev/sdb"]);
  const machine = new RaidMachine(["sda", "sdb", "sdc"]);
  await create(machine, software(MIRROR), BIOS, {}, spared).run();
  expect(machine.arrays).toEqual({ md0: ["sda1", "sdc1"] });
  expect(machine.commands.filter((line) => line.includes("sdb"))).toEqual([]);
  const hints = [{ name: "/dev/sda" }, { name: "/dev/sdb" }];
  const hinted = create(
    new RaidMachine(["sda", "sdb"]),
    software({ ...MIRROR, physical_disks: hints }),
    BIOS,
    {},
    spared,
  );
  expect(await thrower(hinted.run())).toThrow(/it matches none of \/dev\/sda/);
  const three = create(
    new RaidMachine(["sda", "sdb", "sdc"]),
    software(MIRROR, { raid_level: "5", size_gb: 1 }),
    BIOS,
    {},
    spared,
  );
  expect(await thrower(three.run())).toThrow(/level 5 needs at least 3 disks, and the machine has 2/);
});

describe("refused with nothing written", () => {
  // hardware 13.79
  test("where disks have partitions; all of them are named", async () => {
    const machine = new RaidMachine(["sda", "sdb", "sdc"]);
    machine.addPartition("sda");
    machine.addPartition("sdc");
    const { run } = create(machine, software(MIRROR));
    expect(await thrower(run())).toThrow(/Partitions were detected on devices \/dev\/sda, \/dev\/sdc,/);
    expect(machine.commands).toEqual([]);
  });

  test("where a disk has partitions that do not end on it, as one moved from a larger disk", async () => {
    const machine = new RaidMachine(["sda", "sdb"]);
    const { blockDevices } = machine.system;
    const sector = new Uint8Array(512);
    sector.set([0x55, 0xaa], 510);
    // Type 83, from sector 2048 on, 2^31 sectors.
    sector.set([0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0x80], 446);
    const moved: typeof blockDevices = {
      open: async (path, mode) => {
        const device = await blockDevices.open(path, mode);
        if (path !== "/dev/sdb") return device;
        const read = async (buffer: Uint8Array, offset: number) => {
          buffer.set(sector.subarray(offset, offset + buffer.length));
          return buffer.length;
        };
        return { ...device, read };
      },
    };
    Object.assign(machine.system, { blockDevices: moved });
    const { run } = create(machine, software(MIRROR));
    expect(await thrower(run())).toThrow(/Partitions were detected on devices \/dev\/sdb,/);
    expect(machine.commands).toEqual([]);
  });

  test("where a whole disk is part of an array", async () => {
    const machine = new RaidMachine(["sda", "sdb"]);
    machine.addArray("md7", ["sda", "sdb"], "host:theirs");
    expect(await thrower(create(machine, software(MIRROR)).run())).toThrow(
      /\/dev\/sda \(part of \/dev\/md7\)/,
    );
    expect(machine.commands).toEqual([]);
  });

  test("where the machine has one disk, besides the medium it was booted with", async () => {
    const machine = new RaidMachine(["sda", "sdb"], {
      "/dev/disk/by-label/ir-vfd-dev": { link: "../../sdb" },
    });
    expect(await thrower(create(machine, software(MIRROR)).run())).toThrow(
      /at least two disks; there are: \/dev\/sda/,
    );
  });

  test("where a disk is smaller than the sum of what is to be on it", async () => {
    const machine = new RaidMachine(["sda", "sdb"]);
    const { run } = create(machine, software({ ...MIRROR, size_gb: 3 }, { ...MIRROR, size_gb: 2 }));
    expect(await thrower(run())).toThrow(/\/dev\/sda has 4\.0 GiB, and the logical disks on it need 5 GiB/);
    expect(machine.commands).toEqual([]);
  });

  test("outside a ramdisk", async () => {
    const machine = new RaidMachine(["sda", "sdb"], {
      "/proc/self/mountinfo": "1 1 9:9 / / rw - nfs server:/root rw\n",
    });
    expect(await rejection(create(machine, software(MIRROR)).run())).toBeInstanceOf(HostDiskError);
    expect(machine.commands).toEqual([]);
  });

  test("where the node has no configuration, or an empty one", async () => {
    const machine = new RaidMachine(["sda", "sdb"]);
    for (const node of [{}, { target_raid_config: null }, { target_raid_config: {} }]) {
      const { context, host } = harness(machine, node);
      const run = createConfigurationStep(host).run(context as StepContext, {});
      expect(await rejection(run)).toBeInstanceOf(SoftwareRAIDError);
      expect(await thrower(run)).toThrow(/Node node-1 has no target_raid_config/);
    }
  });
});

test("a configuration of another controller is nobody's work here", async () => {
  const machine = new RaidMachine(["sda", "sdb"]);
  expect(await create(machine, { logical_disks: [{ ...MIRROR, controller: "RAID.1" }] }).run()).toEqual({});
  expect(machine.commands).toEqual([]);
});

// hardware 13.80
test("a member that mdadm forgot is added; one that cannot be is an error", async () => {
  const machine = new RaidMachine(["sda", "sdb"]);
  machine.forgotten.add("sdb1");
  await create(machine, software(MIRROR)).run();
  expect(machine.commands.at(-1)).toBe("mdadm --add /dev/md0 /dev/sdb1");
  expect(machine.arrays).toEqual({ md0: ["sda1", "sdb1"] });

  const failing = new RaidMachine(["sda", "sdb"]);
  failing.forgotten.add("sdb1");
  failing.failing.add("mdadm --add /dev/md0 /dev/sdb1");
  expect(await thrower(create(failing, software(MIRROR)).run())).toThrow(
    /array \/dev\/md0 \(md0, level 1\) of \/dev\/sda1, \/dev\/sdb1/,
  );
});

test("an old array that comes up from a superblock at the same place is stopped first", async () => {
  const machine = new RaidMachine(["sda", "sdb"]);
  const { run } = create(machine, software(MIRROR));
  // udev does this between mkpart and mdadm: the table is new, the superblock behind it is not.
  const system = machine.system as { run: typeof machine.system.run };
  const original = system.run;
  system.run = async (argv, options) => {
    const result = await original(argv, options);
    if (argv.includes("mkpart") && argv[1] === "/dev/sdb")
      machine.addArray("md127", ["sda1", "sdb1"], "old:root");
    return result;
  };
  await run();
  expect(machine.arrays).toEqual({ md0: ["sda1", "sdb1"] });
  expect(machine.commands.slice(-4)).toEqual([
    "mdadm --stop /dev/md127",
    "mdadm --zero-superblock /dev/sda1",
    "mdadm --zero-superblock /dev/sdb1",
    expect.stringMatching(/^mdadm --create \/dev\/md0 /) as never,
  ]);
});

test("tools that fail are named with the disk", async () => {
  const label = new RaidMachine(["sda", "sdb"]);
  label.failing.add("parted /dev/sdb -s -- mklabel msdos");
  expect(await rejection(create(label, software(MIRROR)).run())).toBeInstanceOf(CommandExecutionError);
  const partition = new RaidMachine(["sda", "sdb"]);
  partition.failing.add("parted /dev/sdb -s -a optimal -- mkpart primary 2048s 1GiB");
  expect(await thrower(create(partition, software(MIRROR)).run())).toThrow(
    /from 2048s to 1GiB on \/dev\/sdb/,
  );
});

// hardware 13.34
test("whether the operating system goes to an array is remembered, if the operator said so", async () => {
  const machine = new RaidMachine(["sda", "sdb"]);
  const config = software(
    { ...MIRROR, is_root_volume: true },
    { ...MIRROR_ALL, raid_level: "0", is_root_volume: false },
  );
  const { run, volumes } = create(machine, config);
  await run();
  expect(volumes).toEqual(["/dev/md0 true", "/dev/md1 false"]);
  const silent = create(new RaidMachine(["sda", "sdb"]), software(MIRROR));
  await silent.run();
  expect(silent.volumes).toEqual([]);
});

describe("apply_configuration", () => {
  // hardware 13.83
  test("deletes first, unless told not to", async () => {
    const config = software(MIRROR);
    const machine = new RaidMachine(["sda", "sdb"]);
    expect(await apply(machine, { raid_config: config, delete_existing: false })).toEqual(config);
    expect(machine.commands.some((line) => /--assemble|--stop|--zero|wipefs/.test(line))).toBe(false);
    expect(await apply(machine, { raid_config: config })).toEqual(config);
    expect(machine.commands.filter((line) => line.includes("--stop"))).toEqual(["mdadm --stop /dev/md0"]);
    expect(machine.arrays).toEqual({ md0: ["sda1", "sdb1"] });
  });

  test("deletes nothing for a configuration that is empty or wrong", async () => {
    const machine = new RaidMachine(["sda", "sdb"]);
    machine.addArray("md0", ["sda", "sdb"], "node:root");
    for (const raid_config of [{}, null, "MAX", software({ ...MIRROR, raid_level: "5" })])
      expect(await rejection(apply(machine, { raid_config }))).toBeInstanceOf(SoftwareRAIDError);
    const flag = apply(machine, { raid_config: software(MIRROR), delete_existing: "false" });
    expect(await thrower(flag)).toThrow(/delete_existing must be true or false/);
    expect(machine.commands).toEqual([]);
  });
});
