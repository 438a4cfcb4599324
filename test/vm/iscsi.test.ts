// The iSCSI target for real, in QEMU: the kernel's own (LIO) and tgtd. An initiator outside (libiscsi, in qemu-img) writes the disk
// without credentials, the kernel's initiator logs in from inside, and the file the disk is to QEMU holds what was written.
// Run with `bun test test/vm`. deploy 11.91, 11.92, 11.93.

import { describe, expect, test } from "bun:test";
import { open } from "node:fs/promises";
import { tool } from "../support/loop-device.ts";
import { type AgentMachine, askedFor, bootAgent } from "./agent-machine.ts";

const MIB = 2 ** 20;
const TIMEOUT = 1_200_000;
const NODE = "11111111-2222-3333-4444-555555555555";
const IQN = `iqn.2008-10.org.openstack:${NODE}`;
const CONFIGFS = "/sys/kernel/config/target";

describe.skipIf(!askedFor)("a disk offered over iSCSI", () => {
  test(
    "by the kernel: tree, initiators, and taking it back; then by tgtd",
    async () => {
      await using agent = await bootAgent({
        firmware: "bios",
        disks: [{ bus: "virtio", serial: "DISK1", sizeBytes: 4608 * MIB }],
        forwarded: [3260, 3261],
      });
      await agent.shell("sgdisk -n 1:0:0 /dev/vda && mkfs.ext4 -q -E nodiscard /dev/vda1");

      // --- The kernel's own ---
      const start = (more = {}) =>
        agent.command("iscsi.start_iscsi_target", { iqn: IQN, wipe_disk_metadata: true, ...more });
      expect(await start()).toMatchObject({
        command_name: "start_iscsi_target",
        command_status: "SUCCEEDED",
        command_result: { iscsi_target_iqn: IQN },
      });
      expect(await tree(agent)).toEqual(LIO_TREE);
      expect(await held(agent)).toBe("held");
      expect(await agent.shell("wipefs --noheadings /dev/vda")).toBe("");
      await writeFromOutside(agent, 3260, 1);
      // Once more with the same name: what was offered is taken back first. Another port, and the kernel's initiator.
      expect(await start({ portal_port: 3261, wipe_disk_metadata: false })).toMatchObject({
        command_status: "SUCCEEDED",
      });
      expect(await portals(agent)).toBe("[::]:3261");
      await writeFromOutside(agent, 3261, 2);
      expect(await logInInside(agent, 3261)).toBe(`/dev/disk/by-path/ip-127.0.0.1:3261-iscsi-${IQN}-lun-1`);
      // The agent would take the disk it sees of itself for one to install to.
      await logOutInside(agent);
      // A session is no reason to keep the disk.
      const session = await holdSession(agent, 3261);
      expect(await install(agent)).toMatchObject({ command_status: "SUCCEEDED", command_error: null });
      session.kill();
      const left = `ls -d ${CONFIGFS}/core/iblock_* ${CONFIGFS}/iscsi/iqn* 2>/dev/null; true`;
      expect(await agent.shell(left)).toBe("");
      expect(await held(agent)).toBe("free");
      expect(await agent.shell("ls /dev/vda*")).toBe("/dev/vda  /dev/vda1");
      // Nothing was offered by now: nothing is taken back, and the disk has a boot sector of its own.
      expect(await install(agent)).toMatchObject({ command_status: "SUCCEEDED" });

      // A disk in use is not offered, unless what uses it is to go.
      await agent.shell(
        "wipefs -qaf /dev/vda1 && pvcreate -qy /dev/vda1 && vgcreate -q group /dev/vda1 && lvcreate -qy -L 8M -n volume group",
      );
      const refused = await start({ wipe_disk_metadata: false });
      expect(refused).toMatchObject({
        command_status: "FAILED",
        command_error: {
          type: "ISCSIError",
          details:
            "Error starting iSCSI target: Failed to create a target: opening /dev/vda: EBUSY: it is in use: /dev/dm-0 is built on /dev/vda1",
        },
      });
      expect(await portals(agent)).toBe("");

      // --- tgtd ---
      await agent.shell(
        `rmdir ${CONFIGFS}/iscsi; modprobe -r target_core_iblock iscsi_target_mod target_core_mod; ` +
          "echo 'install target_core_mod /bin/false' > /etc/modprobe.d/no-lio.conf",
      );
      expect(await start({ portal_port: 3261 })).toMatchObject({ command_status: "SUCCEEDED" });
      expect(await agent.shell("pidof tgtd")).toMatch(/^\d+/);
      await writeFromOutside(agent, 3261, 3);
      expect(await logInInside(agent, 3261)).toEndWith("-lun-1");
      await logOutInside(agent);
      expect(await install(agent)).toMatchObject({ command_status: "SUCCEEDED", command_error: null });
      expect(await held(agent)).toBe("free");
      expect(await agent.shell("sleep 2; pidof tgtd; true")).toBe("");
    },
    TIMEOUT,
  );
});

// contract 6.5: the embedded conductor is the initiator, the boot loader's set-up ends the target, and the system boots.
test.skipIf(!askedFor)(
  "a deployment over iSCSI, from power-on to the deployed system",
  async () => {
    const demo = Bun.spawn([process.execPath, "run", "test/demo/main.ts", "--iscsi", "--uefi"], {
      cwd: `${import.meta.dir}/../..`,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [output, errors] = await Promise.all([demo.stdout.text(), demo.stderr.text()]);
    console.log(output);
    expect({ code: await demo.exited, errors }).toEqual({ code: 0, errors: "" });
    expect(output).toMatch(/^boot from disk: done .*booted by uefi/m);
  },
  TIMEOUT,
);

/** What the target is like, a line each; a library for LIO (rtslib) makes the same. */
async function tree(agent: AgentMachine): Promise<string[]> {
  const output = await agent.shell(
    `cd ${CONFIGFS}; ` +
      `for path in core/iblock_0/${IQN}/enable core/iblock_0/${IQN}/udev_path iscsi/${IQN}/tpgt_1/enable ` +
      `iscsi/${IQN}/tpgt_1/attrib/authentication iscsi/${IQN}/tpgt_1/attrib/demo_mode_write_protect ` +
      `iscsi/${IQN}/tpgt_1/attrib/generate_node_acls; do echo "$path: $(cat $path)"; done; ` +
      `grep -o 'readonly: .' core/iblock_0/${IQN}/info; cat core/iblock_0/${IQN}/wwn/vpd_unit_serial; ` +
      `ls -N iscsi/${IQN}/tpgt_1/lun iscsi/${IQN}/tpgt_1/np; find iscsi/${IQN}/tpgt_1/lun -type l -exec readlink -f {} +`,
  );
  return output.split(/\r?\n/).map((line) => line.replace(/[0-9a-f]{8}-[0-9a-f-]{27}$/, "UUID"));
}

const LIO_TREE = [
  `core/iblock_0/${IQN}/enable: 1`,
  `core/iblock_0/${IQN}/udev_path: /dev/vda`,
  `iscsi/${IQN}/tpgt_1/enable: 1`,
  `iscsi/${IQN}/tpgt_1/attrib/authentication: 0`,
  `iscsi/${IQN}/tpgt_1/attrib/demo_mode_write_protect: 0`,
  `iscsi/${IQN}/tpgt_1/attrib/generate_node_acls: 1`,
  "readonly: 0",
  "T10 VPD Unit Serial Number: UUID",
  ...[`iscsi/${IQN}/tpgt_1/lun:`, "lun_1", "", `iscsi/${IQN}/tpgt_1/np:`, "[::]:3260"],
  `${CONFIGFS}/core/iblock_0/${IQN}`.replace(NODE, "UUID"),
];

async function portals(agent: AgentMachine): Promise<string> {
  return await agent.shell(`ls -N ${CONFIGFS}/iscsi/${IQN}/tpgt_1/np 2>/dev/null; true`);
}

/** An MBR disk with one partition, and something in it. */
async function writeFromOutside(agent: AgentMachine, port: number, seed: number): Promise<void> {
  const image = `${agent.machine.directory}/image`;
  await tool("truncate", "-s", String(32 * MIB), image);
  await tool(
    "parted",
    "-s",
    image,
    "mklabel",
    "msdos",
    "mkpart",
    "primary",
    "1MiB",
    "31MiB",
    "set",
    "1",
    "boot",
    "on",
  );
  {
    await using file = await open(image, "r+");
    // Boot code, as the disk is asked for it in BIOS mode.
    await file.write(new Uint8Array(440).fill(seed), 0, 440, 0);
    for (let at = MIB; at < 31 * MIB; at += MIB)
      await file.write(new Uint8Array(MIB).fill(seed + at / MIB), 0, MIB, at);
  }
  const lun = `iscsi://127.0.0.1:${agent.portOf(port)}/${IQN}/1`;
  await tool("qemu-img", "convert", "-n", "-t", "writeback", "-f", "raw", "-O", "raw", image, lun);
  const [disk = ""] = agent.machine.diskFiles;
  await tool("cmp", "-n", String(32 * MIB), image, disk);
}

/** Logs in with open-iscsi, without credentials, and waits for the disk; its link. */
async function logInInside(agent: AgentMachine, port: number): Promise<string> {
  return await agent.shell(
    "echo InitiatorName=iqn.1993-08.org.debian:01:test > /etc/iscsi/initiatorname.iscsi; modprobe iscsi_tcp && { pidof iscsid >/dev/null || iscsid; } && mkdir -p /run/lock/iscsi && " +
      `iscsiadm -m discovery -t st -p 127.0.0.1:${port} >/dev/null && ` +
      `iscsiadm -m node -T ${IQN} -p 127.0.0.1:${port} -l >/dev/null && udevadm settle && ` +
      "ls -N /dev/disk/by-path/*-lun-1",
  );
}

async function logOutInside(agent: AgentMachine): Promise<void> {
  await agent.shell("iscsiadm -m node -u && iscsiadm -m node -o delete && udevadm settle");
}

/** An initiator outside that stays logged in until it is killed. */
async function holdSession(agent: AgentMachine, port: number): Promise<Bun.Subprocess> {
  const lun = `iscsi://127.0.0.1:${agent.portOf(port)}/${IQN}/1`;
  const initiator = Bun.spawn(["qemu-io", "-f", "raw", lun], {
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
  });
  const sessions = `${CONFIGFS}/iscsi/${IQN}/tpgt_1/dynamic_sessions`;
  await agent.shell(`until tr -d '\\0' < ${sessions} | grep -q iqn; do sleep 0.2; done`);
  return initiator;
}

function install(agent: AgentMachine) {
  return agent.command("image.install_bootloader", { root_uuid: null, target_boot_mode: "bios" });
}

/** Whether anybody holds the disk for himself: blkdiscard wants it for its own, and then asks whether that is meant. */
function held(agent: AgentMachine): Promise<string> {
  const discard = "blkdiscard --zeroout --offset 134217728 --length 4096 /dev/vda";
  return agent.shell(`case "$(${discard} 2>&1)" in *busy*) echo held;; *) echo free;; esac`);
}
