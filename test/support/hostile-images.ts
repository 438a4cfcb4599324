// Images that want something: files of the ramdisk, memory, a crash, or to be taken for something else. Made by qemu-img and by changing
// single bytes of what it makes; `disk` is a raw disk image to begin from.

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { deflateRawSync, gzipSync } from "node:zlib";
import { tool } from "./loop-device.ts";

export type HostileImage = {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Part of the error that must come. */
  readonly refusal: string;
};

const UNSAFE = "Security: Image failed safety check";

export async function hostileImages(disk: Uint8Array): Promise<HostileImage[]> {
  const directory = await mkdtemp(`${tmpdir()}/hostile-`);
  try {
    return await new Maker(directory, disk).all();
  } finally {
    await rm(directory, { recursive: true });
  }
}

class Maker {
  readonly #directory: string;
  readonly #disk: Uint8Array;

  constructor(directory: string, disk: Uint8Array) {
    this.#directory = directory;
    this.#disk = disk;
  }

  async all(): Promise<HostileImage[]> {
    const secret = "/etc/shadow";
    const qcow2 = await this.#converted("qcow2");
    const v2 = await this.#converted("qcow2", "-o", "compat=0.10");
    const vmdk = await this.#converted("vmdk");
    return [
      {
        name: "qcow2 on a file of the ramdisk",
        bytes: withBackingFile(qcow2, secret),
        refusal: "it has a backing file",
      },
      {
        name: "qcow2 version 2 on a file of the ramdisk",
        bytes: withBackingFile(v2, secret),
        refusal: "it has a backing file",
      },
      {
        name: "qcow2 on a JSON description of a device",
        bytes: withBackingFile(qcow2, 'json:{"driver":"host_device","filename":"/dev/sda"}'),
        refusal: "it has a backing file",
      },
      {
        name: "qcow2 with its data in another file",
        bytes: await this.#created("qcow2", "-o", `data_file=${this.#directory}/data`),
        refusal: "it has an external data file",
      },
      {
        name: "qcow2 with an unknown feature",
        bytes: big64(qcow2, 72, 1n << 40n),
        refusal: "features this agent does not know",
      },
      {
        name: "qcow2 with extended L2 entries",
        bytes: big64(qcow2, 72, 1n << 4n),
        refusal: "features this agent does not know",
      },
      { name: "qcow2 version 1", bytes: big32(qcow2, 4, 1), refusal: "unknown qcow2 version 1" },
      {
        name: "qcow2 with 16 EiB of virtual disk",
        bytes: big64(qcow2, 24, (1n << 64n) - 1n),
        refusal: "impossible virtual size",
      },
      { name: "qcow2 of clusters of 4 GiB", bytes: big32(qcow2, 20, 32), refusal: "impossible cluster size" },
      {
        name: "qcow2 with an L1 table of gigabytes",
        bytes: big32(qcow2, 36, 0x7fff_ffff),
        refusal: "L1 table",
      },
      { name: "qcow2 that is encrypted", bytes: big32(qcow2, 32, 2), refusal: "it is encrypted" },
      { name: "qcow2 cut in its header", bytes: qcow2.subarray(0, 90), refusal: UNSAFE },
      {
        name: "qcow2 with a boot sector",
        bytes: bootSector(qcow2),
        refusal: "matched multiple potential formats",
      },
      {
        name: "qcow2 that calls itself a CD",
        bytes: text(qcow2, 32_769, "CD001"),
        refusal: "matched multiple potential formats",
      },
      {
        name: "disk that is a CD as well",
        bytes: text(this.#disk, 32_769, "CD001"),
        refusal: "matched multiple potential formats",
      },
      {
        name: "disk with an impossible protective entry",
        bytes: byte(this.#disk, 447, 7),
        refusal: "impossible place (CHS)",
      },
      { name: "QED", bytes: await this.#created("qed"), refusal: "qed: the format is not supported" },
      {
        name: "VMDK descriptor of a file elsewhere",
        bytes: Buffer.from(flatDescriptor(secret)),
        refusal: "it is a descriptor alone",
      },
      {
        name: "VMDK with an extent elsewhere",
        bytes: reworded(vmdk, 'SPARSE "', 'FLAT "/ '),
        refusal: "names a file elsewhere",
      },
      {
        name: "VMDK with a parent",
        bytes: reworded(vmdk, "parentCID=ffffffff", "parentCID=00000001"),
        refusal: "it has a parent image",
      },
      {
        name: "VMDK of no size, which is a descriptor to qemu",
        bytes: little64(vmdk, 12, 0n),
        refusal: "impossible virtual size",
      },
      {
        name: "VMDK with its tables in a footer that is none",
        bytes: little64(vmdk, 56, (1n << 64n) - 1n),
        refusal: "wrong markers",
      },
      {
        name: "VHD that is a difference to another",
        bytes: big32(await this.#converted("vpc"), 60, 4),
        refusal: "no complete image",
      },
      {
        name: "VHDX without regions",
        bytes: text(await this.#converted("vhdx"), 192 * 1024, "none"),
        refusal: "no region table",
      },
      {
        name: "VDI that is a difference to another",
        bytes: little32(await this.#converted("vdi"), 0x4c, 4),
        refusal: "a difference",
      },
      { name: "qcow2 in a gzip file", bytes: gzipSync(qcow2), refusal: "only raw images are unpacked" },
      {
        name: "qcow2 on a file of the ramdisk, in a gzip file",
        bytes: gzipSync(withBackingFile(qcow2, secret)),
        refusal: "it has a backing file",
      },
      { name: "gzip file of nonsense", bytes: nonsense(), refusal: "does not unpack (gzip)" },
    ];
  }

  async #converted(format: string, ...options: string[]): Promise<Buffer> {
    await writeFile(`${this.#directory}/disk`, this.#disk);
    await tool(
      "qemu-img",
      "convert",
      "-f",
      "raw",
      "-O",
      format,
      ...options,
      `${this.#directory}/disk`,
      `${this.#directory}/out`,
    );
    return readFile(`${this.#directory}/out`);
  }

  async #created(format: string, ...options: string[]): Promise<Buffer> {
    await rm(`${this.#directory}/new`, { force: true });
    await tool("qemu-img", "create", "-q", "-f", format, ...options, `${this.#directory}/new`, "8M");
    return readFile(`${this.#directory}/new`);
  }
}

/** The name goes where nothing else is: behind the header, in its first cluster. */
function withBackingFile(image: Uint8Array, name: string): Buffer {
  const at = 4096;
  return big32(big64(text(image, at, name), 8, BigInt(at)), 16, name.length);
}

function flatDescriptor(file: string): string {
  return `# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 16384 FLAT "${file}" 0\n`;
}

function nonsense(): Buffer {
  return Buffer.concat([
    gzipSync("x").subarray(0, 10),
    deflateRawSync("y".repeat(9999)).subarray(0, 5),
    Buffer.alloc(2_000_000, 0xee),
  ]);
}

function changed(bytes: Uint8Array, change: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(bytes);
  change(copy);
  return copy;
}

const big32 = (bytes: Uint8Array, at: number, value: number) =>
  changed(bytes, (copy) => copy.writeUInt32BE(value, at));
const big64 = (bytes: Uint8Array, at: number, value: bigint) =>
  changed(bytes, (copy) => copy.writeBigUInt64BE(value, at));
const little32 = (bytes: Uint8Array, at: number, value: number) =>
  changed(bytes, (copy) => copy.writeUInt32LE(value, at));
const little64 = (bytes: Uint8Array, at: number, value: bigint) =>
  changed(bytes, (copy) => copy.writeBigUInt64LE(value, at));
const byte = (bytes: Uint8Array, at: number, value: number) =>
  changed(bytes, (copy) => copy.writeUInt8(value, at));
const text = (bytes: Uint8Array, at: number, value: string) =>
  changed(bytes, (copy) => copy.write(value, at, "latin1"));
const bootSector = (bytes: Uint8Array) => changed(bytes, (copy) => copy.writeUInt16BE(0x55aa, 510));

function reworded(bytes: Uint8Array, from: string, to: string): Buffer {
  const at = Buffer.from(bytes).indexOf(from);
  if (at < 0 || from.length !== to.length) throw new Error(`cannot put "${to}" in place of "${from}"`);
  return text(bytes, at, to);
}
