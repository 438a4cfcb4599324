// write_image from end to end: a real web server on loopback, real qemu-img, sgdisk and parted, and loop devices as the
// machine's disks. The host guard is on; the override for test machines makes loop devices fair game, and nothing else.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { constants } from "node:fs";
import { type FileHandle, mkdtemp, open as openFile, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { gzipSync } from "node:zlib";
import { Config } from "../../src/config/config.ts";
import type { OptionValues } from "../../src/config/options.ts";
import {
  DeploymentError,
  DeviceNotFound,
  HostDiskError,
  ImageChecksumError,
  ImageDownloadError,
  ImageDownloadFatalError,
  ImageDownloadOutOfSpaceError,
  ImageWriteError,
  InvalidImage,
  type RestError,
} from "../../src/errors.ts";
import type { Json, JsonObject } from "../../src/json.ts";
import { Deployment } from "../../src/steps/deployment.ts";
import { writeImage, writeImageStep } from "../../src/steps/write-image.ts";
import { type OpenMode, realBlockDevices } from "../../src/system/block-device.ts";
import { ProgramFailedError } from "../../src/system/programs.ts";
import { createSystem } from "../../src/system/real.ts";
import type { System } from "../../src/system/system.ts";
import { type Answer, answer, faultServer, file, hangUp, silence } from "../support/fault-server.ts";
import { loopDevice, noLoopDevices, tool } from "../support/loop-device.ts";
import {
  converted,
  expectImage,
  expectNothingBootable,
  failure,
  IMAGE,
  isZero,
  type MachineOptions,
  makeGpt,
  onMachine,
  partitionedImage,
  RAW,
  serving,
  sha256,
  wholeRequests,
} from "./write-image-machine.ts";

const MEBIBYTE = 1024 * 1024;

let directory = "";
let gptImage: Buffer;
let mbrImage: Buffer;

beforeAll(async () => {
  if (noLoopDevices !== null) console.warn(`write-image tests are skipped: ${noLoopDevices}`);
  directory = await mkdtemp(`${tmpdir()}/write-image-`);
  gptImage = await partitionedImage(directory, makeGpt);
  mbrImage = await partitionedImage(directory, (path) =>
    tool("parted", "-s", path, "mklabel", "msdos", "mkpart", "primary", "ext4", "1MiB", "30MiB"),
  );
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

const QCOW2 = { disk_format: "qcow2" };

// contract 10.44
describe("an image gets onto the disk", () => {
  // deploy 11.35; deploy 10, bug 28
  onMachine(
    "raw, streamed: GPT in order to the last sector",
    {},
    async ({ disk, context, deployment, content, reports, programs }) => {
      await serving([file(gptImage)], gptImage, RAW, async (info) => {
        expect(await writeImage(context, info, null)).toBe(
          `image (image-id) written to device ${disk} root_uuid=0x00000000`,
        );
      });
      expectImage(await content(), gptImage);
      expect(await tool("sgdisk", "-v", disk)).toContain("No problems found");
      expect(deployment.partitionUuids).toEqual({ "root uuid": "0x00000000" });
      expect(programs).not.toContain("qemu-img");
      expect(reports.at(-1)).toMatchObject({ phase: "write", done: IMAGE, total: IMAGE, unit: "bytes" });
    },
  );

  // deploy 11.36, 11.37; deploy 10, bug 81
  onMachine(
    "MBR: the signature is the identifier, and of the old GPT nothing is left",
    {},
    async ({ disk, context, content }) => {
      const signature = `0x${mbrImage.readUInt32LE(440).toString(16).padStart(8, "0")}`;
      await serving([file(mbrImage)], mbrImage, RAW, async (info) => {
        expect(await writeImage(context, info, null)).toEndWith(`root_uuid=${signature}`);
      });
      const bytes = await content();
      expect(bytes.subarray(0, IMAGE).equals(mbrImage)).toBe(true);
      expect(isZero(bytes.subarray(-33 * 512))).toBe(true);
      expect(await tool("wipefs", "--noheadings", "--output", "TYPE", disk)).toBe("dos\n");
    },
  );

  onMachine(
    "a connection cut in the middle goes on, and the disk is right",
    {},
    async ({ context, content }) => {
      await serving(
        [file(gptImage, { cutAfter: 20_000_000 }), file(gptImage)],
        gptImage,
        RAW,
        async (info, requests) => {
          await writeImage(context, info, null);
          expect(requests).toHaveLength(2);
        },
      );
      expectImage(await content(), gptImage);
    },
  );

  const variants: [string, string[]][] = [
    ["version 2", ["-O", "qcow2", "-o", "compat=0.10"]],
    ["version 3", ["-O", "qcow2"]],
    ["zlib", ["-c", "-O", "qcow2"]],
    ["zstd", ["-c", "-O", "qcow2", "-o", "compression_type=zstd"]],
    ["clusters of 2 MiB", ["-O", "qcow2", "-o", "cluster_size=2M"]],
  ];
  for (const [name, options] of variants)
    onMachine(`qcow2, ${name}`, {}, async ({ context, content, reports, programs }) => {
      const image = await converted(directory, gptImage, ...options);
      await serving([file(image)], image, QCOW2, async (info, requests) => {
        await writeImage(context, info, null);
        expect(wholeRequests(requests)).toHaveLength(1);
      });
      expectImage(await content(), gptImage);
      expect(programs).not.toContain("qemu-img");
      expect([...new Set(reports.map(({ phase }) => phase))]).toEqual(["write", "zero"]);
      const last = reports.at(-1);
      expect(last?.done).toBe(last?.total ?? Number.NaN);
    });

  const copied: [string, Partial<OptionValues>, Parameters<typeof file>[1]][] = [
    ["from a server that gives no parts", {}, { ranges: false }],
    ["from one that says so", {}, { ranges: false, headers: { "Accept-Ranges": "none" } }],
    ["with stream_qcow2_images switched off", { stream_qcow2_images: false }, {}],
  ];
  for (const [name, config, options] of copied)
    onMachine(
      `qcow2, ${name}: a copy, and qemu-img`,
      { config },
      async ({ context, content, ...machine }) => {
        const image = await converted(directory, gptImage, "-c", "-O", "qcow2");
        await serving([file(image, options)], image, QCOW2, async (info, requests) => {
          await writeImage(context, info, null);
          expect(wholeRequests(requests)).toHaveLength(1);
        });
        expectImage(await content(), gptImage);
        expect(machine.programs).toContain("qemu-img");
        expect([...new Set(machine.reports.map(({ phase }) => phase))]).toEqual(["download", "convert"]);
        expect(machine.reports.at(-1)).toMatchObject({ done: IMAGE, total: IMAGE });
      },
    );

  onMachine(
    "qcow2, over a connection that is cut in the middle",
    {},
    async ({ context, content, programs }) => {
      const image = await converted(directory, gptImage, "-O", "qcow2");
      const whole = file(image);
      const cutOnce = { left: 1 };
      const cutting: Answer = (request, socket) => {
        const cut = request.headers.range === undefined && cutOnce.left-- > 0;
        (cut ? file(image, { cutAfter: 3 * MEBIBYTE }) : whole)(request, socket);
      };
      await serving([cutting], image, QCOW2, async (info, requests) => {
        await writeImage(context, info, null);
        expect(wholeRequests(requests)).toHaveLength(1);
        expect(requests.at(-1)?.headers.range).toMatch(/^bytes=\d+-$/);
        expect(requests.at(-1)?.headers["if-range"]).toBe('"v1"');
      });
      expectImage(await content(), gptImage);
      expect(programs).not.toContain("qemu-img");
    },
  );

  onMachine(
    "qcow2, whose tables change between two looks: tried again, then refused",
    {},
    async ({ context, content }) => {
      const image = await converted(directory, gptImage, "-O", "qcow2");
      const other = Buffer.from(image);
      // Between the L1 table's few entries and the end of its cluster: nothing that changes the map.
      other.writeUInt8(1, Number(image.readBigUInt64BE(40)) + 4096);
      const lying: Answer = (request, socket) =>
        file(request.headers.range === undefined ? image : other, { etag: null })(request, socket);
      await serving([lying], image, QCOW2, async (info, requests) => {
        const error = await failure(writeImage(context, info, null));
        expect(error).toBeInstanceOf(ImageDownloadError);
        expect(error.details).toContain("were others when they were read ahead");
        expect(wholeRequests(requests)).toHaveLength(2);
      });
      expect(isZero((await content()).subarray(0, MEBIBYTE))).toBe(true);
    },
  );

  onMachine(
    "of unknown format: told by its bytes, and copied",
    {},
    async ({ context, content, programs }) => {
      await serving([file(gptImage)], gptImage, {}, async (info) => {
        await writeImage(context, info, null);
      });
      expectImage(await content(), gptImage);
      expect(programs).not.toContain("qemu-img");
    },
  );

  onMachine("as the deploy step, with the result conductors read", {}, async ({ disk, context }) => {
    await serving([file(gptImage)], gptImage, RAW, async (info) => {
      expect(
        await writeImageStep.run({ ...context, ports: [] }, { image_info: info, configdrive: null }),
      ).toEqual({
        result: `prepare_image: image (image-id) written to device ${disk} root_uuid=0x00000000`,
      });
    });
  });

  onMachine("with a checksum file behind a URL", {}, async ({ context, content }) => {
    const list = `${"0".repeat(64)}  other\n${sha256(gptImage)}  image\n`;
    await using sums = await faultServer(answer(200, {}, list));
    const fields = { ...RAW, os_hash_algo: null, os_hash_value: null, checksum: `${sums.url}/SHA256SUMS` };
    await serving([file(gptImage)], gptImage, fields, async (info) => {
      await writeImage(context, info, null);
    });
    expectImage(await content(), gptImage);
  });

  // deploy 11.40
  onMachine(
    "made for 4096-byte sectors, on a disk that has them",
    { sectorSize: 4096 },
    async ({ disk, context }) => {
      await using other = await loopDevice(IMAGE, 4096);
      await tool("sgdisk", "-n", "1:0:0", other.path);
      const image = await readFile(other.backingFile);
      await serving([file(image)], image, RAW, async (info) => {
        await writeImage(context, info, null);
      });
      expect(await tool("sgdisk", "-v", disk)).toContain("No problems found");
    },
  );
});

// contract 10.49; as the conductor shapes it in test/kit/config-drive.test.ts
describe("a config drive", () => {
  async function configDrive(): Promise<Buffer> {
    const tree = `${directory}/${crypto.randomUUID()}`;
    await Bun.write(`${tree}/openstack/latest/meta_data.json`, '{"uuid": "node-uuid"}');
    await tool("genisoimage", "-quiet", "-J", "-r", "-V", "config-2", "-o", `${tree}.iso`, tree);
    return readFile(`${tree}.iso`);
  }

  async function partitionBytes(disk: string, length: number): Promise<Buffer> {
    await using device = await realBlockDevices.open(`${disk}p3`, "read");
    const bytes = Buffer.alloc(length);
    await device.read(bytes, 0);
    return bytes;
  }

  onMachine("goes into a partition of its own at the end", {}, async ({ disk, context }) => {
    const content = await configDrive();
    await serving([file(gptImage)], gptImage, RAW, async (info) => {
      await writeImage(context, info, gzipSync(content).toString("base64"));
    });
    expect((await partitionBytes(disk, content.length)).equals(content)).toBe(true);
    expect(await tool("blkid", "-p", "-o", "value", "-s", "LABEL", `${disk}p3`)).toBe("config-2\n");
    expect(await tool("sgdisk", "-v", disk)).toContain("No problems found");
  });

  // contract 10.43: conductors mask what is secret in the node, other kinds of values than text too
  onMachine("is not taken from the node, where it is masked", {}, async ({ disk, context }) => {
    const MASK = "******";
    const node = {
      instance_info: { configdrive: MASK, image_url: MASK },
      driver_internal_info: { agent_secret_token: MASK, agent_secret_token_pregenerated: MASK },
    };
    await serving([file(gptImage)], gptImage, RAW, async (info) => {
      await writeImage({ ...context, node }, info, null);
    });
    expect(await realBlockDevices.open(`${disk}p3`, "read").catch(() => null)).toBeNull();
  });

  // deploy 11.54; deploy 10, bug 66
  onMachine("behind a URL, and named by image_info only", {}, async ({ disk, context }) => {
    const content = await configDrive();
    await using server = await faultServer(answer(200, {}, gzipSync(content).toString("base64")));
    await serving(
      [file(gptImage)],
      gptImage,
      { ...RAW, configdrive: `${server.url}/drive` },
      async (info) => {
        await writeImage(context, info, null);
      },
    );
    expect((await partitionBytes(disk, content.length)).equals(content)).toBe(true);
  });

  // deploy 11.54
  onMachine("made of its parts", {}, async ({ disk, context }) => {
    const parts = {
      meta_data: { hostname: "box" },
      network_data: { links: [] },
      user_data: "#cloud-config\n",
      vendor_data: { key: 1 },
    };
    const node = { uuid: "node-uuid", name: "node-7" };
    await serving([file(gptImage)], gptImage, RAW, async (info) => {
      await writeImage({ ...context, node }, info, parts);
    });
    expect(await tool("blkid", "-p", "-o", "value", "-s", "LABEL", `${disk}p3`)).toBe("config-2\n");
    const extracted = async (name: string) =>
      tool("isoinfo", "-R", "-i", `${disk}p3`, "-x", `/openstack/latest/${name}`);
    expect(JSON.parse(await extracted("meta_data.json"))).toEqual({
      uuid: "node-uuid",
      name: "node-7",
      hostname: "box",
    });
    expect(JSON.parse(await extracted("network_data.json"))).toEqual({ links: [] });
    expect(JSON.parse(await extracted("vendor_data2.json"))).toEqual({ key: 1 });
    expect(await extracted("user_data")).toBe("#cloud-config\n");
    expect(await tool("isoinfo", "-R", "-f", "-i", `${disk}p3`)).toContain(
      "/openstack/2012-08-10/meta_data.json",
    );
  });

  const credentials: [string, Partial<OptionValues>, JsonObject, string][] = [
    [
      "basic credentials that came with the image",
      {},
      { image_server_auth_strategy: "http_basic", image_server_user: "u", image_server_password: "p" },
      `Basic ${btoa("u:p")}`,
    ],
    [
      "the header that came with the image",
      {},
      { image_request_authorization: btoa("Bearer t0ken") },
      "Bearer t0ken",
    ],
    [
      "basic credentials from the options",
      { image_server_auth_strategy: "http_basic", image_server_user: "u", image_server_password: "p" },
      {},
      `Basic ${btoa("u:p")}`,
    ],
  ];
  for (const [name, config, auth, header] of credentials)
    onMachine(`its server never sees what the image's is given: ${name}`, { config }, async ({ context }) => {
      const content = gzipSync(await configDrive()).toString("base64");
      await using server = await faultServer(answer(200, {}, content));
      await serving([file(gptImage)], gptImage, { ...RAW, ...auth }, async (info, requests) => {
        await writeImage(context, info, `${server.url}/drive`);
        expect(requests.map(({ headers }) => headers.authorization)).toEqual(requests.map(() => header));
        expect(requests).not.toBeEmpty();
      });
      expect(server.requests).not.toBeEmpty();
      for (const { headers } of server.requests) expect(headers).not.toHaveProperty("authorization");
    });

  // deploy 11.61; deploy 10, bug 32
  const unreachable: [string, Answer, string, number][] = [
    ["that is not there", answer(404, {}, "no such drive"), "Received status code 404", 1],
    ["whose server says nothing", silence, "no answer within 1 s", 2],
    ["that is cut short", file(Buffer.alloc(MEBIBYTE), { cutAfter: 1000, etag: null }), "", 2],
  ];
  for (const [name, script, text, tries] of unreachable)
    onMachine(
      `behind a URL ${name}: the disk stays as it was`,
      // A second is too short for a loaded machine that does answer.
      { config: script === silence ? { image_download_connection_timeout: 1 } : {} },
      async ({ context, content }) => {
        const before = sha256(await content());
        await using server = await faultServer(script);
        await serving([file(gptImage)], gptImage, RAW, async (info, requests) => {
          const error = await failure(writeImage(context, info, `${server.url}/drive?secret=1`));
          expect(error).toBeInstanceOf(DeploymentError);
          expect(error.details).toStartWith(
            `Can't download the configdrive content for node node-uuid from '${server.url}/drive?***'. Reason: `,
          );
          expect(error.details).toContain(text);
          expect(requests).toHaveLength(0);
        });
        expect(server.requests).toHaveLength(tries);
        expect(sha256(await content())).toBe(before);
      },
    );

  onMachine("of no content is none: no partition is made for it", {}, async ({ disk, context }) => {
    await serving([file(gptImage)], gptImage, RAW, async (info) => {
      await writeImage(context, info, "");
    });
    expect(await tool("sgdisk", "-p", disk)).not.toMatch(/^ +3 /m);
  });

  const useless: [string, Json, string, number][] = [
    ["is no base64", "%%%", "is not base64 encoded", 500],
    [
      "is a cut gzip",
      gzipSync(Buffer.alloc(9999, "x")).subarray(0, 20).toString("base64"),
      "decompressing",
      500,
    ],
    ["is a number", 7, "must be base64 of gzip, a URL, or an object", 400],
    ["has a part nobody knows", { metadata: {} }, "the unknown part 'metadata'", 400],
    ["has meta data that is none", { meta_data: "x" }, "'meta_data' of 'configdrive' must be an object", 400],
    [
      "unpacks to more than 64 MiB",
      gzipSync(Buffer.alloc(64 * MEBIBYTE + 1)).toString("base64"),
      "64 MiB",
      500,
    ],
  ];
  for (const [name, drive, text, code] of useless)
    onMachine(`that ${name} is found out before the disk is touched`, {}, async ({ context, content }) => {
      const before = sha256(await content());
      await serving([file(gptImage)], gptImage, RAW, async (info, requests) => {
        const error = await failure(writeImage(context, info, drive));
        expect(error.details).toContain(text);
        expect(error.code).toBe(code);
        expect(requests).toHaveLength(0);
      });
      expect(sha256(await content())).toBe(before);
    });

  {
    const held: FileHandle[] = [];
    /** As udev's rules do, which activate volume groups: a partition of the image is held as soon as its table is on the disk. */
    const holding = (system: System): System => {
      let written = false;
      const open = async (path: string, mode: OpenMode) => {
        if (mode === "read" && written && held.length === 0) {
          await tool("partprobe", path);
          held.push(await openFile(`${path}p1`, constants.O_RDWR | constants.O_EXCL));
        }
        // The image's way to the disk comes after the wipe's, which leaves no table.
        if (mode === "write-exclusive") written = true;
        return await system.blockDevices.open(path, mode);
      };
      return { ...system, blockDevices: { open } };
    };
    onMachine("goes beside a partition in use", { change: holding }, async ({ disk, context, content }) => {
      const iso = await configDrive();
      await serving([file(gptImage)], gptImage, RAW, async (info) => {
        await writeImage(context, info, gzipSync(iso).toString("base64"));
      });
      expect(held).toHaveLength(1);
      for (const partition of held) await partition.close();
      const image = gptImage.subarray(MEBIBYTE, -MEBIBYTE);
      expect((await content()).subarray(MEBIBYTE).indexOf(image)).toBe(0);
      expect(await tool("sgdisk", "-v", disk)).toContain("No problems found");
      expect((await partitionBytes(disk, iso.length)).equals(iso)).toBe(true);
    });
  }

  for (const inUse of [false, true]) {
    const held: FileHandle[] = [];
    /** As udev's rules do, which activate volume groups: a partition of the image is held when the config drive's turn comes. */
    const holding = (system: System): System => ({
      ...system,
      run: async (argv, options) => {
        if (inUse && argv.includes("-n") && held.length === 0)
          held.push(await openFile(`${argv.at(-1)}p1`, constants.O_RDWR | constants.O_EXCL));
        return system.run(argv, options);
      },
    });
    onMachine(
      `that finds no room leaves nothing that would boot without it${inUse ? ", also with a partition in use" : ""}`,
      { size: IMAGE + MEBIBYTE, change: holding },
      async ({ context, content, deployment }) => {
        const full = await partitionedImage(directory, (path) => tool("sgdisk", "-n", "1:0:0", path));
        const drive = gzipSync(Buffer.concat([await configDrive(), Buffer.alloc(3 * MEBIBYTE)])).toString(
          "base64",
        );
        await serving([file(full)], full, RAW, async (info) => {
          const error = await failure(writeImage(context, info, drive));
          expect(error).toBeInstanceOf(DeploymentError);
          expect(error.details).toContain("Failed to create config drive on disk");
        });
        expect(held).toHaveLength(inUse ? 1 : 0);
        for (const partition of held) await partition.close();
        expect(isZero((await content()).subarray(0, MEBIBYTE))).toBe(true);
        expect(deployment.partitionUuids).toEqual({});
      },
    );
  }
});

describe("refused with the disk untouched", () => {
  type Refusal = {
    readonly script?: () => Answer[];
    readonly image?: () => Promise<Buffer>;
    readonly info?: JsonObject;
    readonly options?: MachineOptions;
    readonly type: new (...args: never[]) => RestError;
    readonly details: string | RegExp;
    readonly requests: number;
  };

  const refusals: Record<string, Refusal> = {
    "404": {
      script: () => [answer(404)],
      type: ImageDownloadFatalError,
      details:
        /^Download of image image-id failed: URL: http:\S+; time: \S+ seconds\. Error: Received status code 404/,
      requests: 1,
    },
    "a server that hangs up": {
      script: () => [hangUp],
      type: ImageDownloadError,
      details: "URL: http",
      requests: 2,
    },
    // deploy 11.41
    "an image larger than the disk": {
      options: { size: IMAGE - MEBIBYTE },
      type: ImageWriteError,
      details: `The image has ${IMAGE} bytes, and does not fit on device /dev/loop`,
      requests: 1,
    },
    "a cached image with a wrong checksum": {
      info: { disk_format: null, stream_raw_images: false, os_hash_value: "00" },
      type: ImageChecksumError,
      details: /location: \S+; image ID: image-id; image checksum: 00; verification checksum: [0-9a-f]{64}$/,
      requests: 2,
    },
    "a qcow2 whose content is larger than the disk": {
      image: async () => {
        await tool("qemu-img", "create", "-q", "-f", "qcow2", `${directory}/huge`, "1T");
        return readFile(`${directory}/huge`);
      },
      info: QCOW2,
      type: ImageWriteError,
      details: `The image has ${1024 ** 4} bytes`,
      requests: 1,
    },
    "a qcow2 with a backing file": {
      image: async () => {
        await writeFile(`${directory}/base`, Buffer.alloc(MEBIBYTE));
        await tool(
          "qemu-img",
          "create",
          "-q",
          "-f",
          "qcow2",
          "-b",
          `${directory}/base`,
          "-F",
          "raw",
          `${directory}/top`,
        );
        return readFile(`${directory}/top`);
      },
      info: QCOW2,
      type: InvalidImage,
      details: "Security: Image failed safety check (qcow2: it has a backing file)",
      requests: 1,
    },
    // deploy 11.30
    "a raw image that calls itself qcow2": {
      info: QCOW2,
      type: InvalidImage,
      details: "Security: Expected format was qcow2, but image was actually gpt",
      requests: 1,
    },
    // deploy 11.32
    "a format that is not permitted": {
      options: { config: { permitted_image_formats: ["raw"] } },
      info: { disk_format: null },
      type: InvalidImage,
      details: "Security: Detected image format was gpt, but only raw are allowed",
      requests: 1,
    },
    "a machine that was not booted from a ramdisk": {
      options: { config: { allow_host_disks: false } },
      type: HostDiskError,
      details: "Refused to write an image to /dev/loop",
      requests: 0,
    },
    // deploy 11.25
    "an image larger than the memory": {
      options: {
        change: (system) => ({
          ...system,
          files: {
            ...system.files,
            readText: async (path, limit) =>
              path === "/proc/meminfo" ? "MemAvailable: 150000 kB\n" : system.files.readText(path, limit),
          },
        }),
      },
      info: { disk_format: null, stream_raw_images: false },
      type: ImageDownloadOutOfSpaceError,
      details: "bytes of memory are available",
      requests: 1,
    },
  };
  for (const [name, refusal] of Object.entries(refusals))
    onMachine(name, refusal.options ?? {}, async ({ context, content, programs, deployment }) => {
      const image = (await refusal.image?.()) ?? gptImage;
      const before = sha256(await content());
      await serving(
        refusal.script?.() ?? [file(image)],
        image,
        { ...RAW, ...refusal.info },
        async (info, requests) => {
          const error = await failure(writeImage(context, info, null));
          expect(error).toBeInstanceOf(refusal.type);
          if (typeof refusal.details === "string") expect(error.details).toContain(refusal.details);
          else expect(error.details).toMatch(refusal.details);
          expect(wholeRequests(requests)).toHaveLength(refusal.requests);
        },
      );
      expect(sha256(await content())).toBe(before);
      for (const writer of ["qemu-img", "wipefs", "sgdisk"]) expect(programs).not.toContain(writer);
      if (refusal.requests > 0) expect(deployment.partitionUuids).toEqual({});
    });

  onMachine("a disk with a mounted file system", {}, async ({ disk, context, content }) => {
    await tool("wipefs", "-a", disk);
    await tool("mkfs.ext4", "-q", disk);
    const mountPoint = await mkdtemp(`${tmpdir()}/mounted-`);
    await tool("mount", disk, mountPoint);
    try {
      await writeFile(`${mountPoint}/precious`, "data");
      await serving([file(gptImage)], gptImage, RAW, async (info) => {
        const error = await failure(writeImage(context, info, null));
        expect(error).toBeInstanceOf(HostDiskError);
        expect(error.details).toContain(`${disk} is mounted on ${mountPoint}`);
      });
      expect(await readFile(`${mountPoint}/precious`, "utf8")).toBe("data");
    } finally {
      await tool("umount", mountPoint);
      await rm(mountPoint, { recursive: true });
    }
    expect((await content()).readUInt16LE(1024 + 56)).toBe(0xef53);
  });

  // deploy 11.38: what can be released is released (arrays and volumes: test/vm); what cannot is named, process and all.
  const HOLD =
    "import os, sys, time; os.open(sys.argv[1], os.O_RDWR | os.O_EXCL); print('held', flush=True); time.sleep(600)";
  const holders: Record<string, { argv: (disk: string) => string[]; said: (disk: string) => string }> = {
    "that a process holds open for itself": {
      argv: (disk) => ["python3", "-c", HOLD, disk],
      said: (disk) => `(python3) has ${disk} open`,
    },
    "that is mounted where only its own processes see it": {
      argv: (disk) => [
        ...["unshare", "--mount", "sh", "-c"],
        `mkfs.ext4 -q -F ${disk} && mount -o ro ${disk} /mnt && echo held && exec sleep 600`,
      ],
      said: (disk) => `(sleep) has ${disk} mounted on /mnt`,
    },
  };
  for (const [name, { argv, said }] of Object.entries(holders))
    onMachine(`a disk ${name}`, {}, async ({ disk, context, content }) => {
      const holder = Bun.spawn(argv(disk), { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
      try {
        const { value } = await holder.stdout.getReader().read();
        expect(new TextDecoder().decode(value)).toBe("held\n");
        const before = sha256(await content());
        await serving([file(gptImage)], gptImage, RAW, async (info) => {
          const error = await failure(writeImage(context, info, null));
          expect(error).toBeInstanceOf(DeploymentError);
          expect(error.details).toEndWith(
            `opening ${disk}: EBUSY: it is in use: process ${holder.pid} ${said(disk)}`,
          );
        });
        expect(sha256(await content())).toBe(before);
      } finally {
        holder.kill("SIGKILL");
        await holder.exited;
      }
    });

  test("no disk: the error of the choice passes through", async () => {
    const deployment = new Deployment();
    const error = await failure(
      writeImage(
        {
          system: createSystem({ name: "t", debug: false, json: false, file: "/dev/null", stream: "stderr" }),
          config: Config.of({}),
          node: {},
          signal: new AbortController().signal,
          report: () => {},
          installDevice: () => Promise.reject(new DeviceNotFound("No suitable device was found")),
          deployment,
        },
        { id: "x", urls: ["http://127.0.0.1:1/"], checksum: "0".repeat(64) },
        null,
      ),
    );
    expect(error).toEqual(new DeviceNotFound("No suitable device was found"));
  });
});

describe("failed in the middle: nothing bootable remains", () => {
  // contract 10.45
  // deploy 11.12
  onMachine("one flipped byte, every time", {}, async (machine) => {
    const flipped = Buffer.from(gptImage);
    flipped[5 * MEBIBYTE] = (flipped[5 * MEBIBYTE] ?? 0) ^ 1;
    await serving([file(flipped)], gptImage, RAW, async (info, requests) => {
      const error = await failure(writeImage(machine.context, info, null));
      expect(error).toBeInstanceOf(ImageChecksumError);
      expect(error.details).toBe(
        `Image failed to verify against checksum. location: ${machine.disk}; image ID: image-id; ` +
          `image checksum: ${sha256(gptImage)}; verification checksum: ${sha256(flipped)}`,
      );
      expect(requests).toHaveLength(2);
    });
    await expectNothingBootable(machine);
  });

  onMachine("one flipped byte, once: the second attempt succeeds", {}, async ({ context, content }) => {
    const flipped = Buffer.from(gptImage);
    flipped[5 * MEBIBYTE] = (flipped[5 * MEBIBYTE] ?? 0) ^ 1;
    await serving([file(flipped), file(gptImage)], gptImage, RAW, async (info) => {
      await writeImage(context, info, null);
    });
    expectImage(await content(), gptImage);
  });

  onMachine("a body cut short for good", {}, async (machine) => {
    const cut = file(gptImage, { cutAfter: 20_000_000, etag: null, ranges: false });
    await serving([cut], gptImage, RAW, async (info) => {
      const error = await failure(writeImage(machine.context, info, null));
      expect(error).toBeInstanceOf(ImageDownloadError);
    });
    await expectNothingBootable(machine);
  });

  onMachine(
    "an image of unknown length that turns out larger than the disk",
    { size: IMAGE - MEBIBYTE },
    async (machine) => {
      const chunked: Answer = (_, socket) => {
        socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        socket.write(`${gptImage.length.toString(16)}\r\n`);
        socket.write(gptImage);
        socket.write("\r\n0\r\n\r\n");
      };
      await serving([chunked], gptImage, RAW, async (info, requests) => {
        const error = await failure(writeImage(machine.context, info, null));
        expect(error).toBeInstanceOf(ImageWriteError);
        expect(requests).toHaveLength(1);
      });
      await expectNothingBootable(machine);
    },
  );

  // deploy 11.39; deploy 10, bug 29
  onMachine("an image of zeros has no partitions, and gets no config drive", {}, async (machine) => {
    const zeros = Buffer.alloc(IMAGE);
    await serving([file(zeros)], zeros, RAW, async (info) => {
      const error = await failure(writeImage(machine.context, info, gzipSync(zeros).toString("base64")));
      expect(error).toBeInstanceOf(DeploymentError);
      expect(error.details).toStartWith(
        "Unable to find a valid partition table on the disk after writing the image.",
      );
    });
    await expectNothingBootable(machine);
  });

  onMachine(
    "an image that was cut off, on a disk that ends before its last partition",
    {},
    async (machine) => {
      const path = `${directory}/cut`;
      await writeFile(path, "");
      await tool("truncate", "--size=256M", path);
      await tool("sgdisk", "-n", "1:1M:+8M", "-n", "2:10M:0", path);
      const image = (await readFile(path)).subarray(0, IMAGE);
      await serving([file(image)], image, RAW, async (info) => {
        const error = await failure(writeImage(machine.context, info, null));
        expect(error).toBeInstanceOf(DeploymentError);
        expect(error.details).toContain("partition 2 ends beyond the end of the disk");
      });
      await expectNothingBootable(machine);
    },
  );

  // deploy 11.40; deploy 10, bug 26
  onMachine("an image made for another sector size, which is said", { sectorSize: 4096 }, async (machine) => {
    await serving([file(gptImage)], gptImage, RAW, async (info) => {
      const error = await failure(writeImage(machine.context, info, null));
      expect(error).toBeInstanceOf(DeploymentError);
      expect(error.details).toContain("sector size of 512 bytes, and this disk's is 4096");
    });
    await expectNothingBootable(machine);
  });

  // deploy 11.60; that it is made anew as FAT where it can be: test/vm/config-drive.test.ts.
  onMachine(
    "an ISO for a config drive that nobody could read on this disk, and that cannot be made anew",
    {
      sectorSize: 4096,
      change: (system) => ({
        ...system,
        run: (argv, options) =>
          argv[0] === "mount"
            ? Promise.reject(new ProgramFailedError(argv, "exit code 32", 32, "", "unknown filesystem type"))
            : system.run(argv, options),
      }),
    },
    async (machine) => {
      await using other = await loopDevice(IMAGE, 4096);
      await tool("sgdisk", "-n", "1:1M:+8M", other.path);
      const image = await readFile(other.backingFile);
      const tree = `${directory}/unreadable`;
      await Bun.write(`${tree}/openstack/latest/meta_data.json`, "{}");
      await tool("genisoimage", "-quiet", "-V", "config-2", "-o", `${tree}.iso`, tree);
      const drive = gzipSync(await readFile(`${tree}.iso`)).toString("base64");
      await serving([file(image)], image, RAW, async (info) => {
        const error = await failure(writeImage(machine.context, info, drive));
        expect(error).toBeInstanceOf(DeploymentError);
        expect(error.details).toContain("The config drive is an ISO, which nobody can read on ");
        expect(error.details).toContain("unknown filesystem type");
      });
      await expectNothingBootable(machine);
    },
  );

  const stop = (abort: AbortController) => abort.abort(new Error("told to stop"));

  // deploy 11.42
  onMachine(
    "abort while streaming",
    { onReport: ({ phase }, abort) => phase === "write" && setTimeout(stop, 300, abort) },
    async (machine) => {
      await serving([file(gptImage, { stallAfter: IMAGE / 2 })], gptImage, RAW, async (info) => {
        expect((await failure(writeImage(machine.context, info, null))).message).toBe("told to stop");
      });
      await expectNothingBootable(machine);
    },
  );

  onMachine(
    "abort while qemu-img runs: the program is gone too",
    { onReport: ({ phase, done }, abort) => phase === "convert" && (done ?? 0) > 0 && stop(abort) },
    async (machine) => {
      const image = await converted(directory, gptImage, "-c", "-O", "qcow2");
      await serving([file(image, { ranges: false })], image, QCOW2, async (info) => {
        expect((await failure(writeImage(machine.context, info, null))).message).toBe("told to stop");
      });
      const running = await tool("ps", "-eo", "args");
      expect(
        running.split("\n").filter((line) => line.includes("qemu-img") && line.includes(machine.disk)),
      ).toEqual([]);
      await expectNothingBootable(machine);
    },
  );
});
