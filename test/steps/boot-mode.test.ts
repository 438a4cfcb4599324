// How a node is to boot, from everything a conductor may say of it: hardware 13.50, 13.51.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Json, JsonObject } from "../../src/json.ts";
import { diskLabel, nodeBootMode } from "../../src/steps/boot-mode.ts";
import { recordedSystem } from "../support/recorded-system.ts";

const BIOS = recordedSystem();
const UEFI = recordedSystem({ files: { "/sys/firmware/efi": { directory: true } } });

const mode = (node: JsonObject) => nodeBootMode(BIOS, node);
const withCapabilities = (capabilities: Json) => ({ properties: { capabilities } });

describe("the boot mode", () => {
  test("is the ramdisk's if nobody says, or says something else", async () => {
    expect([await nodeBootMode(BIOS, {}), await nodeBootMode(UEFI, {})]).toEqual(["bios", "uefi"]);
    expect(await nodeBootMode(UEFI, withCapabilities("boot_mode:netboot"))).toBe("uefi");
  });

  test("is said by secure boot, the instance, the capabilities, the driver, in this order", async () => {
    const node = {
      instance_info: { capabilities: { secure_boot: "True" }, deploy_boot_mode: "bios" },
      properties: { capabilities: "boot_mode:uefi" },
      driver_internal_info: { deploy_boot_mode: "bios" },
    };
    expect(await mode(node)).toBe("uefi");
    expect(await mode({ ...node, instance_info: { deploy_boot_mode: "BIOS" } })).toBe("bios");
    expect(await mode({ ...node, instance_info: {} })).toBe("uefi");
    expect(await nodeBootMode(UEFI, { driver_internal_info: { deploy_boot_mode: "bios" } })).toBe("bios");
  });

  test("secure boot of the instance counts before that of the node", async () => {
    const node = {
      instance_info: { capabilities: "secure_boot:false" },
      ...withCapabilities("secure_boot:true"),
    };
    expect(await mode(node)).toBe("bios");
    expect(await mode(withCapabilities("secure_boot:true"))).toBe("uefi");
    expect(await mode(withCapabilities({ secure_boot: true }))).toBe("uefi");
    expect(await mode(withCapabilities("secure_boot:yes"))).toBe("bios");
  });

  test("capabilities as an object, as JSON, as text; malformed ones are left out", async () => {
    for (const capabilities of [
      { boot_mode: "uefi" },
      '{"boot_mode": "UEFI"}',
      "a:b, boot_mode:uefi,c",
      "boot_mode:uefi,boot_mode:bios:x,boot_mode:,:bios",
    ])
      expect(await mode(withCapabilities(capabilities))).toBe("uefi");
    for (const capabilities of ['["boot_mode:uefi"]', '"boot_mode:uefi"', 5, null, "boot_mode:uefi:x"])
      expect(await mode(withCapabilities(capabilities))).toBe("bios");
  });

  test("is one of the two, whatever the node holds", async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), fc.jsonValue(), async (info, capabilities) => {
        const node = { instance_info: info as Json, ...withCapabilities(capabilities as Json) };
        expect(["uefi", "bios"]).toContain(await mode(node));
      }),
    );
  });
});

test("UEFI gets a GPT, BIOS what the request or the capability says", () => {
  expect(diskLabel({}, "uefi", "msdos")).toBe("gpt");
  expect(diskLabel({}, "bios", null)).toBe("msdos");
  expect(diskLabel(withCapabilities("disk_label:gpt"), "bios", null)).toBe("gpt");
  const node = { instance_info: { capabilities: "disk_label:msdos" }, ...withCapabilities("disk_label:gpt") };
  expect(diskLabel(node, "bios", null)).toBe("msdos");
  expect(diskLabel(withCapabilities("disk_label:gpt"), "bios", "msdos")).toBe("msdos");
});
