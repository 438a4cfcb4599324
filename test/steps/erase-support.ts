// What the tests of the erasing steps share: a ramdisk with disks in memory that can be read and written, on which shred, hdparm and nvme
// are what the test says.

import { Config } from "../../src/config/config.ts";
import type { JsonObject } from "../../src/json.ts";
import type { Progress } from "../../src/progress.ts";
import type { ErasableDisk } from "../../src/steps/erase-device.ts";
import type { EraseContext } from "../../src/steps/erase-guards.ts";
import type { System } from "../../src/system/system.ts";
import {
  type RecordedFile,
  type RecordedProgram,
  type RecordedSystem,
  recordedSystem,
} from "../support/recorded-system.ts";

const SIZE = 256 * 1024;
const NOTHING_SPECIAL = { stdout: '{"blockdevices": [{"uuid": null, "fstype": null}]}' };
const IDENTIFIERS = "lsblk -bia --json -oUUID,PTUUID,PARTTYPE,PARTUUID,FSTYPE";

export type EraseMachine = {
  readonly system: System;
  readonly recorded: RecordedSystem;
  /** Content by device. */
  readonly content: Map<string, Uint8Array>;
  /** What was run on a device to destroy something, e.g. `shred /dev/sda`. */
  destructive(): string[];
};

/** Disks full of data; shred zeroes, hdparm finds no ATA security, smartctl is not installed. */
export function eraseMachine(
  devices: readonly string[],
  programs: Record<string, RecordedProgram> = {},
  files: Record<string, RecordedFile> = {},
): EraseMachine {
  const content = new Map(devices.map((device) => [device, noise(device)]));
  const nodes: Record<string, RecordedFile> = {};
  const answers: Record<string, RecordedProgram> = {};
  for (const [minor, device] of devices.entries()) {
    const name = device.slice("/dev/".length);
    const disk = /^(.*\d)p\d+$|^(.*\D)\d+$/.exec(name);
    const parent = name.startsWith("nvme")
      ? disk?.[1]
      : name.startsWith("md")
        ? undefined
        : (disk?.[1] ?? disk?.[2]);
    const home = parent === undefined ? `/sys/devices/${name}` : `/sys/devices/${parent}/${name}`;
    nodes[device] = { device: { major: 8, minor } };
    nodes[`/sys/dev/block/8:${minor}`] = { link: `../../..${home}` };
    nodes[`/sys/class/block/${name}`] = { link: `../../..${home}` };
    nodes[`${home}/size`] = "512\n";
    if (parent !== undefined) nodes[`${home}/partition`] = "1\n";
    answers[`lsblk --fs --noheadings ${device}`] = { stdout: `${name}\n` };
    answers[`${IDENTIFIERS} ${device}`] = NOTHING_SPECIAL;
  }
  const recorded = recordedSystem({
    files: {
      "/proc/self/mountinfo": "1 1 0:2 / / rw - rootfs rootfs rw\n",
      "/proc/swaps": "Filename\n",
      ...nodes,
      ...files,
    },
    programs: {
      shred: (argv) => {
        content.get(argv.at(-1) ?? "")?.fill(argv.includes("--zero") ? 0 : 0x5a);
        return { stderr: `shred: ${argv.at(-1)}: pass 1/1 (000000)...\n` };
      },
      hdparm: { stdout: "\n/dev/sda:\n" },
      ...{ blockdev: {}, udevadm: {}, wipefs: {}, sgdisk: {}, fuser: { exitCode: 1 } },
      ...answers,
      ...programs,
    },
  });
  return {
    recorded,
    content,
    system: {
      ...recorded,
      blockDevices: {
        open: async (path) => {
          const bytes = content.get(path) ?? new Uint8Array(SIZE);
          return {
            ...{ path, size: bytes.length, sectorSize: 512 },
            read: async (buffer, offset) => {
              buffer.set(bytes.subarray(offset, offset + buffer.length));
              return buffer.length;
            },
            write: async (data, offset) => bytes.set(data, offset),
            flush: async () => {},
            [Symbol.asyncDispose]: async () => {},
          };
        },
      },
    },
    destructive: () =>
      recorded.calls
        .filter(([program, option]) => {
          if (program === "nvme") return option === "format";
          return program === "hdparm"
            ? option !== "-I"
            : ["shred", "wipefs", "sgdisk"].includes(program ?? "");
        })
        .map((argv) => `${argv[0]} ${argv.find((word) => word.startsWith("/dev/"))}`),
  };
}

export function eraseContext(
  system: System,
  settings: JsonObject = {},
  options: Parameters<typeof Config.of>[0] = {},
): EraseContext & { readonly reports: Progress[] } {
  const reports: Progress[] = [];
  return {
    system,
    config: Config.of(options),
    node: { uuid: "node-1", driver_internal_info: settings },
    signal: new AbortController().signal,
    report: (progress) => void reports.push(progress),
    reports,
  };
}

export function eraseDisk(name: string, size = SIZE): ErasableDisk {
  return { name, size, model: "MODEL", serial: `SN-${name.slice(5)}` };
}

function noise(seed: string): Uint8Array {
  return new Uint8Array(SIZE).map((_, index) => (index * 31 + (index >> 9) + seed.length) % 251);
}
