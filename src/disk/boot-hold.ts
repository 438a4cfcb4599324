// Keeps a disk from booting until everything is on it. A whole-disk image needs its partition table on the disk before a config drive
// can be put beside it, and a system that comes up in between, because the power went, would come up for the first time without its
// config drive: with no keys, no network, and never asking again. So what firmware starts from is kept in memory meanwhile: the boot
// code of the master boot record (BIOS), and the first sector of each FAT file system, without which it is none (UEFI).

import { alignedBuffer } from "../system/aligned-buffer.ts";
import type { BlockDevice } from "../system/block-device.ts";
import type { System } from "../system/system.ts";
import { probeFileSystem } from "./file-system.ts";
import {
  type DiskReader,
  type Partition,
  PartitionTableError,
  readPartitionTable,
} from "./partition-table.ts";

/** Bytes of the first sector before the disk signature and the table, which stay. */
const BOOT_CODE_BYTES = 440;
/** What has to be held back of the disk's start is in its first mebibyte. */
const HEAD_BYTES = 1024 * 1024;
/** A file system with this label is the config drive's, or will be. */
const CONFIG_DRIVE_LABEL = "config-2";

const MESSAGE = "The deployment of this disk was cut short. Deploy it again.\r\n";

export class BootHold {
  readonly #system: System;
  readonly #signal: AbortSignal;
  /** In the order in which they go back: what BIOS starts from is the last. */
  #kept: { readonly offset: number; readonly bytes: Uint8Array }[] = [];

  constructor(system: System, signal: AbortSignal) {
    this.#system = system;
    this.#signal = signal;
  }

  /**
   * Takes away what the disk would boot from, everything but its start being on the medium.
   * @param head the disk's start, which is about to be written
   * @returns what to write instead: with the same partition table, but not bootable
   * @throws BlockDeviceIoError; ProgramFailedError and ProgramMissingError of blkid
   */
  async take(device: BlockDevice, head: Uint8Array): Promise<Uint8Array> {
    // Of an attempt before, if this is another one.
    this.#kept = [];
    if (head.length < device.sectorSize) return head;
    const held = alignedBuffer(head.length);
    held.set(head);
    const disk = withHead(device, head);
    for (const { start } of await this.#bootPartitions(disk, device.path, head.length)) {
      const sector = new Uint8Array(device.sectorSize);
      await disk.read(sector, start);
      this.#kept.push({ offset: start, bytes: sector });
      if (start < head.length) held.fill(0, start, start + sector.length);
      else await device.write(new Uint8Array(sector.length), start);
    }
    this.#kept.push({ offset: 0, bytes: head.slice(0, BOOT_CODE_BYTES) });
    held.set(bootCode(MESSAGE));
    await device.flush();
    return held;
  }

  /** The same with a disk that boots already. @throws BlockDeviceIoError, ProgramFailedError, ProgramMissingError */
  async takeFromDisk(path: string): Promise<void> {
    await using device = await this.#system.blockDevices.open(path, "write");
    const head = new Uint8Array(Math.min(HEAD_BYTES, device.size));
    await device.read(head, 0);
    await device.write(await this.take(device, head), 0);
    await device.flush();
  }

  /** Makes the disk bootable, once all that was written is on the medium. @throws BlockDeviceIoError */
  async release(path: string): Promise<void> {
    // Not exclusively: udev may have activated a volume group of the image's.
    await using device = await this.#system.blockDevices.open(path, "write");
    await device.flush();
    for (const { offset, bytes } of this.#kept) {
      await device.write(bytes, offset);
      await device.flush();
    }
    this.#kept = [];
  }

  /** Those that firmware may start something from. */
  async #bootPartitions(disk: DiskReader, path: string, headBytes: number): Promise<Partition[]> {
    const found: Partition[] = [];
    for (const partition of await partitionsOf(disk)) {
      // What begins in the head is not on the disk yet, and cannot be asked for.
      if (partition.start < headBytes || (await this.#isFat(path, partition))) found.push(partition);
    }
    return found;
  }

  async #isFat(path: string, { start, size }: Partition): Promise<boolean> {
    // There is no device node for it yet.
    const { type, label } = await probeFileSystem(this.#system, path, this.#signal, { start, size });
    return type === "vfat" && label?.toLowerCase() !== CONFIG_DRIVE_LABEL;
  }
}

/** The disk as it will be with `head` as its start. */
function withHead(device: BlockDevice, head: Uint8Array): DiskReader {
  return {
    ...{ size: device.size, sectorSize: device.sectorSize },
    read: async (buffer, offset) => {
      const ours = head.subarray(Math.min(offset, head.length), offset + buffer.length);
      buffer.set(ours);
      if (ours.length === buffer.length) return ours.length;
      return ours.length + (await device.read(buffer.subarray(ours.length), offset + ours.length));
    },
  };
}

/** None if the table cannot be read, which fails the deployment in a moment. */
async function partitionsOf(disk: DiskReader): Promise<readonly Partition[]> {
  try {
    return (await readPartitionTable(disk)).partitions;
  } catch (error) {
    if (error instanceof PartitionTableError) return [];
    throw error;
  }
}

/** For a BIOS: prints the message and has the next boot device tried. Runs at 0000:7C00 in real mode. */
function bootCode(message: string): Uint8Array {
  const code = [
    ...[0x31, 0xc0], //             xor ax, ax
    ...[0x8e, 0xd8], //             mov ds, ax
    ...[0xfc], //                   cld
    ...[0xbe, 0x1b, 0x7c], //       mov si, message
    ...[0xac], //             next: lodsb
    ...[0x84, 0xc0], //             test al, al
    ...[0x74, 0x09], //             jz done
    ...[0xb4, 0x0e], //             mov ah, 0x0e   (teletype)
    ...[0xbb, 0x07, 0x00], //       mov bx, 7
    ...[0xcd, 0x10], //             int 0x10
    ...[0xeb, 0xf2], //             jmp next
    ...[0xcd, 0x18], //       done: int 0x18       (this device does not boot)
    ...[0xf4, 0xeb, 0xfd], //       hlt; jmp $-1   (for a BIOS that comes back)
  ];
  const bytes = new Uint8Array(BOOT_CODE_BYTES);
  bytes.set([...code, ...new TextEncoder().encode(message), 0]);
  return bytes;
}
