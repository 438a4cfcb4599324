// The commands that write an image outside of steps, through the registry, on a loop device with the real tools: what old conductors
// and third parties get to read. What is written is tested in test/steps.

import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { InvalidCommandParamsError } from "../../src/errors.ts";
import type { JsonObject } from "../../src/json.ts";
import { writeImageStep } from "../../src/steps/write-image.ts";
import { realBlockDevices } from "../../src/system/block-device.ts";
import { realClock } from "../../src/system/clock.ts";
import { realFiles } from "../../src/system/files.ts";
import { realHttpClient } from "../../src/system/http-client.ts";
import { createLogger } from "../../src/system/log.ts";
import { createRun } from "../../src/system/programs.ts";
import { answer, faultServer, file } from "../support/fault-server.ts";
import { loopDevice, noLoopDevices, tool } from "../support/loop-device.ts";
import { fixture } from "./fixture.ts";

const MEBIBYTE = 1024 * 1024;

/** A disk with an MBR of signature 1a2b3c4d and one partition. */
async function mbrImage(): Promise<Buffer> {
  const directory = await mkdtemp(`${tmpdir()}/image-`);
  try {
    const path = `${directory}/raw`;
    await writeFile(path, "");
    await truncate(path, 8 * MEBIBYTE);
    await tool("parted", "-s", path, "mklabel", "msdos", "mkpart", "primary", "ext4", "1MiB", "7MiB");
    const image = await readFile(path);
    image.writeUInt32LE(0x1a2b3c4d, 440);
    return image;
  } finally {
    await rm(directory, { recursive: true });
  }
}

// contract 10.50 and 10.52, deploy 11.84
test.skipIf(noLoopDevices !== null)(
  "prepare_image and cache_image: the text with the device and the disk's identifier, and the partition UUIDs",
  async () => {
    await using disk = await loopDevice(64 * MEBIBYTE);
    const image = await mbrImage();
    await using server = await faultServer(file(image), file(image));
    const log = createLogger("test", "ERROR", () => {});
    const { registry, system } = await fixture({
      clock: realClock,
      config: { allow_host_disks: true },
      system: {
        run: createRun(realClock, log),
        files: realFiles,
        blockDevices: realBlockDevices,
        http: realHttpClient,
      },
      manager: { getOsInstallDevice: async () => disk.path },
    });
    const uuids = async () => (await registry.execute("standby.get_partition_uuids", {})).command_result;
    const image_info: JsonObject = {
      id: "i",
      urls: [`${server.url}/i`],
      disk_format: "raw",
      stream_raw_images: true,
      os_hash_algo: "sha256",
      os_hash_value: createHash("sha256").update(image).digest("hex"),
    };
    expect(await uuids()).toEqual({});
    expect(system.records.at(-2)?.message).toContain("has not written an image yet");

    const prepared = await registry.execute("standby.prepare_image", { image_info });
    expect(await registry.wait(prepared.id)).toMatchObject({
      command_error: null,
      command_result: {
        result: `prepare_image: image (i) written to device ${disk.path} root_uuid=0x1a2b3c4d`,
      },
    });
    expect(await uuids()).toEqual({ "root uuid": "0x1a2b3c4d" });

    const cached = await registry.execute("standby.cache_image", { image_info, force: true });
    expect(await registry.wait(cached.id)).toMatchObject({
      command_name: "cache_image",
      command_result: { result: `cache_image: image (i) cached to device ${disk.path} root_uuid=0x1a2b3c4d` },
    });
  },
  60_000,
);

// deploy 11.90
test.skipIf(noLoopDevices !== null)(
  "a deploy step write_image whose image cannot be had is a failed step, with the reason",
  async () => {
    await using disk = await loopDevice(8 * MEBIBYTE);
    await using server = await faultServer(answer(404));
    const { registry } = await fixture({
      clock: realClock,
      config: { allow_host_disks: true },
      system: { files: realFiles, blockDevices: realBlockDevices, http: realHttpClient },
      steps: [writeImageStep],
      manager: { getOsInstallDevice: async () => disk.path },
    });
    const image_info = {
      ...{ id: "i", urls: [`${server.url}/i`], disk_format: "raw", stream_raw_images: true },
      ...{ os_hash_algo: "sha256", os_hash_value: "0".repeat(64) },
    };
    const step = { interface: "deploy", step: "write_image", args: { image_info, configdrive: null } };
    const node = { uuid: "5f1ae6cc-0d76-4d6c-b2d4-6a9b5c3f0001" };
    const started = await registry.execute("deploy.execute_deploy_step", { step, node, ports: [] });
    expect(await registry.wait(started.id)).toMatchObject({
      command_name: "execute_deploy_step",
      command_status: "FAILED",
      command_error: {
        type: "ImageDownloadFatalError",
        code: 500,
        message: "Error downloading image",
        details: expect.stringContaining(`Received status code 404 from ${server.url}/i, expected 200.`),
      },
      command_result: null,
    });
  },
  60_000,
);

// deploy 11.1, 11.3, 11.4, 11.5
test.each([
  [{}, "Image is missing 'id' field."],
  [{ id: "i" }, "Image is missing 'urls' field."],
  [{ id: "i", urls: [] }, "Image 'urls' must be a list with at least one element."],
  [{ id: "i", urls: ["http://h/i"], checksum: "" }, "Image 'checksum' must be a non-empty string."],
  [
    { id: "i", urls: ["http://h/i"], os_hash_value: "aa" },
    "Image 'os_hash_algo' must be a non-empty string.",
  ],
  [
    { id: "i", urls: ["http://h/i"], os_hash_algo: "md5" },
    "Image 'os_hash_value' must be a non-empty string.",
  ],
  [
    { id: "i", urls: ["http://h/i"] },
    "Image checksum is not available, either the 'checksum' field or the 'os_hash_algo' and 'os_hash_value' fields pair " +
      "must be set for image verification.",
  ],
  [{ id: "../x", urls: ["http://h/i"], checksum: "a".repeat(64) }, "Image 'id' must be a file name"],
  [{ id: "i", urls: ["file:///etc/shadow"], checksum: "a".repeat(64) }, "http:// or https:// URLs only"],
  [
    { id: "i", urls: ["http://h/i"], checksum: "a".repeat(64), image_type: "partition" },
    "Image 'root_mb' must be the size of the root partition",
  ],
] satisfies [JsonObject, string][])(
  "prepare_image of %j is refused at once, and is no command",
  async (image_info, text) => {
    for (const name of ["standby.prepare_image", "standby.cache_image"]) {
      const { registry } = await fixture({
        manager: { getOsInstallDevice: () => Promise.reject(new Error("the disk was asked for")) },
      });
      const error = await registry.execute(name, { image_info }).then(
        () => null,
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(InvalidCommandParamsError);
      expect((error as InvalidCommandParamsError).details).toContain(text);
      expect((error as InvalidCommandParamsError).code).toBe(400);
      expect(registry.results()).toEqual([]);
    }
  },
);
