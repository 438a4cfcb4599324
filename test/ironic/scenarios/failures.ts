// Deployments that have to fail: with a last_error that tells an operator what to do, and no harm to the next one.

import { basename, dirname } from "node:path";
import { ImageServer } from "../../kit/image-server.ts";
import { check } from "../check.ts";
import { signaturesOn } from "../disk-content.ts";
import type { Scenario } from "../scenario.ts";

const MIB = 1024 ** 2;
const REFUSAL_TIMEOUT_MS = 60_000;
const WRONG_SHA256 = "0".repeat(64);

export const wrongChecksum: Scenario = {
  name: "wrong-checksum",
  about: "the image is not what its checksum says; the right checksum deploys",
  async run(stage) {
    // The next heartbeat after the failure is at most 36 s away, not three minutes.
    await using _ = await stage.configured({ api: { ramdisk_heartbeat_timeout: 60 } });
    const node = await stage.enrol();
    await node.provide();
    const { sha256 } = stage.site.image.raw;
    await node.failsToDeploy(
      { sha256: WRONG_SHA256 },
      /checksum/i,
      new RegExp(WRONG_SHA256),
      new RegExp(sha256),
    );
    // Ironic has forgotten its token; the agent stays where it is, for an operator to look at.
    const { machine } = node.managed;
    await machine.waitForConsole(/Invalid or missing agent token/, { timeout: REFUSAL_TIMEOUT_MS });
    await node.deploy();
  },
};

export const noRootDevice: Scenario = {
  name: "no-root-device",
  about: "no disk matches the root device hint; with the right hint the second disk is deployed",
  async run(stage) {
    // UEFI, because a BIOS has one boot disk, and which one is not the agent's to say.
    const node = await stage.enrol({
      firmware: "uefi",
      disks: [{ bus: "virtio" }, { bus: "virtio" }],
      properties: { root_device: { serial: "NOT-THERE" } },
    });
    await node.provide();
    await node.failsToDeploy({}, /NOT-THERE/, /serial RIG0000/, /serial RIG0001/);
    await node.managed.patch("/properties/root_device", { serial: "RIG0001" });
    const { root } = await node.deploy();
    check(root.startsWith("/dev/vdb"), "the system runs from the second disk", root);
    const [first = ""] = node.managed.machine.diskFiles;
    const signatures = await signaturesOn(first);
    check(signatures.length === 0, "the first disk is as empty as it was", signatures.join(", "));
  },
};

export const imageServerDies: Scenario = {
  name: "image-server-dies",
  about: "the image server goes away in the middle of the download; rebuilt from another one",
  async run(stage) {
    const { file } = stage.site.image.raw;
    const hostname = stage.site.network.address;
    const server = await ImageServer.start({ root: dirname(file), hostname });
    const node = await stage.enrol();
    await node.provide();
    const fails = () => node.failsToDeploy({ server }, new RegExp(basename(file)), /download|connect/i);
    await node.when("write image", fails, async () => {
      while (server.requests.every(({ sentBytes }) => sentBytes < 100 * MIB)) await Bun.sleep(200);
      await server[Symbol.asyncDispose]();
    });
    await node.rebuild();
  },
};
