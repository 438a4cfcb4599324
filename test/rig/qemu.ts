// QEMU's command line, from a description of the machine. Kept apart from the running of it: this part is pure.

export type Firmware = "bios" | "uefi";
export type DiskBus = "virtio" | "sata" | "nvme" | "scsi";

/** A disk; exactly one of sizeBytes (a new empty sparse file) and file (an existing raw file, used in place). */
export interface DiskOptions {
  bus: DiskBus;
  serial: string;
  sizeBytes?: number;
  file?: string;
  readOnly?: boolean;
  /** Logical and physical, in bytes; 512 unless given. */
  sectorSize?: 4096;
  /** World Wide Name, `0x` and 16 digits; SATA and SCSI disks only. */
  wwn?: string;
}

export interface NicOptions {
  mac: string;
  /** Tap from Network.addTap(); without it the card has no cable. */
  tap?: string;
}

export interface MachineOptions {
  name: string;
  /** Where its disks, logs and sockets are kept; made when missing, not removed. */
  directory: string;
  firmware: Firmware;
  /** UEFI that starts only what is signed with Microsoft's keys. A kernel cannot be booted directly then: Debian's is signed for shim. */
  secureBoot?: boolean;
  memoryMiB: number;
  cpus: number;
  /**
   * One processor whose clock counts instructions, 1 ns each: what it measures does not depend on the host's other work. `cpus`
   * is not heeded then.
   */
  countInstructions?: boolean;
  disks: readonly DiskOptions[];
  nics: readonly NicOptions[];
  /** SMBIOS type 1: what dmidecode shows. */
  smbios?: { manufacturer?: string; product?: string; serial?: string; uuid?: string };
  /** Further arguments for QEMU, for example a BMC. */
  qemuArguments?: readonly string[];
}

export type BootSource =
  /** Direct kernel boot. A reboot of the guest ends the machine, since it would only boot the same kernel again. */
  | { kernel: string; initrd: string; cmdline: string }
  /**
   * From its disks: in their order under BIOS, in the order of the UEFI variables under UEFI. The serial of a disk
   * instead of true makes the firmware begin with that one. A reboot of the guest reboots. `without` is the serial of a disk
   * that was pulled out.
   */
  | { disk: true | string; without?: string };

const OVMF = "/usr/share/OVMF";
/** The firmware, and its variables as from the factory, of which each machine has its own copy. */
const UEFI = { code: `${OVMF}/OVMF_CODE_4M.fd`, variables: `${OVMF}/OVMF_VARS_4M.fd` };
const SECURE_UEFI = { code: `${OVMF}/OVMF_CODE_4M.secboot.fd`, variables: `${OVMF}/OVMF_VARS_4M.ms.fd` };
export const VARIABLES_FILE = "uefi-variables.fd";
export const CONSOLE_SOCKET = "console.sock";

/** File of the UEFI variables as from the factory; null without UEFI. */
export function factoryVariables({ firmware, secureBoot }: MachineOptions): string | null {
  if (firmware === "bios") return null;
  return (secureBoot === true ? SECURE_UEFI : UEFI).variables;
}

/** The whole command, to be run in the machine's directory. `consoleLog` is relative to it. */
export function qemuArguments(
  options: MachineOptions,
  diskFiles: readonly string[],
  source: BootSource,
  consoleLog: string,
): string[] {
  return [
    "qemu-system-x86_64",
    ...["-name", options.name],
    ...["-machine", "q35", "-cpu", "max", ...processorArguments(options)],
    ...["-nodefaults", "-no-user-config", "-display", "none"],
    ...["-m", `${options.memoryMiB}M`],
    ...["-device", "virtio-rng-pci"],
    ...firmwareArguments(options),
    ...smbiosArguments(options.smbios ?? {}),
    // To be read in the file, and to be typed at through the socket.
    ...["-chardev", `socket,id=console,path=${CONSOLE_SOCKET},server=on,wait=off,logfile=${consoleLog}`],
    ...["-serial", "chardev:console"],
    ...["-chardev", "socket,id=shell,path=shell.sock,server=on,wait=off", "-serial", "chardev:shell"],
    ...["-chardev", "socket,id=qmp,path=qmp.sock,server=on,wait=off", "-mon", "chardev=qmp,mode=control"],
    ...options.disks.flatMap((disk, index) =>
      "disk" in source && disk.serial === source.without
        ? []
        : diskArguments(disk, index, diskFiles[index] ?? "", bootIndex(options, source, index)),
    ),
    ...options.nics.flatMap(nicArguments),
    ...bootArguments(source),
    ...(options.qemuArguments ?? []),
  ];
}

function processorArguments({ cpus, countInstructions }: MachineOptions): string[] {
  if (countInstructions === true)
    return ["-accel", "tcg,thread=single,tb-size=256", "-icount", "shift=0,sleep=off", "-smp", "1"];
  return ["-accel", "tcg,thread=multi,tb-size=256", "-smp", String(cpus)];
}

function firmwareArguments({ firmware, secureBoot }: MachineOptions): string[] {
  if (firmware === "bios") return [];
  // Only in system management mode may the secure firmware's variables be written, or anybody could write his own keys.
  const guarded = [
    ...["-machine", "smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"],
    ...["-global", "ICH9-LPC.disable_s3=1"],
  ];
  return [
    ...[
      "-drive",
      `if=pflash,unit=0,format=raw,readonly=on,file=${(secureBoot === true ? SECURE_UEFI : UEFI).code}`,
    ],
    ...["-drive", `if=pflash,unit=1,format=raw,file=${VARIABLES_FILE}`],
    ...(secureBoot === true ? guarded : []),
  ];
}

function smbiosArguments(smbios: NonNullable<MachineOptions["smbios"]>): string[] {
  const fields = Object.entries(smbios).map(([name, value]) => `,${name}=${escaped(value)}`);
  return fields.length === 0 ? [] : ["-smbios", `type=1${fields.join("")}`];
}

/** QEMU ends an option's value at a comma, unless there are two. */
function escaped(value: string): string {
  return value.replaceAll(",", ",,");
}

function bootIndex(options: MachineOptions, source: BootSource, index: number): string {
  if (!("disk" in source)) return "";
  if (source.disk !== true) return options.disks[index]?.serial === source.disk ? ",bootindex=1" : "";
  // OVMF would put a boot index before the entries that an agent has written into the UEFI variables.
  return options.firmware === "bios" ? `,bootindex=${index + 1}` : "";
}

function diskArguments(disk: DiskOptions, index: number, file: string, bootIndex: string): string[] {
  const id = `disk${index}`;
  // cache=unsafe: nobody needs the disk after a crash of the host, and flushes are slow.
  const drive = `if=none,id=${id},format=raw,cache=unsafe,discard=unmap,file=${escaped(file)}`;
  const wwn = disk.wwn === undefined ? "" : `,wwn=${disk.wwn}`;
  const size = disk.sectorSize;
  const sectors = size === undefined ? "" : `,logical_block_size=${size},physical_block_size=${size}`;
  const common = `drive=${id},serial=${escaped(disk.serial)}${wwn}${sectors}${bootIndex}`;
  const devices: Record<DiskBus, string[]> = {
    virtio: ["-device", `virtio-blk-pci,${common}`],
    sata: ["-device", `ide-hd,bus=ide.${index},${common}`],
    nvme: ["-device", `nvme,${common}`],
    scsi: ["-device", `virtio-scsi-pci,id=scsi${index}`, "-device", `scsi-hd,bus=scsi${index}.0,${common}`],
  };
  return ["-drive", disk.readOnly === true ? `${drive},readonly=on` : drive, ...devices[disk.bus]];
}

function nicArguments(nic: NicOptions, index: number): string[] {
  const id = `nic${index}`;
  const backend =
    nic.tap === undefined
      ? ["-netdev", `hubport,id=${id},hubid=${index}`]
      : ["-netdev", `tap,id=${id},ifname=${nic.tap},script=no,downscript=no`];
  // No boot ROM: nothing is booted from the network by the firmware.
  return [...backend, "-device", `virtio-net-pci,netdev=${id},mac=${nic.mac},romfile=`];
}

function bootArguments(source: BootSource): string[] {
  if ("disk" in source) return [];
  return ["-kernel", source.kernel, "-initrd", source.initrd, "-append", source.cmdline, "-no-reboot"];
}
