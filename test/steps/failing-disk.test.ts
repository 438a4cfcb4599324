// A disk that does not take a block in the middle of an image: what the error says, and what is left. On a loop device that
// fails at one place.

import { expect } from "bun:test";
import { ImageWriteError } from "../../src/errors.ts";
import { writeImage } from "../../src/steps/write-image.ts";
import { BlockDeviceIoError } from "../../src/system/block-device.ts";
import type { System } from "../../src/system/system.ts";
import { file } from "../support/fault-server.ts";
import { failure, onMachine, serving } from "./write-image-machine.ts";

const MEBIBYTE = 1024 * 1024;
const BAD = 5 * MEBIBYTE;
const KERNEL = "I/O error, dev $, sector 10240 op 0x1:(WRITE) flags 0x4800 phys_seg 254 prio class 2";

/** The kernel says so of the disk, which is only known by then. */
function failing(system: System): System {
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
            if (offset <= BAD && BAD < offset + bytes.length)
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
  { change: failing },
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
