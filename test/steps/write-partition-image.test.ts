// Partition images on loop devices: the agent makes the disk around a root file system. Real parted, mkfs and mkswap.

import { beforeAll, describe, expect } from "bun:test";
import { readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { gzipSync } from "node:zlib";
import { readPartitionTable } from "../../src/disk/partition-table.ts";
import { DeploymentError, FileSystemNotSupported, InvalidCommandParamsError } from "../../src/errors.ts";
import type { JsonObject } from "../../src/json.ts";
import { writeImage } from "../../src/steps/write-image.ts";
import { realBlockDevices } from "../../src/system/block-device.ts";
import { file } from "../support/fault-server.ts";
import { tool } from "../support/loop-device.ts";
import { failure, onMachine, serving, sha256 } from "./write-image-machine.ts";

const MEBIBYTE = 1024 * 1024;
const ROOT_UUID = "0f2b9c3e-6f0d-4c2a-8a39-1d7f5e2b6c11";

let root: Buffer;
/** With blocks of 4096 bytes; the other's are smaller, as a file system of this size gets them. */
let largeBlocks: Buffer;
let qcow2: Buffer;
let fat: Buffer;

beforeAll(async () => {
  const path = `${tmpdir()}/root-${crypto.randomUUID()}`;
  const made = async (size: number, ...argv: string[]) => {
    await writeFile(path, "");
    await truncate(path, size);
    await tool(...argv, path);
    return readFile(path);
  };
  root = await made(16 * MEBIBYTE, "mkfs.ext4", "-q", "-U", ROOT_UUID);
  await tool("qemu-img", "convert", "-f", "raw", "-O", "qcow2", path, `${path}.qcow2`);
  qcow2 = await readFile(`${path}.qcow2`);
  largeBlocks = await made(16 * MEBIBYTE, "mkfs.ext4", "-q", "-b", "4096");
  fat = await made(MEBIBYTE, "mkfs.vfat", "-n", "config-2");
  await rm(path);
  await rm(`${path}.qcow2`);
});

const PARTITION = {
  image_type: "partition",
  root_mb: 20,
  disk_format: "raw",
  stream_raw_images: true,
  deploy_boot_mode: "bios",
  boot_option: "local",
};

/** `blkid -p` of a partition as an object. */
async function probe(path: string): Promise<Record<string, string>> {
  const lines = (await tool("blkid", "-p", "-o", "export", path)).trim().split("\n");
  return Object.fromEntries(lines.map((line) => line.split("=", 2)));
}

async function bytesOf(path: string, length: number): Promise<Buffer> {
  await tool("blockdev", "--flushbufs", path);
  await using device = await realBlockDevices.open(path, "read");
  const bytes = Buffer.alloc(length);
  await device.read(bytes, 0);
  return bytes;
}

describe.each([
  ["streamed", {}, () => root],
  ["copied first", { stream_raw_images: false, disk_format: "qcow2" }, () => qcow2],
] as const)("a root file system, %s", (_, form, image) => {
  const size = 1024 * MEBIBYTE;
  onMachine(
    "UEFI: ESP, ephemeral, swap, config drive and root, and their identifiers (deploy 11.44, 11.45, 11.50)",
    { size },
    async ({ disk, context, deployment }) => {
      const more = {
        ...PARTITION,
        ...form,
        deploy_boot_mode: "uefi",
        swap_mb: 10,
        ephemeral_mb: "30",
        disk_label: "msdos",
      };
      await serving([file(image())], image(), more, async (info) => {
        const drive = gzipSync(fat).toString("base64");
        const text = await writeImage(context, info, drive);
        const { "efi system partition uuid": esp } = deployment.partitionUuids;
        expect(text).toBe(
          `image (image-id) written to device ${disk} root_uuid=${ROOT_UUID} efi_system_partition_uuid=${esp}`,
        );
      });
      await using device = await context.system.blockDevices.open(disk, "read");
      const table = await readPartitionTable(device);
      expect(table.label).toBe("gpt");
      expect(
        table.partitions.map(({ number, start, size }) => [number, start / MEBIBYTE, size / MEBIBYTE]),
      ).toEqual([
        [1, 1, 550],
        [2, 551, 30],
        [3, 581, 10],
        [4, 591, 1],
        [5, 592, 20],
      ]);
      expect(table.partitions.map(({ type }) => type.slice(0, 8))).toEqual([
        "c12a7328",
        "0fc63daf",
        "0657fd6d",
        "0fc63daf",
        "0fc63daf",
      ]);
      const [esp, ephemeral, swap, drive, rootPartition] = [1, 2, 3, 4, 5].map((n) => `${disk}p${n}`) as [
        string,
        string,
        string,
        string,
        string,
      ];
      expect(await probe(esp)).toMatchObject({ TYPE: "vfat", LABEL: "efi-part" });
      expect(await probe(ephemeral)).toMatchObject({ TYPE: "ext4", LABEL: "ephemeral0" });
      expect(await probe(swap)).toMatchObject({ TYPE: "swap", LABEL: "swap1" });
      expect((await bytesOf(drive, fat.length)).equals(fat)).toBe(true);
      expect((await bytesOf(rootPartition, root.length)).equals(root)).toBe(true);
      expect(deployment.partitionUuids).toEqual({
        partitions: {
          "efi system partition": esp,
          ephemeral,
          swap,
          configdrive: drive,
          root: rootPartition,
        },
        "root uuid": ROOT_UUID,
        "efi system partition uuid": (await probe(esp)).UUID ?? "none",
      });
    },
  );
});

onMachine(
  "BIOS with an msdos label: the root partition boots (deploy 11.44)",
  {},
  async ({ disk, context, deployment }) => {
    await serving([file(root)], root, PARTITION, async (info) => {
      expect(await writeImage(context, info, null)).toBe(
        `image (image-id) written to device ${disk} root_uuid=${ROOT_UUID}`,
      );
    });
    expect(await tool("parted", "-s", "-m", disk, "unit", "s", "print")).toContain(
      "1:2048s:43007s:40960s:ext4::boot;",
    );
    expect(deployment.partitionUuids).toMatchObject({ "efi system partition uuid": null });
  },
);

onMachine(
  "BIOS with a GPT, on 4096-byte sectors (deploy 11.44)",
  { sectorSize: 4096 },
  async ({ disk, context }) => {
    context.node.properties = { capabilities: "disk_label:gpt,boot_mode:bios" };
    await serving([file(largeBlocks)], largeBlocks, { ...PARTITION, swap_mb: 8 }, async (info) => {
      await writeImage(context, info, null);
    });
    await using device = await context.system.blockDevices.open(disk, "read");
    const { partitions } = await readPartitionTable(device);
    expect(
      partitions.map(({ start, size, type }) => [start / MEBIBYTE, size / MEBIBYTE, type.slice(0, 8)]),
    ).toEqual([
      [1, 1, "21686148"],
      [2, 8, "0657fd6d"],
      [10, 20, "0fc63daf"],
    ]);
  },
);

onMachine(
  "a root file system with blocks smaller than the disk's sectors, which no kernel mounts",
  { sectorSize: 4096 },
  async ({ context, content }) => {
    await serving([file(root)], root, PARTITION, async (info) => {
      const error = await failure(writeImage(context, info, null));
      expect(error).toBeInstanceOf(DeploymentError);
      expect(error.details).toContain("The image's ext4 file system has blocks of 1024 bytes");
      expect(error.details).toContain("its sectors of 4096 bytes");
    });
    const disk = await content();
    for (const end of [disk.subarray(0, MEBIBYTE), disk.subarray(-MEBIBYTE)])
      expect(end.every((byte) => byte === 0)).toBe(true);
  },
);

type Refusal = {
  readonly info: JsonObject;
  readonly type: new (...args: never[]) => Error;
  readonly details: string;
  readonly requests: number;
};
const refusals: Record<string, Refusal> = {
  "an image larger than its partition (deploy 11.47)": {
    info: { root_mb: 15 },
    type: InvalidCommandParamsError,
    details: "Root partition is too small for requested image. Image virtual size: 16 MB, Root size: 15 MB",
    requests: 1,
  },
  "partitions larger than the disk (deploy 11.47)": {
    info: { root_mb: 20, swap_mb: 200 },
    type: DeploymentError,
    details: "the partitions need 221 MiB (swap 200, root 20), and the disk has 127",
    requests: 0,
  },
  "preserve_ephemeral on a disk with another layout (deploy 11.49)": {
    info: { ephemeral_mb: 30, preserve_ephemeral: true },
    type: DeploymentError,
    details: "cannot be preserved: the disk is not partitioned as this deployment needs it",
    requests: 0,
  },
};
describe("refused with the disk untouched", () => {
  for (const [name, refusal] of Object.entries(refusals))
    onMachine(name, {}, async ({ context, content, deployment }) => {
      const before = sha256(await content());
      await serving([file(root)], root, { ...PARTITION, ...refusal.info }, async (info, requests) => {
        const error = await failure(writeImage(context, info, null));
        expect(error).toBeInstanceOf(refusal.type);
        expect(error.details).toContain(refusal.details);
        expect(requests).toHaveLength(refusal.requests);
      });
      expect(sha256(await content())).toBe(before);
      expect(deployment.partitionUuids).toEqual({});
    });
});

onMachine(
  "a rebuild keeps the ephemeral partition and renews the rest (deploy 11.49)",
  {},
  async ({ disk, context }) => {
    const info = { ...PARTITION, swap_mb: 8, ephemeral_mb: 30, ephemeral_format: "ext3" };
    await serving([file(root), file(root)], root, info, async (first) => {
      await writeImage(context, first, null);
      const ephemeral = await probe(`${disk}p1`);
      expect(ephemeral).toMatchObject({ TYPE: "ext3", LABEL: "ephemeral0" });
      const swap = await probe(`${disk}p2`);
      await tool("dd", "if=/dev/zero", `of=${disk}p3`, "bs=1M", "count=1", "conv=fsync");
      await writeImage(context, { ...first, preserve_ephemeral: true }, null);
      expect((await probe(`${disk}p1`)).UUID).toBe(ephemeral.UUID ?? "");
      expect((await probe(`${disk}p2`)).UUID).not.toBe(swap.UUID ?? "");
      expect((await bytesOf(`${disk}p3`, root.length)).equals(root)).toBe(true);
    });
  },
);

onMachine(
  "an XFS where the ephemeral partition of the last deployment has its ext4 (deploy 11.52)",
  { size: 512 * MEBIBYTE },
  async ({ disk, context }) => {
    const info = { ...PARTITION, ephemeral_mb: 320, ephemeral_format: null };
    await serving([file(root), file(root)], root, info, async (given) => {
      await writeImage(context, given, null);
      expect(await probe(`${disk}p1`)).toMatchObject({ TYPE: "ext4", LABEL: "ephemeral0" });
      await writeImage(context, { ...given, ephemeral_format: "xfs" }, null);
      expect(await probe(`${disk}p1`)).toMatchObject({ TYPE: "xfs", LABEL: "ephemeral0" });
    });
  },
);

onMachine("a file system nobody has a tool for (deploy 11.52)", {}, async ({ disk, context, deployment }) => {
  const info = { ...PARTITION, ephemeral_mb: 30, ephemeral_format: "nosuchfs" };
  await serving([file(root)], root, info, async (given) => {
    const error = await failure(writeImage(context, given, null));
    expect(error).toBeInstanceOf(FileSystemNotSupported);
    expect(error.details).toBe("Failed to create a file system. File system nosuchfs is not supported.");
  });
  // Half a deployment must not boot.
  expect((await bytesOf(disk, MEBIBYTE)).equals(Buffer.alloc(MEBIBYTE))).toBe(true);
  expect(deployment.partitionUuids).toEqual({});
});

{
  let mkswapWorks = true;
  onMachine(
    "a rebuild that fails when the root file system is whole leaves nothing that boots, and the ephemeral partition",
    {
      change: (system) => ({
        ...system,
        run: (argv, options) => system.run(argv[0] === "mkswap" && !mkswapWorks ? ["false"] : argv, options),
      }),
    },
    async ({ disk, context }) => {
      const info = { ...PARTITION, swap_mb: 8, ephemeral_mb: 30 };
      await serving([file(root), file(root)], root, info, async (first) => {
        await writeImage(context, first, null);
        const ephemeral = await probe(`${disk}p1`);
        mkswapWorks = false;
        const error = await failure(writeImage(context, { ...first, preserve_ephemeral: true }, null));
        expect(error.type).toBe("ImageWriteError");
        expect((await bytesOf(`${disk}p3`, MEBIBYTE)).equals(Buffer.alloc(MEBIBYTE))).toBe(true);
        expect(await probe(`${disk}p1`)).toEqual(ephemeral);
      });
    },
  );
}

onMachine("a wrong checksum leaves nothing that boots", {}, async ({ disk, context }) => {
  await serving(
    [file(root), file(root)],
    root,
    { ...PARTITION, os_hash_value: "0".repeat(64) },
    async (info) => {
      expect(await failure(writeImage(context, info, null))).toMatchObject({ type: "ImageChecksumError" });
    },
  );
  expect((await bytesOf(disk, MEBIBYTE)).equals(Buffer.alloc(MEBIBYTE))).toBe(true);
});
