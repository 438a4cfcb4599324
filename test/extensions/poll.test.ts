import { describe, expect, test } from "bun:test";
import type { Inventory } from "../../src/hardware/manager.ts";
import { rejection } from "../support/rejection.ts";
import { fixture } from "./fixture.ts";

describe("poll", () => {
  test("get_hardware_info asks the machine each time", async () => {
    let disks = 0;
    const { registry } = await fixture({
      manager: {
        listHardwareInfo: async () => {
          disks += 1;
          return { hostname: `asked-${disks}` } as Inventory;
        },
      },
    });
    for (const hostname of ["asked-1", "asked-2"])
      expect((await registry.execute("poll.get_hardware_info", {})).command_result).toEqual({ hostname });
  });

  test("set_node_info hands a lookup answer on", async () => {
    const { registry, applied } = await fixture();
    const node_info = { node: { uuid: "u" }, config: { heartbeat_timeout: 300 } };
    const result = await registry.execute("poll.set_node_info", { node_info });
    expect(result).toMatchObject({ command_status: "SUCCEEDED", command_result: null });
    expect(applied).toEqual([node_info]);
  });

  // control-plane 11.45
  test("set_node_info is refused unless standalone, and not recorded", async () => {
    const { registry, applied } = await fixture({ config: { standalone: false } });
    expect(await rejection(registry.execute("poll.set_node_info", { node_info: {} }))).toMatchObject({
      type: "InvalidCommandError",
      details: "Node lookup data can only be set when the Ironic Python Agent is running in standalone mode.",
    });
    expect(registry.results()).toEqual([]);
    expect(applied).toEqual([]);
  });
});
