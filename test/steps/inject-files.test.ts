// inject_files on a loop device with real file systems; URLs are served on loopback.

import { describe, expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { Config } from "../../src/config/config.ts";
import { CommandExecutionError, DeviceNotFound, InvalidCommandParamsError } from "../../src/errors.ts";
import type { Json, JsonObject } from "../../src/json.ts";
import { Deployment } from "../../src/steps/deployment.ts";
import { injectFiles } from "../../src/steps/inject-files.ts";
import { parseFilesToInject } from "../../src/steps/inject-files-request.ts";
import type { StepContext } from "../../src/steps/step.ts";
import { createSystem } from "../../src/system/real.ts";
import { answer, faultServer, file } from "../support/fault-server.ts";
import { loopDevice, noLoopDevices, tool } from "../support/loop-device.ts";
import { rejection } from "../support/rejection.ts";

const MEBIBYTE = 1024 * 1024;
const system = createSystem({ name: "test", debug: false, json: false, file: "/dev/null", stream: "stderr" });
const base64 = (text: string) => Buffer.from(text).toString("base64");

function thrown(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

type Disk = {
  readonly context: StepContext;
  readonly inject: (...files: JsonObject[]) => Promise<void>;
  /** Runs `look` with the second partition, the system's root, mounted. */
  readonly inRoot: <T>(look: (root: string) => Promise<T>) => Promise<T>;
  readonly path: string;
};

/** A disk with an empty first partition (no file system), a root and a home partition. */
function onDisk(name: string, work: (disk: Disk) => Promise<void>, node: JsonObject = {}): void {
  test.concurrent.skipIf(noLoopDevices !== null)(
    name,
    async () => {
      await using loop = await loopDevice(64 * MEBIBYTE);
      const sizes = ["1MiB 2MiB", "2MiB 30MiB", "30MiB 60MiB"];
      const made = sizes.flatMap((size) => ["mkpart", "primary", "ext4", ...size.split(" ")]);
      await tool("parted", "-s", loop.path, "mklabel", "gpt", ...made);
      await tool("partprobe", loop.path);
      const tree = await mkdtemp(`${tmpdir()}/tree-`);
      for (const path of ["etc", "opt"]) await mkdir(`${tree}/${path}`);
      await writeFile(`${tree}/etc/hosts`, "old\n");
      await chmod(`${tree}/etc/hosts`, 0o640);
      await symlink("/../../../../../../../../tmp", `${tree}/escape`);
      await tool("mkfs.ext4", "-q", "-d", tree, `${loop.path}p2`);
      await tool("rm", "-r", tree);
      await tool("mkfs.ext4", "-q", `${loop.path}p3`);
      const context: StepContext = {
        system,
        config: Config.of({
          allow_host_disks: true,
          image_download_connection_retries: 1,
          image_download_connection_retry_interval: 0,
        }),
        node,
        ports: [{ address: "52:54:00:12:34:56" }],
        signal: new AbortController().signal,
        report: () => {},
        installDevice: async () => loop.path,
        deployment: new Deployment(),
      } as unknown as StepContext;
      await work({
        path: loop.path,
        context,
        inject: (...files) => injectFiles(context, { files }),
        inRoot: async (look) => {
          const point = await mkdtemp(`${tmpdir()}/look-`);
          await tool("mount", "-o", "ro", `${loop.path}p2`, point);
          try {
            return await look(point);
          } finally {
            await tool("umount", point);
            await rm(point, { recursive: true });
          }
        },
      });
    },
    60_000,
  );
}

describe("deploy 11.88: files get into the system", () => {
  onDisk(
    "by search, by number and by device; modes, owners and directories",
    async ({ inject, inRoot, path }) => {
      await inject(
        { path: "/etc/hosts", content: base64("new\n") },
        {
          path: "/etc/deep/er/file",
          content: base64("x"),
          mode: 0o600,
          dirmode: 0o700,
          owner: 12,
          group: 34,
        },
        { path: "/opt/tool", content: base64("y"), partition: 2, mode: 0o4755 },
        { path: "/top", content: base64("z"), partition: "2", mode: 0 },
        { path: "/opt/last", content: "", partition: `${path}p2` },
      );
      await inRoot(async (root) => {
        expect(await readFile(`${root}/etc/hosts`, "utf8")).toBe("new\n");
        // What was there keeps its mode.
        expect((await stat(`${root}/etc/hosts`)).mode & 0o7777).toBe(0o640);
        const deep = await stat(`${root}/etc/deep/er/file`);
        expect([deep.mode & 0o7777, deep.uid, deep.gid]).toEqual([0o600, 12, 34]);
        expect((await stat(`${root}/etc/deep/er`)).mode & 0o7777).toBe(0o700);
        expect((await stat(`${root}/etc/deep`)).mode & 0o7777).toBe(0o755);
        expect((await stat(`${root}/opt/tool`)).mode & 0o7777).toBe(0o4755);
        expect((await stat(`${root}/top`)).mode & 0o7777).toBe(0);
        expect((await stat(`${root}/opt/last`)).size).toBe(0);
      });
    },
  );

  onDisk("and out of it; a missing one is fine", async ({ inject, inRoot }) => {
    await inject({ path: "/etc/hosts", deleted: true }, { path: "/etc/none", deleted: true });
    expect(await inRoot((root) => stat(`${root}/etc/hosts`).catch(() => null))).toBeNull();
    expect(await rejection(inject({ path: "/opt/../etc", deleted: true, partition: 2 }))).toBeInstanceOf(
      InvalidCommandParamsError,
    );
    const error = await rejection(inject({ path: "/etc", deleted: true, partition: 2 }));
    expect((error as CommandExecutionError).details).toContain("it is a directory");
  });

  onDisk(
    "from a URL with the node's facts in it, and from the node's own list first",
    async ({ context, inRoot }) => {
      await using server = await faultServer(
        file(Buffer.from("of the node")),
        answer(503),
        file(Buffer.from("for the MAC")),
      );
      context.node.properties = { inject_files: [{ path: "/etc/node", content: `${server.url}/node` }] };
      context.node.uuid = "6a1f";
      const url = `${server.url}/{node[uuid]}/{ports[0][address]}`;
      await injectFiles(context, { files: [{ path: "/etc/mac", content: url }] });
      expect(server.requests.map(({ target }) => target)).toEqual([
        "/node",
        "/6a1f/52:54:00:12:34:56",
        "/6a1f/52:54:00:12:34:56",
      ]);
      expect(await inRoot((root) => readFile(`${root}/etc/mac`, "utf8"))).toBe("for the MAC");
    },
  );

  onDisk("a URL that is not there is an error that names it", async ({ inject }) => {
    await using server = await faultServer(answer(404));
    const error = await rejection(inject({ path: "/etc/x", content: `${server.url}/gone` }));
    expect(error).toBeInstanceOf(CommandExecutionError);
    expect((error as CommandExecutionError).details).toStartWith(
      `Unable to read data from ${server.url}/gone: `,
    );
  });

  onDisk("a link of the image does not lead into the ramdisk", async ({ inject, inRoot }) => {
    const name = `injected-${crypto.randomUUID()}`;
    await inject({ path: `/escape/${name}`, content: base64("x"), partition: 2 });
    expect(await Bun.file(`${tmpdir()}/${name}`).exists()).toBe(false);
    expect(await inRoot((root) => readFile(`${root}/tmp/${name}`, "utf8"))).toBe("x");
  });

  onDisk("a directory that no partition has", async ({ inject, path }) => {
    const error = await rejection(inject({ path: "/srv/x", content: "" }));
    expect(error).toBeInstanceOf(DeviceNotFound);
    expect((error as DeviceNotFound).details).toContain(`No partition of ${path} has a directory /srv`);
  });
});

describe("what cannot be is refused as a whole", () => {
  test.each([
    [{}, "'path' must be an absolute path"],
    [{ path: "etc/x", content: "" }, "'path' must be an absolute path"],
    [{ path: "/etc/", content: "" }, "not of a directory"],
    [{ path: "/x", content: "" }, "needs 'partition'"],
    [{ path: "/a/x" }, "'content' must be base64 or a URL"],
    [{ path: "/a/x", content: "%%%" }, "'content' is not base64"],
    [{ path: "/a/x", content: "ftp://a/b" }, "a kind other than http and https"],
    [{ path: "/a/x", content: "http://a/{node[name]}" }, "the node has no {node[name]}"],
    [{ path: "/a/x", content: "", deleted: true }, "exclude each other"],
    [{ path: "/a/x", content: "", mode: "0644" }, "'mode' must be a whole number"],
    [{ path: "/a/x", content: "", owner: "root" }, "'owner' must be a whole number"],
    [{ path: "/a/x", content: "", partition: 0 }, "'partition' must be the number"],
    [{ path: "/a/x", content: "", partition: "root" }, "'partition' must be the number"],
    [{ path: "/a/x", content: "", perms: 1 }, "unknown keys perms"],
    ["x", "it must be an object"],
  ])("%j", (file, text) => {
    const error = thrown(() => parseFilesToInject([file as Json], {}, []));
    expect(error).toBeInstanceOf(InvalidCommandParamsError);
    expect((error as InvalidCommandParamsError).details).toStartWith("Validation of files failed: file 1");
    expect((error as InvalidCommandParamsError).details).toContain(text);
  });

  test("all faults are named at once, and no list is one too", () => {
    const error = thrown(() => parseFilesToInject([{}, { path: "/a/b", content: "" }, 5], {}, []));
    expect((error as InvalidCommandParamsError).details).toMatch(/file 1: .*; file 3: /);
    expect(thrown(() => parseFilesToInject("x", {}, []))).toBeInstanceOf(InvalidCommandParamsError);
  });

  test("whatever comes, the only error is InvalidCommandParamsError", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (files) => {
        try {
          parseFilesToInject(files as Json, {}, []);
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidCommandParamsError);
        }
      }),
    );
  });
});
