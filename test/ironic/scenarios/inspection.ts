// Inspection through ironic-inspector: as it is by default, and with everything that can be collected.

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { isJsonObject, type Json, type JsonObject, member } from "../../../src/json.ts";
import { run } from "../../rig/programs.ts";
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

const COLLECTORS = [
  ...["default", "pci-devices", "usb-devices", "dmi-decode", "numa-topology", "extra-hardware", "lldp"],
  ...["parsed-lldp", "logs"],
];

export const everyCollector: Scenario = {
  name: "inspect-all",
  about:
    "inspected with every collector; inspector learns the second card's port, the hinted root disk and the BMC's addresses",
  async run(stage) {
    await using inspector = await stage.inspector({ processing: { add_ports: "all" } });
    const node = await stage.enrol({
      firmware: "uefi",
      disks: [{ bus: "virtio" }, { bus: "nvme", sizeGiB: 12 }, { bus: "sata", sizeGiB: 10 }],
      nics: 2,
      ports: 1,
      properties: { root_device: { serial: "RIG0002" } },
      kernelParameters: `ipa-inspection-collectors=${COLLECTORS.join(",")} ipa-lldp-timeout=5`,
    });
    const { managed } = node;
    await node.inspect();

    const data = await inspector.data(managed.uuid);
    check(data.error === undefined || data.error === null, "no collector has failed", String(data.error));
    const asked = member(data.configuration, "collectors");
    check(String(asked) === COLLECTORS.join(), "every collector has run", String(asked));

    const { inventory } = data;
    const { address } = stage.site.network;
    expectValue(inventory, "bmc_address", address);
    expectValue(inventory, "bmc_mac", managed.bmcMac);
    expectValue(member(inventory, "system_vendor"), "product_name", "Emulated machine");
    expectValue(member(inventory, "system_vendor"), "serial_number", managed.name);
    const names = members(member(inventory, "interfaces"), "name");
    expectSame("LLDP was listened for on every card", Object.keys(objectOf(data.lldp_raw)), names);
    expectSame("neighbours were looked for, too", Object.keys(objectOf(data.parsed_lldp)), names);

    const ethernet = recordsOf(data.pci_devices).filter((device) => device.class === "020000");
    check(
      ethernet.length === 2 && ethernet.every((device) => device.vendor_id === "1af4"),
      "both cards are among the PCI devices",
      JSON.stringify(ethernet),
    );
    check(Array.isArray(data.usb_devices), "USB devices are told", JSON.stringify(data.usb_devices));
    expectValue(member(data.dmi, "memory"), "Maximum Capacity", "2 GB");
    const ram = member(data.numa_topology, "ram");
    check(Array.isArray(ram) && ram.length === 1, "the memory is one NUMA node's", JSON.stringify(ram));
    const facts = new Map(
      (Array.isArray(data.data) ? data.data : []).map((fact) => {
        const [kind, object, property, value] = Array.isArray(fact) ? fact : [];
        return [[kind, object, property].join(), value];
      }),
    );
    check(facts.get("disk,logical,count") === "3", "extra-hardware counts the disks", `${facts.size} facts`);
    check(facts.get("ipmi,lan,ip-address") === address, "and has asked the BMC", `${facts.size} facts`);

    const archives = await readdir(inspector.ramdiskLogs);
    check(archives.length === 1, "inspector has the ramdisk's logs", archives.join(", "));
    const { stdout } = await run(["tar", "-tzf", join(inspector.ramdiskLogs, archives[0] ?? "")]);
    check(stdout.includes("ironic-python-agent"), "with the agent's own", stdout);

    const { properties } = await managed.record();
    expectValue(properties, "cpu_arch", "x86_64");
    expectValue(properties, "cpus", "2");
    expectValue(properties, "memory_mb", "2048");
    // Of the hinted disk, less the gibibyte that inspector leaves for partitioning.
    expectValue(properties, "local_gb", "9");
    const macs = members(member(inventory, "interfaces"), "mac_address").sort();
    const ports = members(await stage.site.ironic.client.ports(managed.uuid), "address").sort();
    expectSame("Ironic has a port for every card", ports, macs);
  },
};

/** Inspector stores numbers as text. */
function expectValue(record: Json | undefined, key: string, value: string): void {
  const found = String(member(record, key));
  check(found === value, `${key} is ${value}`, found);
}

function expectSame(what: string, found: readonly string[], expected: readonly string[]): void {
  const same = expected.length === 2 && [...found].sort().join() === [...expected].sort().join();
  check(same, what, `${found.join(", ")} against ${expected.join(", ")}`);
}

function objectOf(value: Json | undefined): JsonObject {
  return isJsonObject(value) ? value : {};
}

function recordsOf(list: Json | undefined): JsonObject[] {
  return Array.isArray(list) ? list.filter(isJsonObject) : [];
}

function members(list: unknown, name: string): string[] {
  return Array.isArray(list) ? list.map((entry) => (isJsonObject(entry) ? String(entry[name]) : "")) : [];
}
