// Inspection through ironic-inspector.

import { readdir } from "node:fs/promises";
import { isJsonObject, type JsonObject, member } from "../../../src/json.ts";
import { check } from "../check.ts";
import type { Scenario } from "../scenario.ts";

export const inspection: Scenario = {
  name: "inspect",
  about:
    "inspected through ironic-inspector with the default collectors: inventory, logs, properties of the node",
  async run(stage) {
    await using inspector = await stage.inspector();
    const node = await stage.enrol({
      firmware: "uefi",
      disks: [{ bus: "virtio" }, { bus: "nvme", sizeGiB: 12 }],
      nics: 3,
    });
    await node.inspect();

    const data = await inspector.data(node.managed.uuid);
    const inventory = data.inventory as JsonObject;
    const macs = members(inventory.interfaces, "mac_address");
    check(macs.length === 3, "all network cards are there", macs.join(", "));
    const serials = members(inventory.disks, "serial").sort();
    check(serials.join() === "RIG0000,RIG0001", "all disks are there", serials.join(", "));
    const firmware = member(inventory.boot ?? null, "current_boot_mode");
    check(firmware === "uefi", "the firmware is told", String(firmware));
    check(
      inventory.bmc_address === stage.site.network.address,
      "the BMC's address is told",
      String(inventory.bmc_address),
    );
    check(data.error === undefined || data.error === null, "no collector has failed", String(data.error));
    const archives = await readdir(inspector.ramdiskLogs);
    check(archives.length === 1, "inspector has the ramdisk's logs", archives.join(", "));

    const { properties } = await node.managed.record();
    check(properties.cpu_arch === "x86_64", "the node's architecture is set", JSON.stringify(properties));
    check(String(properties.memory_mb) === "2048", "the node's memory is set", JSON.stringify(properties));
  },
};

function members(list: unknown, name: string): string[] {
  return Array.isArray(list) ? list.map((entry) => (isJsonObject(entry) ? String(entry[name]) : "")) : [];
}
