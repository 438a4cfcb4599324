// A disk that does not take a block, before, in the middle of or after an image: what the error says, and what is left. On a loop device
// that fails at one place.

import { afterAll, beforeAll, expect } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { DeploymentError, ImageWriteError } from "../../src/errors.ts";
import { writeImage } from "../../src/steps/write-image.ts";
import { BlockDeviceIoError } from "../../src/system/block-device.ts";
import { ProgramFailedError } from "../../src/system/programs.ts";
import type { System } from "../../src/system/system.ts";
import { file } from "../support/fault-server.ts";
import { converted, failure, onMachine, serving } from "./write-image-machine.ts";

const MEBIBYTE = 1024 * 1024;
const BAD = 5 * MEBIBYTE;
const KERNEL = "I/O error, dev $, sector 10240 op 0x1:(WRITE) flags 0x4800 phys_seg 254 prio class 2";

let directory = "";

beforeAll(async () => {
  directory = await mkdtemp(`${tmpdir()}/failing-disk-`);
});

afterAll(() => rm(directory, { recursive: true }));

/** Fails where `BAD` is, or at `bad`. The kernel says so of the disk, which is only known by then. */
function failing(system: System, bad = BAD): System {
  let name = "";
  return {
    ...system,
    run: (argv, options) =>
      argv[0] === "dmesg"
        ? Promise.resolve({
            exitCode: 0,
            stdout: `[   61.034427] ${KERNEL.replace("$", name)}\n`,
            stderr: "",
          })
        : system.run(argv, options),
    blockDevices: {
      open: async (path, mode) => {
        const device = await system.blockDevices.open(path, mode);
        name = path.replace("/dev/", "");
        return {
          ...{ path, size: device.size, sectorSize: device.sectorSize },
          read: (buffer, offset) => device.read(buffer, offset),
          write: async (bytes, offset) => {
            if (offset <= bad && bad < offset + bytes.length)
              throw new BlockDeviceIoError("writing", path, "EIO");
            await device.write(bytes, offset);
          },
          flush: () => device.flush(),
          [Symbol.asyncDispose]: () => device[Symbol.asyncDispose](),
        };
      },
    },
  };
}

const image = Buffer.alloc(12 * MEBIBYTE, 0x5a);

onMachine(
  "a disk that does not take a block is named by model, serial number and the kernel's words; nothing is left that boots",
  { change: (system) => failing(system) },
  async ({ disk, context, content }) => {
    await serving([file(image)], image, { disk_format: "raw", stream_raw_images: true }, async (info) => {
      const error = await failure(writeImage(context, info, null));
      expect(error).toBeInstanceOf(ImageWriteError);
      expect(error.details).toStartWith(
        `Writing image to device ${disk} failed: writing ${disk}: EIO. ${disk} is model `,
      );
      expect(error.details).toContain("serial number");
      expect(error.details).toContain(`The kernel says: ${KERNEL.replace("$", disk.replace("/dev/", ""))}.`);
    });
    const left = await content();
    expect(left.subarray(0, MEBIBYTE).equals(Buffer.alloc(MEBIBYTE))).toBe(true);
    expect(left.subarray(-MEBIBYTE).equals(Buffer.alloc(MEBIBYTE))).toBe(true);
  },
);

onMachine(
  "one that takes nothing any more is named so too when it is to be wiped",
  { change: (system) => failing(system, 0) },
  async ({ disk, context }) => {
    await serving([file(image)], image, { disk_format: "raw", stream_raw_images: true }, async (info) => {
      const error = await failure(writeImage(context, info, null));
      expect(error).toBeInstanceOf(DeploymentError);
      expect(error.details).toStartWith(
        `Destroying metadata failed on device ${disk}. Error: writing ${disk}: EIO. ${disk} is model `,
      );
      expect(error.details).toContain("serial number");
    });
  },
);

/** qemu-img meets the bad place, and after that the disk is gone. */
function failingUnderQemu(system: System): System {
  const wrapped = failing(system, Number.POSITIVE_INFINITY);
  let gone = false;
  return {
    ...wrapped,
    run: (argv, options) => {
      if (!argv.includes("convert")) return wrapped.run(argv, options);
      gone = true;
      const stderr = "qemu-img: error while writing at byte 5242880: Input/output error";
      return Promise.reject(new ProgramFailedError(argv, "exit code 1", 1, "", stderr));
    },
    blockDevices: {
      open: async (path, mode) => {
        if (gone) throw new BlockDeviceIoError("opening", path, "ENXIO");
        return await wrapped.blockDevices.open(path, mode);
      },
    },
  };
}

onMachine(
  "qemu-img's error is told with the disk's serial number, not what failed after it",
  { change: failingUnderQemu, config: { stream_qcow2_images: false } },
  async ({ disk, context }) => {
    const qcow2 = await converted(directory, image, "-O", "qcow2");
    await serving([file(qcow2)], qcow2, { disk_format: "qcow2" }, async (info) => {
      const error = await failure(writeImage(context, info, null));
      expect(error).toBeInstanceOf(ImageWriteError);
      expect(error.details).toStartWith(
        `Writing image to device ${disk} failed with exit code 1. stdout: . stderr: qemu-img: error while writing at byte ` +
          `5242880: Input/output error. ${disk} is model `,
      );
    });
  },
);
