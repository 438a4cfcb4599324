// Which devices are virtual media, and what is taken from them. The output of lsblk was recorded from a QEMU machine with a CD
// drive, a USB disk and hard disks by test/vm/virtual-media.ts, which does the same for real.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parsePairs } from "../../src/disk/lsblk-media.ts";
import { unmountConfigDrive, VirtualMedia } from "../../src/disk/virtual-media.ts";
import { type RecordedFile, type RecordedProgram, recordedSystem } from "../support/recorded-system.ts";
import { rejection } from "../support/rejection.ts";

const DEVICES = {
  "/dev/sda": 'KNAME="sda" TRAN="sata" TYPE="disk" SIZE="5368709120"\n',
  "/dev/sda1":
    'KNAME="sda1" TRAN="" TYPE="part" SIZE="1048576"\nKNAME="sda" TRAN="sata" TYPE="disk" SIZE="5368709120"\n',
  "/dev/sdb": 'KNAME="sdb" TRAN="usb" TYPE="disk" SIZE="1474560"\n',
  "/dev/sdc": 'KNAME="sdc" TRAN="usb" TYPE="disk" SIZE="4294967296"\n',
  "/dev/sr0": 'KNAME="sr0" TRAN="sata" TYPE="rom" SIZE="372736"\n',
};
type Device = keyof typeof DEVICES;

/** Where VirtualMedia mounts on the recorded machine. */
const MOUNTED = "/tmp/ironic-agent-mount-recorded";

function media({
  labels = {},
  files = {},
  programs = {},
  mounts = "",
}: {
  labels?: Partial<Record<Device, string>>;
  files?: Record<string, RecordedFile>;
  programs?: Record<string, RecordedProgram>;
  mounts?: string;
}) {
  const notes: string[] = [];
  const listing = Object.keys(DEVICES).map(
    (name) => `KNAME="${name}" LABEL="${labels[name as Device] ?? ""}"\n`,
  );
  const system = recordedSystem({
    programs: {
      "lsblk -p -P -oKNAME,LABEL": { stdout: listing.join("") },
      lsblk: ([...argv]) => ({ stdout: DEVICES[argv.at(-1) as Device] ?? "" }),
      mount: {},
      umount: {},
      ...programs,
    },
    files: { "/proc/self/mountinfo": mounts, ...files },
  });
  return { media: new VirtualMedia(system, (note) => notes.push(note)), system, notes };
}

describe("parameters", () => {
  const parameters = { [`${MOUNTED}/parameters.txt`]: "ipa-listen-port=5\n" };

  test("are read from a medium with the label in any case of letters, which is mounted only meanwhile", async () => {
    for (const label of ["ir-vfd-dev", "IR-VFD-DEV"]) {
      const recorded = media({ labels: { "/dev/sdb": label }, files: parameters });
      expect(await recorded.media.readParameters()).toEqual({
        text: "ipa-listen-port=5\n",
        device: "/dev/sdb",
      });
      expect(recorded.system.calls.slice(-2)).toEqual([
        ["mount", "-o", "ro,nodev,nosuid,noexec", "/dev/sdb", MOUNTED],
        ["umount", MOUNTED],
      ]);
    }
  });

  test("are not taken from partitions, from disks that are not USB, nor from disks of 4 GiB", async () => {
    for (const device of ["/dev/sda", "/dev/sda1", "/dev/sdc"]) {
      const recorded = media({ labels: { [device]: "ir-vfd-dev" }, files: parameters });
      expect(await recorded.media.readParameters()).toBeNull();
      expect(recorded.system.calls.some(([program]) => program === "mount")).toBe(false);
      expect(recorded.notes[0]).toContain(device);
    }
    const both = media({ labels: { "/dev/sda": "ir-vfd-dev", "/dev/sr0": "ir-vfd-dev" }, files: parameters });
    expect((await both.media.readParameters())?.device).toBe("/dev/sr0");
  });

  test("are looked for on a device that calls itself virtual media, when no label is there", async () => {
    const model = (name: string, text: string) => ({
      [`/sys/class/block/${name}/device/model`]: `${text}\n`,
    });
    const files = {
      ...parameters,
      ...model("sda", "Virtual Media"),
      ...model("sdb", "AMI VIRTUAL MEDIA 1.0"),
    };
    expect((await media({ files }).media.readParameters())?.device).toBe("/dev/sdb");
  });

  test("no medium and a medium without the file are no parameters, said in a note", async () => {
    const none = media({});
    expect(await none.media.readParameters()).toBeNull();
    expect(none.notes).toEqual(["no virtual media with parameters is plugged in"]);
    const empty = media({ labels: { "/dev/sdb": "ir-vfd-dev" } });
    expect(await empty.media.readParameters()).toBeNull();
    expect(empty.notes).toEqual(["the virtual media /dev/sdb holds no parameters.txt"]);
  });

  test("a medium that cannot be mounted is an error", async () => {
    const broken = media({
      labels: { "/dev/sdb": "ir-vfd-dev" },
      programs: { mount: { exitCode: 32, stderr: "bad superblock" } },
    });
    expect(String(await rejection(broken.media.readParameters()))).toContain("bad superblock");
  });

  test("one that cannot be unmounted is only said", async () => {
    const stuck = media({
      labels: { "/dev/sdb": "ir-vfd-dev" },
      files: parameters,
      programs: { umount: { exitCode: 32, stderr: "target is busy" } },
    });
    expect((await stuck.media.readParameters())?.device).toBe("/dev/sdb");
    expect(stuck.notes.join()).toContain("target is busy");
  });
});

describe("configuration files", () => {
  const iso = (root: string) => ({
    [`${root}/etc/ironic-python-agent/ironic.crt`]: "certificate",
    [`${root}/etc/ironic-python-agent.d/ironic-tls.conf`]: "[DEFAULT]\ncafile = /x\n",
    [`${root}/etc/ironic-python-agent.d/deep/below.conf`]: "no",
    [`${root}/etc/ironic-python-agent.d/link.conf`]: { link: "/etc/shadow" },
    [`${root}/etc/other`]: "no",
  });
  const copied = ({ fileMap }: { fileMap: ReadonlyMap<string, RecordedFile> }) =>
    Object.fromEntries(
      [...fileMap]
        .filter(([path]) => path.startsWith("/etc/"))
        .map(([path, content]) => [
          path,
          content instanceof Uint8Array ? new TextDecoder().decode(content) : content,
        ]),
    );

  test("plain files of two directories come to the same place, links and what lies deeper do not", async () => {
    const recorded = media({ labels: { "/dev/sr0": "VMEDIA_BOOT_ISO" }, files: iso(MOUNTED) });
    await recorded.media.copyConfiguration();
    expect(copied(recorded.system)).toMatchObject({
      "/etc/ironic-python-agent/ironic.crt": "certificate",
      "/etc/ironic-python-agent.d/ironic-tls.conf": "[DEFAULT]\ncafile = /x\n",
    });
    expect(Object.keys(copied(recorded.system)).filter((path) => /deep|link|other/.test(path))).toEqual([]);
    expect(recorded.notes).toContain(
      "copied /etc/ironic-python-agent/ironic.crt from the virtual media /dev/sr0",
    );
  });

  test("a medium that is mounted already is read where it is", async () => {
    const recorded = media({
      labels: { "/dev/sr0": "config-2" },
      files: {
        ...iso("/mnt/config"),
        "/dev/sr0": { device: { major: 11, minor: 0 } },
        "/sys/dev/block/11:0": { link: "/sys/devices/sr0" },
        "/sys/devices/sr0": { directory: true },
      },
      mounts: "40 1 11:0 / /mnt/config ro,relatime - iso9660 /dev/sr0 ro\n",
    });
    await recorded.media.copyConfiguration();
    expect(copied(recorded.system)["/etc/ironic-python-agent/ironic.crt"]).toBe("certificate");
    expect(recorded.system.calls.some(([program]) => program === "mount")).toBe(false);
  });

  test("an instance's own config drive is not believed", async () => {
    for (const device of ["/dev/sda", "/dev/sda1"]) {
      const recorded = media({ labels: { [device]: "config-2" }, files: iso(MOUNTED) });
      await recorded.media.copyConfiguration();
      expect(copied(recorded.system)).toEqual({});
    }
  });
});

describe("the config drive at /mnt/config", () => {
  const mount = (at: string) => `40 1 11:0 / ${at} ro - iso9660 /dev/sr0 ro\n`;

  test("is unmounted as often as it is mounted, and nothing else is", async () => {
    const mounts = [mount("/mnt/config"), mount("/mnt/other"), mount("/mnt/config")].join("");
    const { system } = media({ mounts });
    await unmountConfigDrive(system);
    expect(system.calls).toEqual([
      ["umount", "/mnt/config"],
      ["umount", "/mnt/config"],
    ]);
  });

  test("that stays mounted is a warning", async () => {
    const { system } = media({ mounts: mount("/mnt/config"), programs: { umount: { exitCode: 32 } } });
    await unmountConfigDrive(system);
    expect(system.records.map(({ level }) => level)).toContain("WARNING");
  });
});

describe("the pairs of lsblk", () => {
  test("unusual bytes of a label come back", () => {
    expect(parsePairs('KNAME="sda" LABEL="a\\x22b \\xc3\\xa9"\n').map((row) => row.get("LABEL"))).toEqual([
      'a"b é',
    ]);
  });

  test("any text is read", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Z="\\x0-9a-f \n]{0,60}$/), (text) => {
        for (const row of parsePairs(text)) expect(row.size).toBeGreaterThan(0);
      }),
    );
  });
});
