// What is typed into the machine of record-tools.ts, and how what it answered is read back by the tests. /dev/vda, vdb,
// sdb (SATA) and nvme0n1 have 300 MiB, sda (SCSI) 2 MiB, vdc 4 GiB.

import { join } from "node:path";

export type RecordedCommand = {
  readonly command: string;
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
};

const LIST = "lsblk -bia --json -oKNAME,MODEL,SIZE,ROTA,TYPE,UUID,PARTUUID,SERIAL,WWN,LOG-SEC,PHY-SEC,TRAN";

export const SESSIONS: Readonly<Record<string, readonly string[]>> = {
  raid: [
    "modprobe -a raid1 raid10 raid456",
    "sgdisk -F /dev/vda",
    "parted /dev/vda -s -- mklabel msdos",
    "parted /dev/vdb -s -- mklabel msdos",
    "sgdisk -F /dev/vda",
    "parted /dev/vda -s -a optimal -- mkpart primary 2048s 100MiB",
    "parted /dev/vdb -s -a optimal -- mkpart primary 2048s 100MiB",
    "parted /dev/vda -s -a optimal -- mkpart primary 100MiB -1",
    "parted /dev/vdb -s -a optimal -- mkpart primary 100MiB -1",
    "parted -s -m /dev/vda unit s print",
    "partx -av /dev/vda",
    "mdadm --create /dev/md0 --force --run --metadata=1 --level 1 --name root --raid-devices 2 /dev/vda1 /dev/vdb1",
    "mdadm --create /dev/md1 --force --run --metadata=1 --level 0 --name md1 --raid-devices 2 /dev/vda2 /dev/vdb2",
    "mdadm --detail /dev/md0",
    "mdadm --detail /dev/md1",
    "cat /proc/mdstat",
    "cat /sys/block/md0/md/sync_action /sys/block/md0/md/sync_completed /sys/block/md0/md/sync_speed",
    "mdadm --examine /dev/vda",
    "mdadm --examine /dev/vda1",
    "mdadm --examine /dev/md0",
    "mdadm --examine /dev/sda",
    "mdadm --examine /dev/nvme0n1",
    "mdadm --examine /dev/nothing",
    "mdadm --examine --scan",
    "mdadm --detail --scan",
    LIST,
    "lsblk --fs --noheadings /dev/vda",
    "mdadm --wait /dev/md0; cat /sys/block/md0/md/sync_action /sys/block/md0/md/sync_completed /sys/block/md0/md/sync_speed",
    "sgdisk -n 1:0:0 /dev/md0; partprobe /dev/md0; udevadm settle; mdadm --detail /dev/md0p1",
    "mdadm /dev/md0 --fail /dev/vdb1 --remove /dev/vdb1; mdadm --detail /dev/md0",
    "mdadm --examine /dev/vdb1",
    "mdadm --create /dev/md5 --force --run --metadata=1 --level 1 --raid-devices 2 /dev/sdb /dev/nvme0n1; mdadm --detail /dev/md5",
    "mdadm --examine /dev/nvme0n1",
    "mdadm --stop /dev/md5; mdadm --zero-superblock /dev/sdb; udevadm settle; mdadm -I /dev/nvme0n1; mdadm --detail /dev/md5",
    LIST,
    "cat /proc/mdstat",
    "mdadm --stop /dev/md5; mdadm --stop /dev/md0; mdadm --stop /dev/md0",
    "mdadm --zero-superblock /dev/vda1",
    "mdadm --zero-superblock /dev/vda",
    "mdadm --zero-superblock /dev/sdb",
    "mdadm --examine /dev/vda1",
    "mdadm --assemble --scan",
    "mdadm --stop --scan; wipefs -af /dev/vda; wipefs -af /dev/vdb; wipefs -af /dev/sdb; wipefs -af /dev/nvme0n1",
  ],
  erase: [
    "hdparm -I /dev/sda",
    "hdparm -I /dev/vda",
    "hdparm -I /dev/sdb",
    "smartctl -d ata /dev/sdb -g security",
    "smartctl -d ata /dev/sda -g security",
    "smartctl -d ata /dev/vda -g security",
    "nvme id-ctrl /dev/nvme0n1 -o json",
    "nvme id-ctrl /dev/vda -o json",
    "nvme format /dev/nvme0n1 -s 1 -f",
    "nvme format /dev/nvme0n1 -s 2 -f",
    "nvme format /dev/vda -s 1 -f",
    "shred --force --zero --verbose --iterations 1 /dev/vdc",
    "shred --force --verbose --iterations 3 /dev/vda",
    "shred --force --zero --verbose --iterations 1 /dev/nothing",
    "lsblk --fs --noheadings /dev/sdb",
  ],
};

/** What a session's command printed; the command as in SESSIONS, its `occurrence`th time (0 = first). */
export async function recordedOutput(
  session: string,
  command: string,
  occurrence = 0,
): Promise<RecordedCommand> {
  const file = join(import.meta.dir, "../../fixtures", session, "session.json");
  const recorded: RecordedCommand[] = await Bun.file(file).json();
  const found = recorded.filter((entry) => entry.command === command)[occurrence];
  if (found === undefined) throw new Error(`${session} has no recording of: ${command}`);
  return found;
}
