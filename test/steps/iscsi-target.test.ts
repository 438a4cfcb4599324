// start_iscsi_target on a recorded machine: with the kernel's target, whose configfs keeps a journal, and with tgtadm. For real, both
// are in test/vm/iscsi.test.ts, and tgtd in test/disk/tgt-target.test.ts.

import { describe, expect, test } from "bun:test";
import { Config } from "../../src/config/config.ts";
import type { RestError } from "../../src/errors.ts";
import { Deployment } from "../../src/steps/deployment.ts";
import {
  type IscsiRequest,
  startIscsiTarget,
  stopIscsiTarget,
  validateIscsiRequest,
} from "../../src/steps/iscsi-target.ts";
import { BlockDeviceIoError } from "../../src/system/block-device.ts";
import { recordedConfigFs } from "../support/recorded-configfs.ts";
import { type RecordedFile, type RecordedProgram, recordedSystem } from "../support/recorded-system.ts";
import { rejection } from "../support/rejection.ts";

const IQN = "iqn.2008-10.org.openstack:2289732a-7b4c-4d0f-8f63-09d1c0a3b7de";
const TARGET = "/sys/kernel/config/target";
const DISK = "/dev/vda";

const MACHINE: Record<string, RecordedFile> = {
  "/proc/self/mountinfo": "20 1 0:1 / / rw - rootfs rootfs rw\n",
  "/proc/swaps": "Filename\n",
  [DISK]: { device: { major: 254, minor: 0 } },
  "/sys/dev/block/254:0": { link: "/sys/devices/vda" },
  "/sys/devices/vda/size": "8192\n",
  "/sys/class/block/vda": { link: "/sys/devices/vda" },
  "/proc/sys/net/ipv6/conf/default/disable_ipv6": "0\n",
};
const WITH_LIO: Record<string, RecordedFile> = {
  ...MACHINE,
  "/proc/self/mountinfo": `${MACHINE["/proc/self/mountinfo"]}25 20 0:20 / /sys/kernel/config rw - configfs configfs rw\n`,
  [`${TARGET}/version`]: "Target Engine Core ConfigFS Infrastructure v5.0\n",
  [`${TARGET}/core/alua/x`]: "",
};
const NONE = { exitCode: 1, stderr: "modprobe: FATAL: Module target_core_mod not found" };

type Setup = {
  readonly files?: Readonly<Record<string, RecordedFile>>;
  readonly programs?: Readonly<Record<string, RecordedProgram>>;
  readonly request?: Partial<IscsiRequest>;
  /** Journal lines of configfs that fail, with an errno name. */
  readonly fail?: Readonly<Record<string, string>>;
  readonly busy?: boolean;
};

function machine({ files = WITH_LIO, programs, request, fail, busy }: Setup) {
  const recorded = recordedSystem({ files, programs: { modprobe: {}, sync: {}, ...programs } });
  const configfs = recordedConfigFs(recorded.files, recorded.fileMap, fail);
  const system = {
    ...recorded,
    files: configfs.files,
    blockDevices: {
      open: async (path: string) => {
        if (busy === true) throw new BlockDeviceIoError("opening", path, "EBUSY");
        return {
          ...{ path, size: 8192 * 512, sectorSize: 512 },
          read: async () => 0,
          write: async () => {},
          flush: async () => {},
          [Symbol.asyncDispose]: async () => {},
        };
      },
    },
  };
  const deployment = new Deployment();
  const refreshed: boolean[] = [];
  const context = {
    ...{ system, deployment, config: Config.of({}), signal: new AbortController().signal },
    installDevice: async ({ refresh }: { readonly refresh: boolean }) => {
      refreshed.push(refresh);
      return DISK;
    },
  };
  const full = { iqn: IQN, port: 3260, wipeDiskMetadata: false, ...request };
  const calls = () => recorded.calls.map((argv) => argv.join(" "));
  const start = (more: Partial<IscsiRequest> = {}) => startIscsiTarget(context, { ...full, ...more });
  return { context, deployment, refreshed, start, calls, recorded, journal: configfs.journal };
}

const STORAGE = [
  "mkdir core/iblock_0",
  `mkdir core/iblock_0/${IQN}`,
  `core/iblock_0/${IQN}/udev_path = ${DISK}`,
  `core/iblock_0/${IQN}/control = udev_path=${DISK}`,
  `core/iblock_0/${IQN}/control = readonly=0`,
  `core/iblock_0/${IQN}/enable = 1`,
  `core/iblock_0/${IQN}/wwn/vpd_unit_serial = UUID`,
];
const GROUP = [
  `mkdir iscsi/${IQN}`,
  `mkdir iscsi/${IQN}/tpgt_1`,
  `iscsi/${IQN}/tpgt_1/attrib/authentication = 0`,
  `iscsi/${IQN}/tpgt_1/attrib/demo_mode_write_protect = 0`,
  `iscsi/${IQN}/tpgt_1/attrib/generate_node_acls = 1`,
  `mkdir iscsi/${IQN}/tpgt_1/lun/lun_1`,
  `link iscsi/${IQN}/tpgt_1/lun/lun_1/LINK -> core/iblock_0/${IQN}`,
  `iscsi/${IQN}/tpgt_1/enable = 1`,
];
const PORTAL = `mkdir iscsi/${IQN}/tpgt_1/np/[::]:3260`;
const GONE = [
  `unlink iscsi/${IQN}/tpgt_1/lun/lun_1/LINK`,
  `rmdir iscsi/${IQN}/tpgt_1/lun/lun_1`,
  `rmdir iscsi/${IQN}/tpgt_1`,
  `rmdir iscsi/${IQN}`,
  `rmdir core/iblock_0/${IQN}`,
  "rmdir core/iblock_0",
];

describe("the kernel's target", () => {
  // deploy 11.91
  test("gets storage, group, LUN 1 and portal, in this order, without credentials", async () => {
    const { start, journal, calls, refreshed, deployment } = machine({});
    deployment.written({ kind: "partition", uuids: {}, netboot: false });
    expect(await start()).toBe(IQN);
    expect(journal).toEqual(["mkdir iscsi", ...STORAGE, ...GROUP, PORTAL]);
    expect(calls()).toEqual([
      "modprobe target_core_mod",
      "modprobe target_core_iblock",
      "modprobe iscsi_target_mod",
    ]);
    expect(refreshed).toEqual([true]);
    // What is on the disk is the conductor's from now on.
    expect(deployment.image).toBeNull();
    expect(deployment.offered).toMatchObject({ disk: DISK, iqn: IQN });
  });

  test("configfs is mounted if it is not; a port and IPv4 alone; a free adapter; a name of its own", async () => {
    const files = {
      ...WITH_LIO,
      "/proc/self/mountinfo": MACHINE["/proc/self/mountinfo"] ?? "",
      "/proc/sys/net/ipv6/conf/default/disable_ipv6": "1\n",
      [`${TARGET}/core/iblock_0/hba_info`]: "",
      [`${TARGET}/core/iblock_0/foreign/udev_path`]: "/dev/sdz\n",
    };
    const { start, journal, calls } = machine({
      files,
      programs: { mount: {} },
      request: { iqn: null, port: 3333 },
    });
    const iqn = await start();
    expect(iqn).toMatch(/^iqn\.2008-10\.org\.openstack:[0-9a-f]{8}-[0-9a-f-]{27}$/);
    expect(calls().slice(0, 2)).toEqual([
      "modprobe configfs",
      "mount -t configfs configfs /sys/kernel/config",
    ]);
    expect(journal).toContain("mkdir core/iblock_1");
    expect(journal.at(-1)).toBe(`mkdir iscsi/${iqn}/tpgt_1/np/0.0.0.0:3333`);
  });

  // deploy 11.93
  test("is taken apart in reverse, once; nothing is left in configfs", async () => {
    const { start, journal, context, recorded, deployment } = machine({});
    await start();
    expect(await stopIscsiTarget(context)).toBe(true);
    expect(journal.slice(-GONE.length - 2)).toEqual([
      `iscsi/${IQN}/tpgt_1/enable = 0`,
      ...[...GONE.slice(0, 2), `rmdir iscsi/${IQN}/tpgt_1/np/[::]:3260`, ...GONE.slice(2)],
    ]);
    expect([...recorded.fileMap.keys()].filter((path) => path.includes("openstack"))).toEqual([]);
    expect(deployment.offered).toBeNull();
    const length = journal.length;
    expect(await stopIscsiTarget(context)).toBe(false);
    expect(journal).toHaveLength(length);
  });

  // deploy 11.93
  test("of others is left alone by an agent that has offered nothing", async () => {
    const { context, journal } = machine({
      files: { ...WITH_LIO, [`${TARGET}/core/iblock_0/${IQN}/udev_path`]: `${DISK}\n` },
    });
    expect(await stopIscsiTarget(context)).toBe(false);
    expect(journal).toEqual([]);
  });

  test("is replaced when it is started again, also by the agent's successor", async () => {
    const { start, journal, context, deployment } = machine({});
    await start();
    await start();
    expect(journal.filter((line) => line === `rmdir iscsi/${IQN}`)).toHaveLength(1);
    deployment.offered = null; // what a restart forgets
    await start();
    expect(journal.filter((line) => line === `rmdir iscsi/${IQN}`)).toHaveLength(2);
    expect(await stopIscsiTarget(context)).toBe(true);
  });

  test.each([
    [
      "a device that somebody holds",
      `core/iblock_0/${IQN}/enable = 1`,
      "EBUSY",
      "Failed to create a target: ",
    ],
    ["no memory for a group", `mkdir iscsi/${IQN}/tpgt_1`, "ENOMEM", "Failed to create a target: "],
    ["a port that is taken", PORTAL, "EADDRINUSE", "Failed to publish a target: "],
  ])("%s is said, and what was made is undone", async (_, line, code, text) => {
    const { start, recorded, deployment } = machine({ fail: { [line]: code } });
    const error = (await rejection(start())) as RestError;
    expect(error).toMatchObject({ type: "ISCSIError", code: 500, summary: "Error starting iSCSI target" });
    expect(error.details).toStartWith(`Error starting iSCSI target: ${text}writing `);
    expect([...recorded.fileMap.keys()].filter((path) => path.includes("openstack"))).toEqual([]);
    expect(recorded.fileMap.has(`${TARGET}/core/iblock_0`)).toBe(false);
    expect(deployment.offered).toBeNull();
  });

  test("a disk in use is refused before anything is made, and its user is named", async () => {
    const { start, journal } = machine({
      busy: true,
      files: {
        ...WITH_LIO,
        "/sys/devices/vda/holders/md0": { link: "../md0" },
        "/sys/devices/vda/vda2/partition": "2\n",
        "/sys/class/block/vda2": { link: "/sys/devices/vda/vda2" },
        "/sys/devices/vda/vda2/holders/dm-0": { link: "../dm-0" },
      },
    });
    expect(await rejection(start())).toMatchObject({
      type: "ISCSIError",
      details:
        "Error starting iSCSI target: Failed to create a target: opening /dev/vda: EBUSY: it is in use: /dev/md0 is built on " +
        "/dev/vda; /dev/dm-0 is built on /dev/vda2",
    });
    expect(journal).toEqual(["mkdir iscsi"]);
  });

  test("another's target of the same name stays as it is", async () => {
    const files = { ...WITH_LIO, [`${TARGET}/iscsi/${IQN}/tpgt_1/enable`]: "1\n" };
    const { start, journal } = machine({ files });
    expect((await rejection(start())) as RestError).toHaveProperty(
      "details",
      "Error starting iSCSI target: Failed to create a target: there is a target of this name already, for another device",
    );
    expect(journal).toEqual([]);
  });

  test("that cannot be ended fails the command, and is tried again by the next", async () => {
    const fail: Record<string, string> = {};
    const { start, context, deployment } = machine({ fail });
    await start();
    fail[`rmdir core/iblock_0/${IQN}`] = "EBUSY";
    expect(await rejection(stopIscsiTarget(context))).toHaveProperty(
      "details",
      expect.stringContaining(`Failed to delete iSCSI target ${IQN} for device ${DISK}: `),
    );
    expect(deployment.offered).not.toBeNull();
    delete fail[`rmdir core/iblock_0/${IQN}`];
    expect(await stopIscsiTarget(context)).toBe(true);
  });

  test("metadata is destroyed first, if asked for", async () => {
    const { start, calls } = machine({ programs: { wipefs: {}, sgdisk: {}, udevadm: {} } });
    await start({ wipeDiskMetadata: true });
    expect(calls().slice(3)).toEqual([`wipefs --force --all ${DISK}`, `sgdisk -Z ${DISK}`, "udevadm settle"]);
  });

  test("on a machine in use nothing is offered", async () => {
    const files = { ...WITH_LIO, "/proc/self/mountinfo": "20 1 0:1 / / rw - nfs server:/ rw\n" };
    const { start, journal } = machine({ files });
    expect(await rejection(start())).toMatchObject({ type: "HostDiskError" });
    expect(journal).toEqual([]);
  });
});

describe("tgtd, where the kernel has no target", () => {
  const TGTADM = "tgtadm -C 6401 --lld iscsi --mode";
  /** As tgtadm of Debian 12 prints it. */
  const OTHERS = `Target 1: iqn.2008-10.org.openstack:other
    LUN information:
        LUN: 0
            Backing store path: None
        LUN: 1
            Backing store path: /dev/vdb
`;

  function tgt(more: Setup = {}) {
    const programs = { modprobe: NONE, mount: NONE, tgtd: {}, tgtadm: {}, ...more.programs };
    const files = { ...MACHINE, ...more.files };
    const fail = { "mkdir /sys/kernel/config/target": "EPERM", "mkdir iscsi": "EPERM" };
    const made = machine({ ...more, files, programs, fail });
    const tool = () => made.calls().filter((line) => /^(tgt|sync)/.test(line));
    return { ...made, tool };
  }

  // deploy 11.92
  test("the orders, and those that take it back", async () => {
    const { start, tool, recorded, context } = tgt();
    expect(await start()).toBe(IQN);
    expect(tool()).toEqual([
      "tgtd -C 6401",
      `${TGTADM} target --op show`,
      `${TGTADM} target --op new --tid 1 --targetname ${IQN}`,
      `${TGTADM} logicalunit --op new --tid 1 --lun 1 --backing-store ${DISK}`,
      `${TGTADM} target --op bind --tid 1 --initiator-address ALL`,
    ]);
    const warnings = recorded.records.filter(({ level }) => level === "WARNING");
    expect(warnings.map(({ message }) => message).join()).toContain("Module target_core_mod not found");
    const before = tool().length;
    expect(await stopIscsiTarget(context)).toBe(true);
    expect(tool().slice(before)).toEqual([
      `${TGTADM} target --op unbind --tid 1 --initiator-address ALL`,
      "sync",
      `${TGTADM} target --op delete --force --tid 1`,
      `${TGTADM} system --op delete`,
    ]);
  });

  test("another port is opened on IPv4 and IPv6, another target keeps its number", async () => {
    const { start, tool } = tgt({
      programs: { [`${TGTADM} target --op show`]: { stdout: OTHERS } },
      request: { port: 3261 },
    });
    await start();
    expect(tool().slice(2, 5)).toEqual([
      `${TGTADM} portal --op new --param portal=0.0.0.0:3261`,
      `${TGTADM} portal --op new --param portal=[::]:3261`,
      `${TGTADM} target --op new --tid 2 --targetname ${IQN}`,
    ]);
  });

  test("what an earlier agent offered under this name is replaced", async () => {
    const stdout = OTHERS.replace("other", IQN.slice(-36)).replace("/dev/vdb", DISK);
    const { start, tool } = tgt({ programs: { [`${TGTADM} target --op show`]: { stdout } } });
    await start();
    expect(tool()[2]).toBe(`${TGTADM} target --op delete --force --tid 1`);
  });

  const failed = { exitCode: 22, stdout: "out", stderr: "tgtadm: this target already exists" };
  test.each([
    ["tgtd -C 6401", "Unable to start the ISCSI daemon"],
    [`${TGTADM} target --op show`, "ISCSI daemon didn't initialize"],
    [
      `${TGTADM} portal --op new --param portal=0.0.0.0:3261`,
      "Error when adding a new portal with portal_port 3261",
    ],
    [
      `${TGTADM} target --op new --tid 1 --targetname ${IQN}`,
      `Error when adding a new target for iqn ${IQN}`,
    ],
    [
      `${TGTADM} logicalunit --op new --tid 1 --lun 1 --backing-store ${DISK}`,
      `Error when adding a new logical unit for iqn ${IQN}`,
    ],
    [
      `${TGTADM} target --op bind --tid 1 --initiator-address ALL`,
      `Error when enabling the target to accept the specific initiators for iqn ${IQN}`,
    ],
  ])("%s fails", async (line, text) => {
    const { start, tool, deployment } = tgt({ programs: { [line]: failed }, request: { port: 3261 } });
    const error = (await rejection(start())) as RestError;
    expect(error).toMatchObject({ type: "ISCSICommandError", summary: "Error starting iSCSI target" });
    expect(error.details).toBe(
      `Error starting iSCSI target: ${text}. Failed with exit code 22. stdout: out. ` +
        "stderr: tgtadm: this target already exists",
    );
    // The first failure is the end; only a target that was made is taken back.
    const after = tool().slice(tool().indexOf(line) + 1);
    const made = line.includes("logicalunit") || line.includes("bind");
    expect(after.filter((order) => !order.endsWith("show"))).toEqual(
      made ? [`${TGTADM} target --op delete --force --tid 1`] : [],
    );
    expect(deployment.offered).toBeNull();
  });

  // deploy 11.92
  test("neither of the two: the daemon that is missing is named", async () => {
    const { context } = machine({
      files: MACHINE,
      programs: { modprobe: NONE, mount: NONE },
      fail: {
        "mkdir /sys/kernel/config/target": "EPERM",
        "mkdir iscsi": "EPERM",
      },
    });
    const request = { iqn: IQN, port: 3260, wipeDiskMetadata: false };
    expect(await rejection(startIscsiTarget(context, request))).toMatchObject({
      type: "ISCSICommandError",
      details:
        "Error starting iSCSI target: Unable to start the ISCSI daemon. Failed with exit code unknown. stdout: . " +
        "stderr: cannot run tgtd: not recorded",
    });
  });
});

test.each([
  [{ iqn: "iqn.2008-10.org.openstack:a b" }, "'iqn' must be"],
  [{ iqn: "iqn.2008-10.org.openstack:a_b" }, "'iqn' must be"],
  [{ iqn: "iqn.2008-10.org.openstack:../../core" }, "'iqn' must be"],
  [{ iqn: "iqn.2008-13.org.openstack:x" }, "'iqn' must be"],
  [{ iqn: "eui.02004567A425678D" }, "'iqn' must be"],
  [{ iqn: `iqn.2008-10.org.openstack:${"x".repeat(200)}` }, "'iqn' must be"],
  [{ port: 0 }, "'portal_port' must be between 1 and 65535, not 0"],
  [{ port: 65_536 }, "'portal_port' must be between 1 and 65535, not 65536"],
])("%p is refused", (more, text) => {
  const request = { iqn: IQN, port: 3260, wipeDiskMetadata: false };
  expect(() => validateIscsiRequest(request)).not.toThrow();
  expect(() => validateIscsiRequest({ ...request, ...more })).toThrow(text);
});
