import { expect, test } from "bun:test";
import type { JsonObject } from "../../src/json.ts";
import { rejection } from "../support/rejection.ts";
import { fixture } from "./fixture.ts";

// deploy 7.1, control-plane 11.47
test.each([
  [{ iqn: 5 }, "'iqn' must be a string or null, not a number"],
  [{ iqn: "node_1" }, "'iqn' must be an iSCSI qualified name"],
  [{ portal_port: "3260" }, "'portal_port' must be an integer or null, not a string"],
  [{ portal_port: 70_000 }, "'portal_port' must be between 1 and 65535, not 70000"],
  [{ wipe_disk_metadata: "yes" }, "'wipe_disk_metadata' must be true or false or null, not a string"],
] as [JsonObject, string][])("%j is refused and not recorded", async (params, details) => {
  const { registry } = await fixture();
  expect(await rejection(registry.execute("iscsi.start_iscsi_target", params))).toMatchObject({
    type: "InvalidCommandParamsError",
    code: 400,
    details: expect.stringContaining(details),
  });
  expect(registry.results()).toEqual([]);
});

// control-plane DEV-17: the reference lists failures under the full name, where conductors do not look
test.each([
  {},
  { iqn: null, wipe_disk_metadata: null, portal_port: null },
  { iqn: "iqn.2008-10.org.openstack:2289732a", wipe_disk_metadata: true, portal_port: 3260 },
])("%j, as conductors send it, is accepted, and its failure listed under the short name", async (params) => {
  const { registry } = await fixture({
    manager: { getOsInstallDevice: async () => "/dev/sda" },
    recording: {
      files: {
        "/dev/sda": { device: { major: 8, minor: 0 } },
        "/sys/dev/block/8:0": { link: "/sys/sda" },
        "/sys/sda/size": "1",
        "/proc/swaps": "Filename\n",
      },
    },
  });
  expect(await registry.execute("iscsi.start_iscsi_target", params)).toMatchObject({
    command_name: "start_iscsi_target",
    command_status: "FAILED",
    command_error: { code: 500, message: expect.any(String) },
  });
  expect(registry.results().map(({ command_name }) => command_name)).toEqual(["start_iscsi_target"]);
});
