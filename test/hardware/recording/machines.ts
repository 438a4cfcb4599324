// The QEMU machines that the hardware layer is tried on: live in the VM matrix (test/vm), and as its recordings in the unit
// tests. What is set here is what the tests expect (configured.ts).

import type { Firmware } from "../../rig/qemu.ts";

const MIB = 2 ** 20;

export type FixtureMachine = {
  readonly firmware: Firmware;
  readonly memoryMiB: number;
  readonly kernelParameters: string;
  /** Serial number → bytes of the raw files behind the disks named in `devices` (as DISK-<serial>). */
  readonly disks: Readonly<Record<string, number>>;
  readonly devices: readonly string[];
  /** How many cards are on the rig's network, with DHCP and a neighbour that speaks LLDP: tap0 and so on in `devices`. */
  readonly taps?: number;
  /** What its BMC says of itself; without it the BMC, if there is one, is among the devices. */
  readonly bmc?: { readonly address: string; readonly mac: string };
  /** Files in its ramdisk, by path. */
  readonly files?: Readonly<Record<string, string>>;
  /** Cards (ids of QEMU's devices) without a cable. */
  readonly unplugged?: readonly string[];
  /** Shell lines inside the machine before it is asked. */
  readonly preparation: readonly string[];
};

function drive(serial: string): string[] {
  return ["-drive", `if=none,id=${serial},format=raw,cache=unsafe,discard=unmap,file=DISK-${serial}`];
}

/** The backend of the card number `index`, on the rig's network. */
function tap(index: number): string[] {
  return ["-netdev", `tap,id=net${index},ifname=tap${index},script=no,downscript=no`];
}

/**
 * A line of shell that calls the cards with these addresses eth0, eth1 and so on, and leaves them up: the kernel numbers cards in the
 * order in which their drivers come to them, which is another one each time.
 */
function cardNames(...addresses: string[]): string {
  return [
    'number_cards() { n=0; for mac in "$@"; do old=$(basename "$(dirname "$(grep -l "$mac" /sys/class/net/*/address)")")',
    'ip link set "$old" down; ip link set "$old" name "card$n"; n=$((n + 1)); done',
    'while [ "$n" -gt 0 ]; do n=$((n - 1)); ip link set "card$n" name "eth$n"; ip link set "eth$n" up; done; }',
    `number_cards ${addresses.join(" ")}`,
  ].join("; ");
}

export const MACHINES: Readonly<Record<string, FixtureMachine>> = {
  /** Every kind of disk, two cards, a VLAN, an array, a BMC without LAN. */
  "qemu-bios": {
    firmware: "bios",
    memoryMiB: 2048,
    kernelParameters: "BOOTIF=01-52-54-00-12-34-56",
    disks: {
      VBLK1: 12 * 1024 * MIB,
      SCSI77: 7 * 1024 * MIB,
      IDE001: 100 * MIB,
      NVME42A: 128 * MIB,
      NVME42B: 256 * MIB,
      MEMBER1: 64 * MIB,
      MEMBER2: 64 * MIB,
      STICK: 32 * MIB,
      FLOPPY: 1_474_560,
    },
    devices: [
      ...["-smbios", "type=0,vendor=TestBIOS,version=1.2.3,date=03/30/2023"],
      ...["-smbios", "type=1,manufacturer=Acme,product=Rocket,serial=SN123,sku=R-1"],
      ...drive("VBLK1"),
      ...["-device", "virtio-blk-pci,drive=VBLK1,serial=VBLK1"],
      ...drive("SCSI77"),
      ...["-device", "virtio-scsi-pci,id=scsi"],
      ...[
        "-device",
        "scsi-hd,bus=scsi.0,drive=SCSI77,serial=SCSI77,vendor=ACME,product=SPINNER,wwn=0x5000c500a1b2c3d4,rotation_rate=7200",
      ],
      ...["-device", "scsi-cd,bus=scsi.0"],
      ...drive("IDE001"),
      ...[
        "-device",
        "ide-hd,bus=ide.1,drive=IDE001,serial=IDE001,model=ATADISK,wwn=0x5000c50012345678,rotation_rate=1",
      ],
      ...drive("NVME42A"),
      ...drive("NVME42B"),
      ...["-device", "nvme,id=nvme,serial=NVME42"],
      ...["-device", "nvme-ns,bus=nvme,drive=NVME42A,nsid=1"],
      ...[
        "-device",
        "nvme-ns,bus=nvme,drive=NVME42B,nsid=2,logical_block_size=4096,physical_block_size=4096",
      ],
      ...drive("MEMBER1"),
      ...["-device", "virtio-blk-pci,drive=MEMBER1,serial=MEMBER1"],
      ...drive("MEMBER2"),
      ...["-device", "virtio-blk-pci,drive=MEMBER2,serial=MEMBER2"],
      ...drive("STICK"),
      ...[
        "-device",
        "qemu-xhci,id=usb",
        "-device",
        "usb-storage,bus=usb.0,drive=STICK,serial=STICK,removable=on",
      ],
      ...drive("FLOPPY"),
      ...["-device", "isa-fdc,id=fdc", "-device", "floppy,bus=fdc.0,drive=FLOPPY"],
      ...[
        "-netdev",
        "hubport,id=net0,hubid=0",
        "-device",
        "virtio-net-pci,netdev=net0,mac=52:54:00:12:34:56,romfile=",
      ],
      ...[
        "-netdev",
        "hubport,id=net1,hubid=0",
        "-device",
        "e1000e,netdev=net1,mac=52:54:00:12:34:57,romfile=",
      ],
      ...["-device", "ipmi-bmc-sim,id=bmc", "-device", "isa-ipmi-kcs,bmc=bmc"],
    ],
    preparation: [
      "modprobe floppy",
      "modprobe 8021q",
      cardNames("52:54:00:12:34:57", "52:54:00:12:34:56"),
      // eth1 works under an address of its own, as a member of a bond does.
      "ip addr add 192.0.2.10/24 dev eth0",
      "ip link set eth1 down",
      "ip link set eth1 address 52:54:00:aa:bb:cc",
      "ip link add link eth0 name eth0.100 type vlan id 100",
      "ip link set eth0.100 up",
      "ip addr add 2001:db8::100/64 dev eth0.100 nodad",
      "yes | mdadm --create /dev/md0 --metadata=1.2 --level=1 --raid-devices=2 /dev/disk/by-id/virtio-MEMBER1 /dev/disk/by-id/virtio-MEMBER2",
    ],
  },
  /** Two sockets of two cores with two threads, each with its memory; a card that belongs to the second; two USB devices. */
  "qemu-numa": {
    firmware: "bios",
    memoryMiB: 2048,
    kernelParameters: "BOOTIF=52:54:00:00:00:02",
    disks: { SCSI1: 5 * 1024 * MIB },
    devices: [
      ...["-smbios", "type=1,manufacturer=Tyrell,product=Nexus,serial=0123456789,version=6"],
      ...["-smbios", "type=1,uuid=4c4c4544-0044-4810-8031-b8c04f5a5132"],
      ...["-cpu", "max,vendor=GenuineIntel", "-smp", "8,sockets=2,cores=2,threads=2"],
      ...["-object", "memory-backend-ram,id=memory0,size=1536M"],
      ...["-object", "memory-backend-ram,id=memory1,size=512M"],
      ...["-numa", "node,nodeid=0,cpus=0-3,memdev=memory0", "-numa", "node,nodeid=1,cpus=4-7,memdev=memory1"],
      ...drive("SCSI1"),
      ...["-device", "virtio-scsi-pci,id=scsi"],
      ...["-device", "scsi-hd,bus=scsi.0,drive=SCSI1,serial=SCSI1,vendor=ACME,product=SPINNER"],
      ...["-device", "pxb-pcie,id=second,bus_nr=100,numa_node=1,bus=pcie.0"],
      ...["-device", "pcie-root-port,id=far0,bus=second,chassis=1"],
      ...["-netdev", "hubport,id=net0,hubid=0"],
      ...["-device", "e1000e,bus=far0,netdev=net0,mac=52:54:00:00:00:02,romfile="],
      ...["-netdev", "hubport,id=net1,hubid=1"],
      ...["-device", "virtio-net-pci,bus=pcie.0,netdev=net1,mac=52:54:00:00:00:03,romfile="],
      ...["-device", "qemu-xhci,bus=pcie.0,id=usb"],
      ...[
        "-chardev",
        "null,id=null",
        "-device",
        "usb-serial,bus=usb.0,chardev=null,always-plugged=on,serial=U-1",
      ],
      ...["-device", "usb-tablet,bus=usb.0,serial=T-1"],
    ],
    preparation: [
      "mount -t debugfs debugfs /sys/kernel/debug",
      cardNames("52:54:00:00:00:02", "52:54:00:00:00:03"),
      "ip link set eth0 down",
    ],
  },
  /** UEFI, one NVMe and one SATA disk with partitions, one card without a cable. */
  "qemu-uefi": {
    firmware: "uefi",
    memoryMiB: 2048,
    kernelParameters: "",
    disks: { NVME1: 20 * 1024 * MIB, SATA1: 10 * 1024 * MIB },
    devices: [
      ...["-smbios", "type=1,manufacturer=Umbrella,product=Hive,serial=H-77"],
      ...drive("NVME1"),
      ...["-device", "nvme,drive=NVME1,serial=NVME1"],
      ...drive("SATA1"),
      ...["-device", "ide-hd,bus=ide.0,drive=SATA1,serial=SATA1,model=PLATTER,rotation_rate=5400"],
      ...[
        "-netdev",
        "hubport,id=net0,hubid=0",
        "-device",
        "e1000e,id=card,netdev=net0,mac=52:54:00:00:00:01,romfile=",
      ],
    ],
    preparation: ["sgdisk -n 1:0:+64M -t 1:ef00 -n 2:0:0 /dev/sda", "ip link set eth0 down"],
  },
  /**
   * What a server has: four sockets on four NUMA nodes, firmware strings, a BMC with an address, four cards of which two are a
   * bond and one has no cable, VLANs, switches that speak LLDP, one USB device.
   */
  "qemu-server": {
    firmware: "uefi",
    memoryMiB: 3072,
    kernelParameters: "BOOTIF=01-52-54-00-00-01-01",
    disks: { SCSI1: 5 * 1024 * MIB },
    taps: 4,
    bmc: { address: "198.51.100.7", mac: "52:54:00:bc:00:07" },
    unplugged: ["card3"],
    devices: [
      ...["-smbios", "type=0,vendor=Lab Firmware,version=7.7.7,date=02/29/2024,release=7.7,uefi=on"],
      ...["-smbios", "type=1,manufacturer=Weyland-Yutani,product=Nostromo,version=180924609,serial=WY-0042"],
      ...["-smbios", "type=1,uuid=6d1f9a1e-51a4-4b0c-9d3e-0d0c8d1d2f11,sku=N-1,family=Towing"],
      ...["-smbios", "type=2,manufacturer=Seegson,product=Board 9,serial=SB-9"],
      ...["-smbios", "type=3,manufacturer=Seegson,serial=CH-3,asset=A-17"],
      ...["-smbios", "type=4,sock_pfx=Socket,manufacturer=Hyperdyne,version=Model 120,max-speed=3200"],
      ...["-smbios", "type=17,loc_pfx=DIMM,manufacturer=Acme Memory,serial=M-1,part=P-8,speed=2666"],
      ...[
        "-cpu",
        "max,vendor=GenuineIntel,model-id=Hyperdyne 120-A/2,-aes",
        "-smp",
        "8,sockets=4,cores=1,threads=2",
      ],
      ...[0, 1, 2, 3].flatMap((node) => [
        ...["-object", `memory-backend-ram,id=memory${node},size=768M`],
        ...["-numa", `node,nodeid=${node},cpus=${2 * node}-${2 * node + 1},memdev=memory${node}`],
      ]),
      ...drive("SCSI1"),
      ...["-device", "virtio-scsi-pci,id=scsi,bus=pcie.0,addr=8"],
      ...["-device", "scsi-hd,bus=scsi.0,drive=SCSI1,serial=SCSI1,vendor=ACME,product=SPINNER"],
      ...tap(0),
      ...["-device", "virtio-net-pci,netdev=net0,bus=pcie.0,addr=10,mac=52:54:00:00:01:01,romfile="],
      ...tap(1),
      ...["-device", "e1000e,netdev=net1,bus=pcie.0,addr=11,mac=52:54:00:00:01:02,romfile="],
      ...tap(2),
      ...["-device", "e1000e,netdev=net2,bus=pcie.0,addr=12,mac=52:54:00:00:01:03,romfile="],
      ...["-device", "pxb-pcie,id=far,bus_nr=100,numa_node=2,bus=pcie.0"],
      ...["-device", "pcie-root-port,id=far0,bus=far,chassis=1"],
      ...tap(3),
      ...["-device", "e1000e,id=card3,netdev=net3,bus=far0,mac=52:54:00:00:01:04,romfile="],
      ...["-device", "qemu-xhci,bus=pcie.0,addr=14,id=usb"],
      ...["-chardev", "null,id=null"],
      ...["-device", "usb-serial,bus=usb.0,chardev=null,always-plugged=on,serial=U-1"],
    ],
    preparation: [
      // Where lshw reads of USB devices.
      "mount -t debugfs debugfs /sys/kernel/debug",
      'card() { basename "$(dirname "$(grep -l "52:54:00:00:01:$1" /sys/class/net/eth*/address)")"; }',
      "modprobe bonding max_bonds=0",
      "modprobe 8021q",
      "ip link add bond0 type bond mode active-backup miimon 100",
      // What DHCP gave the members goes.
      "for last in 02 03; do name=$(card $last); until ip -4 addr show dev $name | grep -q inet; do sleep 0.2; done; ip link set $name down; ip addr flush dev $name; ip link set $name master bond0; done",
      "ip link set bond0 up",
      "ip addr add 203.0.113.5/24 dev bond0",
      'ip link add link "$(card 01)" name pxe.100 type vlan id 100',
      "ip link set pxe.100 up",
    ],
  },
  /** One unit of a storage array by two paths, with partitions; a volume group; a disk that cannot be written. */
  "qemu-multipath": {
    firmware: "bios",
    memoryMiB: 1536,
    kernelParameters: "",
    disks: { LUN7: 8 * 1024 * MIB, VOLUMES: 9 * 1024 * MIB, FIXED: 16 * MIB },
    files: { "/etc/multipath.conf": "defaults {\n  find_multipaths yes\n  user_friendly_names yes\n}\n" },
    devices: [
      ...["-smbios", "type=1,manufacturer=Cyberdyne,product=Genisys"],
      ...[1, 2].flatMap((path) => [
        // Both open the same file, which QEMU's lock would refuse.
        "-drive",
        `if=none,id=LUN7-${path},format=raw,cache=unsafe,file=DISK-LUN7,file.locking=off`,
        ...["-device", `virtio-scsi-pci,id=path${path},bus=pcie.0,addr=1${path}`],
        "-device",
        `scsi-hd,bus=path${path}.0,drive=LUN7-${path},share-rw=on,serial=LUN7,vendor=ACME,product=ARRAY,wwn=0x5000c500aabbccdd`,
      ]),
      ...drive("VOLUMES"),
      ...["-device", "virtio-blk-pci,bus=pcie.0,addr=13,drive=VOLUMES,serial=VOLUMES"],
      "-drive",
      "if=none,id=FIXED,format=raw,cache=unsafe,readonly=on,file=DISK-FIXED",
      ...["-device", "virtio-blk-pci,bus=pcie.0,addr=14,drive=FIXED,serial=FIXED"],
    ],
    preparation: [
      "sgdisk -n 1:0:+64M -t 1:ef00 /dev/disk/by-id/wwn-0x5000c500aabbccdd && partprobe && udevadm settle",
      "lvm pvcreate -q /dev/disk/by-id/virtio-VOLUMES",
      "lvm vgcreate -q data /dev/disk/by-id/virtio-VOLUMES",
      "lvm lvcreate -q --wipesignatures n --zero n -n one -L 5G data",
    ],
  },
};
