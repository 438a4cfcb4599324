// A ramdisk with disks, in memory, on which parted, sgdisk, wipefs and mdadm do what they do on a real one as far as software RAID goes:
// tables, superblocks and arrays come and go, and sysfs follows. For command sequences and failures; that the real tools agree is proved
// in QEMU (test/vm/raid.test.ts). mdadm's texts are cut down from the recorded ones in test/fixtures/raid.

import { BlockDeviceIoError } from "../../src/system/block-device.ts";
import { ProgramFailedError } from "../../src/system/programs.ts";
import type { System } from "../../src/system/system.ts";
import { type RecordedFile, type RecordedProgram, recordedSystem } from "../support/recorded-system.ts";

type Superblock = { readonly uuid: string; readonly name: string };

export class RaidMachine {
  readonly system: System & {
    readonly calls: readonly (readonly string[])[];
    readonly messages: () => string[];
  };
  readonly #files: Map<string, RecordedFile>;
  readonly #disks = new Map<string, number[]>();
  readonly #superblocks = new Map<string, Superblock>();
  readonly #arrays = new Map<string, { readonly members: string[]; readonly superblock: Superblock }>();
  /** Arrays that refuse to stop, as one in use does. */
  readonly stuck = new Set<string>();
  /** Commands that fail, by their whole line. */
  readonly failing = new Set<string>();
  /** Members that mdadm leaves out of the next array without a word. */
  readonly forgotten = new Set<string>();
  #minor = 0;
  #uuids = 0;

  constructor(disks: readonly string[], files: Readonly<Record<string, RecordedFile>> = {}) {
    const answer: RecordedProgram = (argv) => this.#run(argv);
    const programs = [
      "lsblk",
      "parted",
      "sgdisk",
      "mdadm",
      "wipefs",
      "partx",
      "partprobe",
      "udevadm",
      "sync",
    ];
    const recorded = recordedSystem({
      programs: Object.fromEntries(programs.map((program) => [program, answer])),
      files: {
        "/proc/self/mountinfo": "1 1 0:2 / / rw - rootfs rootfs rw\n",
        "/proc/swaps": "Filename\n",
        ...files,
      },
    });
    this.#files = recorded.fileMap as Map<string, RecordedFile>;
    this.system = {
      ...recorded,
      messages: () => recorded.records.map(({ level, message }) => `${level} ${message}`),
      blockDevices: { open: async (path) => this.#open(path) },
    };
    for (const disk of disks) {
      this.#disks.set(disk, []);
      this.#addNode(disk, `/sys/devices/${disk}`);
    }
  }

  /** Disks and arrays, then partitions: what lsblk lists. */
  get devices(): string[] {
    const partitions = [...this.#disks].flatMap(([disk, numbers]) =>
      numbers.map((n) => partitionName(disk, n)),
    );
    return [...this.#disks.keys(), ...this.#arrays.keys(), ...partitions].map((name) => `/dev/${name}`);
  }

  get disks(): string[] {
    return [...this.#disks.keys(), ...this.#arrays.keys()].map((name) => `/dev/${name}`);
  }

  get arrays(): Record<string, string[]> {
    return Object.fromEntries([...this.#arrays].map(([name, { members }]) => [name, members]));
  }

  get superblocks(): string[] {
    return [...this.#superblocks.keys()].sort();
  }

  /** What was run, without the questions. */
  get commands(): string[] {
    const changes = /^(?:parted|sgdisk|wipefs|mdadm --(?:create|add|stop|zero|assemble))/;
    return this.system.calls.map((argv) => argv.join(" ")).filter((line) => changes.test(line));
  }

  addPartition(disk: string): void {
    const numbers = this.#disks.get(disk) ?? [];
    const number = numbers.length + 1;
    numbers.push(number);
    const name = partitionName(disk, number);
    this.#addNode(name, `/sys/devices/${disk}/${name}`);
    this.#files.set(`/sys/devices/${disk}/${name}/partition`, `${number}\n`);
  }

  /** As somebody else made it; `name` null leaves it without one. */
  addArray(device: string, members: readonly string[], name: string | null): void {
    this.#uuids += 1;
    const superblock = { uuid: `0000000${this.#uuids}:00000000:00000000:00000000`, name: name ?? "" };
    for (const member of members) this.#superblocks.set(member, superblock);
    this.#start(device, [...members], superblock);
  }

  #start(device: string, members: string[], superblock: Superblock): void {
    this.#arrays.set(device, { members, superblock });
    this.#addNode(device, `/sys/devices/virtual/${device}`);
    this.#files.set(`/sys/devices/virtual/${device}/md/array_state`, "clean\n");
    this.#files.set(`/sys/devices/virtual/${device}/md/sync_action`, "idle\n");
    for (const member of members) {
      this.#files.set(`/sys/devices/virtual/${device}/slaves/${member}`, { directory: true });
      this.#files.set(`${this.#home(member)}/holders/${device}`, { directory: true });
    }
  }

  #addNode(name: string, home: string): void {
    this.#minor += 1;
    this.#files.set(`/dev/${name}`, { device: { major: 8, minor: this.#minor } });
    this.#files.set(`/sys/dev/block/8:${this.#minor}`, { link: `../../../${home.slice(1)}` });
    this.#files.set(`/sys/class/block/${name}`, { link: `../../../${home.slice(1)}` });
    this.#files.set(`${home}/size`, "8388608\n");
  }

  #home(name: string): string {
    const disk = [...this.#disks].find(([known, numbers]) =>
      numbers.some((n) => partitionName(known, n) === name),
    )?.[0];
    return disk === undefined ? `/sys/devices/${name}` : `/sys/devices/${disk}/${name}`;
  }

  #removeNode(name: string): void {
    const known = this.#files.get(`/sys/class/block/${name}`) as { link: string };
    const home = `/${known.link.replace("../../../", "")}`;
    this.#files.delete(`/dev/${name}`);
    this.#files.delete(`/sys/class/block/${name}`);
    for (const [path, file] of this.#files) {
      const isLink = path.startsWith("/sys/dev/block/") && (file as { link: string }).link === known.link;
      if (isLink || path.startsWith(`${home}/`)) this.#files.delete(path);
    }
  }

  #run(argv: readonly string[]): { stdout?: string; stderr?: string; exitCode?: number } {
    const line = argv.join(" ");
    if (this.failing.has(line)) return { exitCode: 1, stderr: "made to fail" };
    const target = (argv.at(-1) ?? "").replace("/dev/", "");
    switch (argv[0]) {
      case "parted":
        return this.#parted(argv);
      case "lsblk":
        return { stdout: argv.includes("--fs") ? this.#fileSystems(target) : this.#listing() };
      case "sgdisk":
        return { stdout: "Creating new GPT entries in memory.\n2048\n" };
      case "partx":
        return {
          exitCode: 1,
          stderr: "partx: /dev/sda: adding partition #1 failed: Device or resource busy\n",
        };
      case "wipefs":
        this.#superblocks.delete(target);
        if (this.#disks.has(target)) this.#dropPartitions(target);
        return {};
      case "mdadm":
        return this.#mdadm(argv, target);
      default:
        return {};
    }
  }

  #listing(): string {
    const type = (name: string) =>
      this.#disks.has(name) ? "disk" : this.#arrays.has(name) ? "raid1" : "part";
    const blockdevices = this.devices.map((device) => {
      const kname = device.replace("/dev/", "");
      const numbers = { size: 10 * 2 ** 30, rota: false, "log-sec": 512, "phy-sec": 512 };
      return {
        kname,
        type: type(kname),
        model: null,
        uuid: null,
        partuuid: null,
        serial: null,
        wwn: null,
        tran: null,
        ...numbers,
      };
    });
    return JSON.stringify({ blockdevices });
  }

  /** What is on a device and on its partitions. */
  #fileSystems(name: string): string {
    const parts = (this.#disks.get(name) ?? []).map((number) => partitionName(name, number));
    return [name, ...parts]
      .map((part) => `${part}${this.#superblocks.has(part) ? " linux_raid_member" : ""}\n`)
      .join("");
  }

  #parted(argv: readonly string[]): object {
    const disk = (argv[1] ?? "").replace("/dev/", "");
    if (argv.includes("mklabel")) this.#dropPartitions(disk);
    if (argv.includes("mkpart")) this.addPartition(disk);
    if (argv.includes("rm")) {
      const number = Number(argv.at(-1));
      this.#removeNode(partitionName(disk, number));
      this.#disks.set(
        disk,
        (this.#disks.get(disk) ?? []).filter((known) => known !== number),
      );
    }
    return {};
  }

  #dropPartitions(disk: string): void {
    for (const number of this.#disks.get(disk) ?? []) this.#removeNode(partitionName(disk, number));
    this.#disks.set(disk, []);
  }

  #mdadm(argv: readonly string[], target: string): { stdout?: string; stderr?: string; exitCode?: number } {
    const array = this.#arrays.get(target);
    switch (argv[1]) {
      case "--create": {
        const device = (argv[2] ?? "").replace("/dev/", "");
        const count = Number(argv[argv.indexOf("--raid-devices") + 1]);
        const members = argv.slice(-count).map((path) => path.replace("/dev/", ""));
        this.addArray(
          device,
          members.filter((member) => !this.forgotten.has(member)),
          `node:${argv[argv.indexOf("--name") + 1]}`,
        );
        return { stderr: `mdadm: array /dev/${device} started.\n` };
      }
      case "--add":
        this.#arrays.get((argv[2] ?? "").replace("/dev/", ""))?.members.push(target);
        return {};
      case "--detail":
        return array === undefined
          ? { exitCode: 1, stderr: `mdadm: cannot open /dev/${target}` }
          : { stdout: detail(target, array) };
      case "--examine": {
        const superblock = this.#superblocks.get(target);
        if (superblock !== undefined) return { stdout: examine(target, superblock) };
        if ((this.#disks.get(target) ?? []).length > 0)
          return { stdout: `/dev/${target}:\n   MBR Magic : aa55\n` };
        return { exitCode: 1, stderr: `mdadm: No md superblock detected on /dev/${target}.\n` };
      }
      case "--stop":
        if (this.stuck.has(target))
          return { exitCode: 1, stderr: `mdadm: Cannot get exclusive access to /dev/${target}` };
        for (const member of array?.members ?? [])
          this.#files.delete(`${this.#home(member)}/holders/${target}`);
        this.#arrays.delete(target);
        this.#removeNode(target);
        return {};
      case "--zero-superblock":
        this.#superblocks.delete(target);
        return {};
      case "--assemble":
        return { exitCode: 1 };
      default:
        throw new ProgramFailedError(argv, "unknown here", 2, "", "");
    }
  }

  #open(path: string) {
    const numbers = this.#disks.get(path.replace("/dev/", ""));
    if (numbers === undefined) throw new BlockDeviceIoError("opening", path, "ENOENT");
    const sector = new Uint8Array(512);
    if (numbers.length > 0) {
      sector.set([0x55, 0xaa], 510);
      for (const index of numbers.keys())
        sector.set([0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0], 446 + 16 * index);
    }
    return {
      ...{ path, size: 2 ** 32, sectorSize: 512 },
      read: async (buffer: Uint8Array, offset: number) => {
        buffer.set(sector.subarray(offset, offset + buffer.length));
        return buffer.length;
      },
      write: async () => {},
      flush: async () => {},
      [Symbol.asyncDispose]: async () => {},
    };
  }
}

function partitionName(disk: string, number: number): string {
  return /\d$/.test(disk) ? `${disk}p${number}` : `${disk}${number}`;
}

function detail(
  device: string,
  { members, superblock }: { members: string[]; superblock: Superblock },
): string {
  const rows = members.map(
    (member, index) => `       ${index}       8        1        ${index}      active sync   /dev/${member}`,
  );
  const name =
    superblock.name === "" ? "" : `              Name : ${superblock.name}  (local to host node)\n`;
  return `/dev/${device}:\n           Version : 1.2\n        Raid Level : raid1\n\n${name}              UUID : ${superblock.uuid}\n            Events : 17\n\n    Number   Major   Minor   RaidDevice State\n${rows.join("\n")}\n`;
}

function examine(device: string, { uuid, name }: Superblock): string {
  return `/dev/${device}:\n          Magic : a92b4efc\n        Version : 1.2\n     Array UUID : ${uuid}\n           Name : ${name}\n    Device UUID : 7abc8236:10b74919:8ce902c4:1a67834b\n`;
}
