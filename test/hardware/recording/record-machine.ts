// Records the machine it runs on: the output of every program and the content of every file that the hardware
// layer may ask for, as JSON. It only reads. `bun run test:vm -- --record` bundles it and runs it in the machines of the VM
// matrix, after the agent and by the agent's own runtime; it also runs on the development machine:
//
//   bun test/hardware/recording/record-machine.ts OUTPUT

import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { parseChannelInfo } from "../../../src/hardware/ipmitool.ts";
import { realSupportedLinkModes } from "../../../src/system/ethtool.ts";
import { splitDeviceNumber } from "../../../src/system/files.ts";
import type { StoredFile, StoredMachine, StoredProgram } from "./recording.ts";

const IPMI_CHANNELS = existsSync("/dev/ipmi0") ? Array.from({ length: 11 }, (_, index) => index + 1) : [];

const CHANNEL_INFO = ["ipmitool", "exec", "/proc/self/fd/0"];

const PROGRAMS: readonly (readonly string[])[] = [
  ["udevadm", "settle"],
  ["lscpu"],
  ["lscpu", "-x"],
  ["lsblk", "-bia", "--json", "-oKNAME,MODEL,SIZE,ROTA,TYPE,UUID,PARTUUID,SERIAL,WWN,LOG-SEC,PHY-SEC,TRAN"],
  ["ip", "-j", "addr"],
  ["lshw", "-quiet", "-json"],
  ["dmidecode", "-t", "bios", "-t", "processor", "-t", "memory"],
  ["multipath", "-ll"],
];

const machine: StoredMachine = {
  hostname: hostname(),
  architecture: process.arch,
  programs: {},
  files: {},
};

for (const argv of PROGRAMS) recordProgram(argv);
if (IPMI_CHANNELS.length > 0) recordBmc();

for (const path of [
  "/proc/cmdline",
  "/proc/cpuinfo",
  "/proc/meminfo",
  "/proc/self/mountinfo",
  "/proc/1/mountinfo",
  "/proc/swaps",
  "/proc/sys/kernel/osrelease",
  "/etc/os-release",
  "/sys/class/dmi/id/product_uuid",
  "/sys/firmware/efi",
  "/sys/firmware/dmi/tables/DMI",
])
  record(path);

recordEntries("/sys/devices/system/memory", /^(?:memory\d+|block_size_bytes)$/, ["", "online"]);
recordEntries("/sys/class/net", /./, [
  ...["address", "bonding", "carrier", "device", "device/device", "device/driver", "device/vendor"],
  ...["ifindex", "speed", "device/numa_node"],
]);
recordEntries("/sys/bus/pci/devices", /./, ["vendor", "device", "class", "revision", "numa_node"]);
recordEntries("/sys/devices/system/node", /^node\d+$/, ["meminfo"]);
for (const node of entries("/sys/devices/system/node", /^node\d+$/))
  recordEntries(`/sys/devices/system/node/${node}`, /^cpu/, ["topology/core_id"]);
recordEntries("/sys/devices/system/cpu", /^cpu\d+$/, ["topology/physical_package_id"]);
for (const name of entries("/sys/class/net", /./)) {
  const modes = realSupportedLinkModes(name);
  if (modes !== null) machine.linkModes = { ...machine.linkModes, [name]: [...modes] };
}
recordEntries("/sys/class/block", /^(?!loop)/, [
  ...["dev", "device", "device/scsi_device", "device/vendor", "loop/backing_file", "partition", "size"],
  ...["slaves", "holders", "dm/name", "dm/uuid", "device/model", "device/rev", "queue/optimal_io_size"],
  ...["queue/physical_block_size", "queue/rotational", "queue/nr_requests", "queue/scheduler"],
]);
recordEntries("/sys/block", /^(?!loop)/, [""]);
recordEntries("/sys/dev/block", /./, [""]);
for (const name of entries("/sys/block", /^sd/))
  recordEntries(`/sys/block/${name}/device/scsi_disk`, /./, ["cache_type"]);
recordEntries("/dev/disk/by-id", /./, [""]);
recordEntries("/dev/disk/by-path", /./, [""]);
recordEntries("/run/udev/data", /^b/, [""]);
recordEntries("/sys/firmware", /./, [""]);
recordEntries("/sys/module", /^(?:dm_multipath|ipmi_)/, [""]);
recordEntries("/dev", /^(?:ipmi|sd|sr|vd|nvme\d+n|md|fd\d|zram|dm-)/, [""]);

const output = process.argv[2];
if (output === undefined) throw new Error("usage: record-machine OUTPUT");
writeFileSync(output, `${JSON.stringify(machine, null, 1)}\n`);
console.log(`record: written to ${output}`);

function recordProgram(argv: readonly string[], input = ""): StoredProgram | null {
  const executable = Bun.which(argv[0] ?? "");
  if (executable === null) return null;
  const { exitCode, stdout, stderr } = Bun.spawnSync([executable, ...argv.slice(1)], {
    env: { PATH: process.env.PATH ?? "", LC_ALL: "C", LANG: "C" },
    stdin: Buffer.from(input),
  });
  const program = { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
  machine.programs[argv.join(" ")] = program;
  return program;
}

/** The channels that the agent asks: those behind which the BMC says there is a LAN. An emulated one takes its time for each. */
function recordBmc(): void {
  const input = IPMI_CHANNELS.map((channel) => `channel info ${channel}\n`).join("");
  const info = recordProgram(CHANNEL_INFO, input);
  if (info === null) return;
  const { lans, others } = parseChannelInfo(info);
  for (const channel of lans.length + others < IPMI_CHANNELS.length ? IPMI_CHANNELS : lans) {
    recordProgram(["ipmitool", "lan", "print", `${channel}`]);
    for (const what of [[], ["enables"], ["dynamic_addr"], ["static_addr"]])
      recordProgram(["ipmitool", "lan6", "print", `${channel}`, ...what]);
  }
}

function entries(directory: string, wanted: RegExp): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .sort()
    .filter((name) => wanted.test(name));
}

function recordEntries(directory: string, wanted: RegExp, below: readonly string[]): void {
  for (const name of entries(directory, wanted)) {
    for (const attribute of below) record(join(directory, name, attribute));
  }
}

/** The file at `path` and every link on the way to it; directories only by name, with the names in them. */
function record(path: string): void {
  const parts = path.split("/").filter((part) => part !== "");
  let here = "";
  for (const [index, part] of parts.entries()) {
    if (here !== "" && !lstatSync(here).isDirectory()) return;
    here = `${here}/${part}`;
    const stat = lstatSync(here, { throwIfNoEntry: false });
    if (stat === undefined) return;
    if (stat.isSymbolicLink()) {
      machine.files[here] = { link: readlinkSync(here) };
      if (!existsSync(here)) return;
      here = realpathSync(here);
    }
    if (index === parts.length - 1) recordFile(here);
  }
}

function recordFile(path: string): void {
  const stat = lstatSync(path);
  if (stat.isDirectory()) {
    // Only what the names say matters (slaves, holders, scsi_device): one level, unless it is a whole device.
    const names = /\/(?:slaves|holders|scsi_device)$/.test(path) ? readdirSync(path) : [];
    if (names.length === 0) machine.files[path] ??= { directory: true };
    for (const name of names) record(join(path, name));
  } else if (stat.isBlockDevice() || stat.isCharacterDevice()) {
    machine.files[path] = {
      device: splitDeviceNumber(stat.rdev),
      kind: stat.isBlockDevice() ? "block" : "character",
    };
  } else {
    const content = readContent(path);
    if (content !== null) machine.files[path] = content;
  }
}

/** Null when the kernel refuses (the carrier of an interface that is down). */
function readContent(path: string): StoredFile | null {
  try {
    const bytes = readFileSync(path);
    const text = bytes.toString("utf8");
    return Buffer.from(text, "utf8").equals(bytes) && !text.includes("\0")
      ? text
      : { base64: bytes.toString("base64") };
  } catch {
    return null;
  }
}
