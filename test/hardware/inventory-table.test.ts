import { expect, test } from "bun:test";
import { inventoryDisk } from "../../src/hardware/block-devices.ts";
import { inventoryTable } from "../../src/hardware/inventory-table.ts";
import type { Inventory } from "../../src/hardware/manager.ts";
import { disk } from "./support.ts";

const NOTHING: Inventory = {
  interfaces: [],
  cpu: { model_name: null, frequency: null, count: 0, architecture: null, flags: [], socket_count: 0 },
  disks: [],
  memory: { total: null, physical_mb: null },
  bmc_address: null,
  bmc_v6address: null,
  system_vendor: {
    product_name: "",
    serial_number: "",
    manufacturer: "",
    firmware: { vendor: "", version: "", build_date: "" },
  },
  boot: { current_boot_mode: "bios", pxe_interface: null },
  hostname: "node",
};

/** The cells of the row that begins with `name`. */
function row(text: string, name: string): string[] {
  const line = text.split("\n").find((candidate) => candidate.startsWith(`${name} `));
  return (line ?? "").trimEnd().split(/ {2,}/);
}

test("sizes are in the largest unit that fits, with one decimal", () => {
  const sizes = {
    "/dev/sda": 1_000_204_886_016,
    "/dev/sdb": 2 ** 40,
    "/dev/sdc": 2 ** 40 - 2 ** 30,
    "/dev/sdd": 1023,
  };
  const disks = Object.entries(sizes).map(([name, size]) => inventoryDisk(disk({ name, size })));
  const text = inventoryTable({ ...NOTHING, disks }, "/dev/sdb");
  expect(Object.keys(sizes).map((name) => row(text, name)[1])).toEqual([
    "931.5 GiB",
    "1.0 TiB",
    "1023.0 GiB",
    "1023 B",
  ]);
});

test("what is not known is a dash", () => {
  const text = inventoryTable({ ...NOTHING, disks: [inventoryDisk(disk({ name: "/dev/sda" }))] }, null);
  for (const name of ["product", "serial number", "memory", "  usable", "BMC address", "BMC IPv6", "BMC MAC"])
    expect(text).toMatch(new RegExp(`^${name} +-$`, "m"));
  expect(row(text, "/dev/sda")).toEqual([
    "/dev/sda",
    "10.0 GiB",
    "solid",
    "-",
    "512",
    "-",
    "-",
    "-",
    "-",
    "-",
  ]);
  expect(text).toContain("INTERFACE\nnone");
});

test("what firmware says cannot command a terminal", () => {
  const vendor = { ...NOTHING.system_vendor, serial_number: "A\u001b[2JB\nC" };
  const text = inventoryTable({ ...NOTHING, system_vendor: vendor }, null);
  expect(text).not.toContain("\u001b");
  expect(row(text, "serial number")[1]).toBe("A\\x1b[2JB C");
});
