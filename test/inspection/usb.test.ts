import { describe, expect, test } from "bun:test";
import { lshwUsbDevices } from "../../src/hardware/lshw.ts";
import { collectUsb } from "../../src/inspection/usb.ts";
import { loadMachine } from "../hardware/recording/recording.ts";
import { thrower } from "../support/rejection.ts";
import { inspectedMachine } from "./support.ts";

describe("usb-devices", () => {
  // hardware 13.12
  test("those lshw calls usb and generic, however deep, with empty texts for what it does not tell", () => {
    const tree = {
      id: "vm",
      class: "system",
      children: [
        {
          id: "usbhost:0",
          class: "bus",
          children: [
            { id: "usb", class: "generic", product: "Key", vendor: "Acme", handle: "USB:1:2" },
            { id: "usb", class: "bus", product: "Hub" },
            { id: "usb:0", class: "generic", product: "numbered" },
          ],
        },
        { id: "usb", class: "generic" },
      ],
    };
    expect(lshwUsbDevices(tree)).toEqual([
      { product: "Key", vendor: "Acme", handle: "USB:1:2" },
      { product: "", vendor: "", handle: "" },
    ]);
  });

  test("fail without lshw, or with one that prints garbage", async () => {
    expect(await thrower(collectUsb(await inspectedMachine({})))).toThrow("cannot run lshw");
    const machine = await inspectedMachine({ programs: { lshw: { stdout: "[]" } } });
    expect(await thrower(collectUsb(machine))).toThrow("lshw printed no JSON object");
  });

  // A serial adapter beside a tablet: see recording/machines.ts. lshw numbers them, and so the reference sees neither.
  test("of the recorded machine are numbered, and not seen", async () => {
    const recording = await loadMachine("qemu-numa");
    const { usb_devices } = await collectUsb(await inspectedMachine(recording));
    expect(usb_devices).toEqual([]);
    expect(JSON.stringify(recording.programs!["lshw -quiet -json"])).toContain("QEMU USB SERIAL");
  });
});
