// The real tgtd and a real initiator (libiscsi, in qemu-img), in a network namespace, on a loop device.

import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { parseTgtTargets } from "../../src/disk/tgt-target.ts";
import { loopDevice, noLoopDevices, tool } from "../support/loop-device.ts";
import { inNetworkNamespace, noNetworkNamespace } from "../support/network-namespace.ts";

const MEBIBYTE = 1024 * 1024;
const unable = noLoopDevices ?? noNetworkNamespace ?? (Bun.which("tgtd") === null ? "needs tgtd" : null);

// deploy 11.92
test.skipIf(unable !== null)(
  "an initiator without credentials writes LUN 1; others' targets stay; nothing of ours is left",
  async () => {
    const directory = await mkdtemp(`${tmpdir()}/tgt-`);
    await using disk = await loopDevice(8 * MEBIBYTE);
    try {
      const content = randomBytes(8 * MEBIBYTE);
      await writeFile(`${directory}/image`, content);
      const script = `${import.meta.dir}/tgt-target-inside.ts`;
      const seen = (await inNetworkNamespace(script, disk.path, `${directory}/image`)) as Record<
        string,
        unknown
      >;
      expect(seen).toMatchObject({ first: 1, second: 1, daemon: "gone" });
      expect(seen.taken).toContain(
        "Failed with exit code 22. stdout: . stderr: tgtadm: this target already exists",
      );
      const [ours, others] = parseTgtTargets(String(seen.before));
      expect(ours).toMatchObject({ id: 1, stores: [disk.path] });
      expect(others).toMatchObject({ id: 7, stores: [] });
      expect(parseTgtTargets(String(seen.after))).toEqual([others!]);
      await tool("blockdev", "--flushbufs", disk.path);
      expect((await readFile(disk.backingFile)).equals(content)).toBe(true);
    } finally {
      await rm(directory, { recursive: true });
    }
  },
  60_000,
);
