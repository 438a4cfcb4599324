// Virtual media in a real machine (QEMU): the agent's ramdisk with a boot ISO in its CD drive, a small USB disk with
// parameters, and a hard disk that carries the ISO's label and must not be believed.
// It boots a machine under emulation (some minutes), so it is not among the ordinary tests. Run it by
//   bun run build.ts && bun test ./test/vm/virtual-media.ts
// Control-plane acceptance 12 and 13, conductor contract 62.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Machine } from "../rig/machine.ts";
import { run } from "../rig/programs.ts";
import { composeRamdisk, ramdiskBase } from "../rig/ramdisk.ts";

const AGENT = `${import.meta.dir}/../../dist/ironic-python-agent-linux-x64`;

/** Milliseconds: the ramdisk's packages may have to be fetched, and emulation is slow. */
const BUILD_TIME = 15 * 60_000;
const BOOT_TIME = 5 * 60_000;
const SHELL_TIME = 60_000;

/** The configuration that the conductor puts on its ISO, and what an instance's own config drive might hold. */
const ON_THE_ISO = "[DEFAULT]\nlookup_timeout = 77\nadvertise_port = 7777\n";
const ON_THE_DISK = "[DEFAULT]\nlookup_timeout = 666\n";

let directory: string;
let machine: Machine;

beforeAll(async () => {
  directory = await mkdtemp(`${tmpdir()}/virtual-media-`);
  const ramdisk = await composeRamdisk(await ramdiskBase({ report: console.log }), {
    agent: AGENT,
    output: join(directory, "initrd"),
  });
  const iso = await isoImage("boot.iso", "VMEDIA_BOOT_ISO", {
    "etc/ironic-python-agent.d/from-iso.conf": ON_THE_ISO,
    "etc/ironic-python-agent/ironic.crt": "a certificate\n",
    "etc/ironic-python-agent.d/below/not-copied.conf": "[DEFAULT]\nlookup_timeout = 1\n",
  });
  const decoy = await isoImage("decoy.raw", "config-2", {
    "etc/ironic-python-agent.d/evil.conf": ON_THE_DISK,
  });
  await truncate(decoy, 5 * 1024 ** 3);
  machine = await Machine.create({
    name: "virtual-media",
    directory,
    firmware: "bios",
    memoryMiB: 2048,
    cpus: 2,
    disks: [{ bus: "sata", serial: "DECOY", file: decoy }],
    nics: [],
    qemuArguments: [
      ...[
        "-drive",
        `if=none,id=cd,media=cdrom,readonly=on,file=${iso}`,
        "-device",
        "ide-cd,bus=ide.3,drive=cd",
      ],
      ...["-drive", `if=none,id=usb,format=raw,file=${await floppyImage()}`],
      ...["-device", "qemu-xhci", "-device", "usb-storage,drive=usb,removable=on"],
    ],
  });
  const parameters = ["ipa-listen-port=1111", "ipa-advertise-port=1112", "ipa-disk-wait-attempts=0"];
  const cmdline = ["console=ttyS0", "rig.shell=1", "boot_method=vmedia", "BOOTIF=aa:aa:aa:aa:aa:aa"];
  await machine.start({ ...ramdisk, cmdline: [...cmdline, ...parameters].join(" ") });
}, BUILD_TIME);

afterAll(async () => {
  await machine?.[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

async function isoImage(name: string, label: string, files: Record<string, string>): Promise<string> {
  const tree = join(directory, `${name}.tree`);
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(tree, path)), { recursive: true });
    await writeFile(join(tree, path), content);
  }
  await run(["genisoimage", "-quiet", "-R", "-V", label, "-o", join(directory, name), tree]);
  return join(directory, name);
}

/** A VFAT image as the conductor makes it, its label in capitals as VFAT has it. */
async function floppyImage(): Promise<string> {
  const image = join(directory, "parameters.img");
  const parameters = join(directory, "parameters.txt");
  await writeFile(
    parameters,
    "ipa-standalone=true\nipa-listen-port=2222\nBOOTIF=bb:bb:bb:bb:bb:bb\nboot_method=vmedia\n",
  );
  await writeFile(image, "");
  await truncate(image, 1440 * 1024);
  await run(["mkfs.vfat", "-n", "IR-VFD-DEV", image]);
  await run(["mcopy", "-i", image, parameters, "::/"]);
  return image;
}

describe("a machine booted from virtual media", () => {
  test(
    "serves with the parameters of the disk, which beat those of the kernel line",
    async () => {
      await machine.waitForConsole(/Serving the API at http:\/\/\[::\]:2222/, { timeout: BOOT_TIME });
    },
    BOOT_TIME,
  );

  test(
    "takes the files of the ISO in the same start, and nothing from the hard disk with the same label",
    async () => {
      const listing = await machine.shell(
        "ironic-python-agent config --config-dir /etc/ironic-python-agent.d",
        SHELL_TIME,
      );
      expect(listing).toMatch(
        /^lookup_timeout +77 +\/etc\/ironic-python-agent\.d\/from-iso\.conf line 2\r?$/m,
      );
      expect(listing).toMatch(
        /^listen_port +2222 +virtual media parameter ipa-listen-port on \/dev\/sd\w\r?$/m,
      );
      // A file beats a parameter.
      expect(listing).toMatch(
        /^advertise_port +7777 +\/etc\/ironic-python-agent\.d\/from-iso\.conf line 3\r?$/m,
      );
      const files = await machine.shell("cd /etc; find ironic-python-agent* -type f", SHELL_TIME);
      expect(files.split(/\r?\n/).sort()).toEqual([
        "ironic-python-agent.d/from-iso.conf",
        "ironic-python-agent/ironic.crt",
      ]);
    },
    2 * SHELL_TIME,
  );

  test(
    "reports the network card it was booted from as the disk names it, and leaves nothing mounted",
    async () => {
      const inventory = await machine.shell("ironic-python-agent inventory 2>/dev/null", SHELL_TIME);
      expect(JSON.parse(inventory).boot.pxe_interface).toBe("bb:bb:bb:bb:bb:bb");
      expect(await machine.shell("grep -c ironic-agent-mount /proc/mounts || true", SHELL_TIME)).toBe("0");
      expect(await machine.shell("ls -d /tmp/ironic-agent-mount-* 2>/dev/null || true", SHELL_TIME)).toBe("");
    },
    2 * SHELL_TIME,
  );

  test(
    "frees what the network scripts left mounted at /mnt/config, as often as it is mounted",
    async () => {
      const twice = "mount -o ro /dev/sr0 /mnt/config && mount --bind /mnt/config /mnt/config";
      const count = await machine.shell(
        `mkdir -p /mnt/config && ${twice} && grep -c /mnt/config /proc/mounts`,
        SHELL_TIME,
      );
      expect(count).toBe("2");
      await machine.shell("ironic-python-agent inventory >/dev/null 2>&1", SHELL_TIME);
      expect(await machine.shell("grep -c /mnt/config /proc/mounts || true", SHELL_TIME)).toBe("0");
    },
    3 * SHELL_TIME,
  );

  test(
    "lsblk says of such media what the ordinary tests were recorded from (test/disk/virtual-media.test.ts)",
    async () => {
      const lsblk = async (command: string) =>
        (await machine.shell(`lsblk ${command}`, SHELL_TIME)).replaceAll("\r", "").trim().split("\n");
      expect(await lsblk("-p -P -oKNAME,LABEL")).toEqual([
        'KNAME="/dev/sda" LABEL="config-2"',
        'KNAME="/dev/sdb" LABEL="IR-VFD-DEV"',
        'KNAME="/dev/sr0" LABEL="VMEDIA_BOOT_ISO"',
      ]);
      const columns = "-n -s -P -b -oKNAME,TRAN,TYPE,SIZE";
      expect(await lsblk(`${columns} /dev/sda`)).toEqual([
        'KNAME="sda" TRAN="sata" TYPE="disk" SIZE="5368709120"',
      ]);
      expect(await lsblk(`${columns} /dev/sdb`)).toEqual([
        'KNAME="sdb" TRAN="usb" TYPE="disk" SIZE="1474560"',
      ]);
      expect((await lsblk(`${columns} /dev/sr0`))[0]).toStartWith('KNAME="sr0" TRAN="sata" TYPE="rom" SIZE=');
    },
    4 * SHELL_TIME,
  );
});
