import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { collectPci } from "../../src/inspection/pci.ts";
import { loadMachine } from "../hardware/recording/recording.ts";
import { thrower } from "../support/rejection.ts";
import { inspectedMachine } from "./support.ts";

const DEVICES = "/sys/bus/pci/devices";

describe("pci-devices", () => {
  // hardware 13.94, control-plane 11.88
  test("by bus address: numbers without 0x, the NUMA node as text, null for what is not there", async () => {
    const device = `${DEVICES}/0000:00:06.0`;
    const bare = `${DEVICES}/0000:00:02.0`;
    const machine = await inspectedMachine({
      files: {
        [`${device}/vendor`]: "0x1af4\n",
        [`${device}/device`]: "0x1041\n",
        [`${device}/class`]: "0x020000\n",
        [`${device}/revision`]: "0x01\n",
        [`${device}/numa_node`]: "-1\n",
        [`${bare}/vendor`]: "0x8086\n",
        [`${bare}/device`]: "0x29c0\n",
        [`${bare}/class`]: "0x060000\n",
      },
    });
    expect(await collectPci(machine)).toEqual({
      pci_devices: [
        {
          vendor_id: "8086",
          product_id: "29c0",
          class: "060000",
          revision: null,
          bus: "0000:00:02.0",
          numa_node_id: null,
        },
        {
          vendor_id: "1af4",
          product_id: "1041",
          class: "020000",
          revision: "01",
          bus: "0000:00:06.0",
          numa_node_id: "-1",
        },
      ],
    });
  });

  test("a device that does not tell its class, or tells it oddly, is left out with a warning", async () => {
    const files = {
      [`${DEVICES}/0000:00:01.0/vendor`]: "0x8086\n",
      [`${DEVICES}/0000:00:01.0/device`]: "0x29c0\n",
      [`${DEVICES}/0000:00:02.0/vendor`]: "8086\n",
      [`${DEVICES}/0000:00:02.0/device`]: "0x29c0\n",
      [`${DEVICES}/0000:00:02.0/class`]: "0x060000\n",
    };
    const machine = await inspectedMachine({ files });
    expect(await collectPci(machine)).toEqual({ pci_devices: [] });
    expect(machine.warnings()).toHaveLength(2);
  });

  test("any content of its files gives a device with texts, or none", async () => {
    const text = fc.oneof(fc.string(), fc.string({ unit: "binary" }), fc.constant("0x8086\n"));
    await fc.assert(
      fc.asyncProperty(text, text, text, async (vendor, revision, node) => {
        const device = `${DEVICES}/0000:00:01.0`;
        const files = {
          [`${device}/vendor`]: vendor,
          [`${device}/device`]: "0x1\n",
          [`${device}/class`]: "0x2\n",
          [`${device}/revision`]: revision,
          [`${device}/numa_node`]: node,
        };
        const { pci_devices } = await collectPci(await inspectedMachine({ files }));
        for (const { vendor_id, product_id } of pci_devices as Record<string, string>[])
          expect([typeof vendor_id, product_id]).toEqual(["string", "1"]);
      }),
      { numRuns: 50 },
    );
  });

  test("a machine without PCI fails the collector", async () => {
    const machine = await inspectedMachine({});
    expect(await thrower(collectPci(machine))).toThrow("there is no /sys/bus/pci/devices");
  });

  // What was plugged in: see recording/machines.ts.
  test("the recorded machine's cards, one of them on the second socket", async () => {
    const { pci_devices } = await collectPci(await inspectedMachine(await loadMachine("qemu-numa")));
    const cards = (pci_devices as Record<string, string>[]).filter(({ class: kind }) => kind === "020000");
    expect(cards.map(({ vendor_id, product_id }) => `${vendor_id}:${product_id}`).sort()).toEqual([
      "1af4:1000",
      "8086:10d3",
    ]);
    expect(cards.find(({ vendor_id }) => vendor_id === "8086")!.numa_node_id).toBe("1");
  });
});
