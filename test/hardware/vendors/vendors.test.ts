// hardware 13.88, 13.89. The address is the specification's, of a real card.

import { describe, expect, test } from "bun:test";
import type { OptionValues } from "../../../src/config/options.ts";
import { BUILT_IN_MANAGERS } from "../../../src/hardware/built-in.ts";
import type { RecordedFile, Recording } from "../../support/recorded-system.ts";
import { managersOn, RAMDISK_FILES } from "../support.ts";

const GUID_ADDRESS = "a0:00:00:27:fe:80:00:00:00:00:00:00:7c:fe:90:03:00:29:26:52";

function card(name: string, files: Readonly<Record<string, RecordedFile>>): Record<string, RecordedFile> {
  return Object.fromEntries(
    Object.entries(files).map(([path, content]) => [`/sys/class/net/${name}/${path}`, content]),
  );
}

async function loaded(files: Readonly<Record<string, RecordedFile>>, values: Partial<OptionValues> = {}) {
  const recording: Recording = { files: { ...RAMDISK_FILES, ...files } };
  const { system, managers } = managersOn(recording, { disk_wait_attempts: 0, ...values }, BUILT_IN_MANAGERS);
  await managers.load();
  return { system, managers };
}

describe("Mellanox", () => {
  const mellanox = {
    ...card("ib0", {
      address: `${GUID_ADDRESS}\n`,
      "device/vendor": "0x15b3\n",
      "device/device": "0x1013\n",
      carrier: "1\n",
    }),
    ...card("eth0", { address: "7c:fe:90:29:26:53\n", "device/vendor": "0x15b3\n" }),
    ...card("ib1", { address: `${GUID_ADDRESS}\n`, "device/vendor": "0x8086\n" }),
  };

  test("an InfiniBand port has the MAC address and the client id that Ironic knows it by", async () => {
    const { managers } = await loaded(mellanox);
    expect(managers.versions()).toEqual({
      generic_hardware_manager: "1.2",
      MellanoxDeviceHardwareManager: "1",
    });
    expect(await managers.dispatch("getInterfaceInfo", "ib0")).toEqual({
      name: "ib0",
      mac_address: "7c:fe:90:29:26:52",
      client_id: "ff:00:00:00:00:00:02:00:00:02:c9:00:7c:fe:90:03:00:29:26:52",
      has_carrier: true,
      vendor: "0x15b3",
      product: "0x1013",
      ipv4_address: null,
      ipv6_address: null,
      lldp: null,
      biosdevname: null,
      speed_mbps: null,
      pci_address: null,
      driver: null,
    });
  });

  test("its Ethernet ports, and other vendors' InfiniBand ports, are the generic manager's", async () => {
    const { managers } = await loaded(mellanox);
    expect(await managers.dispatch("getInterfaceInfo", "eth0")).toMatchObject({
      mac_address: "7c:fe:90:29:26:53",
      client_id: null,
    });
    expect(await managers.dispatch("getInterfaceInfo", "ib1")).toMatchObject({ mac_address: GUID_ADDRESS });
  });

  test("a machine without its cards does not have the manager", async () => {
    const { managers } = await loaded(
      card("eth0", { address: "52:54:00:00:00:01\n", "device/vendor": "0x8086\n" }),
    );
    expect(Object.keys(managers.versions())).toEqual(["generic_hardware_manager"]);
  });
});

describe("Intel CNA", () => {
  const i40e = card("eth0", {
    address: "52:54:00:00:00:01\n",
    "device/driver/module": { link: "../../../../module/i40e" },
  });
  const controls = (device: string) => `/sys/kernel/debug/i40e/${device}/command`;

  test("lldp stop is written once for each card", async () => {
    const { system, managers } = await loaded(
      { ...i40e, [controls("0000:01:00.0")]: "", [controls("0000:01:00.1")]: "" },
      { collect_lldp: true },
    );
    expect(managers.versions()).toHaveProperty("IntelCnaHardwareManager", "1.0");
    expect(system.fileMap.get(controls("0000:01:00.0"))).toBe("lldp stop");
    expect(system.fileMap.get(controls("0000:01:00.1"))).toBe("lldp stop");
  });

  test("nothing is written when LLDP is not wanted, or the card is another one", async () => {
    const wanted = await loaded({ ...i40e, [controls("a")]: "" }, { collect_lldp: false });
    expect(wanted.system.fileMap.get(controls("a"))).toBe("");
    const other = await loaded(
      { ...card("eth0", { "device/driver/module": { link: "../module/ice" } }), [controls("a")]: "" },
      { collect_lldp: true },
    );
    expect(other.managers.versions()).not.toHaveProperty("IntelCnaHardwareManager");
    expect(other.system.fileMap.get(controls("a"))).toBe("");
  });

  test("a driver that is not loaded properly, and a card that refuses, are warnings", async () => {
    const warnings = async (files: Readonly<Record<string, RecordedFile>>) => {
      const { system } = await loaded({ ...i40e, ...files }, { collect_lldp: true });
      return system.records.filter(({ level }) => level === "WARNING").map(({ message }) => message);
    };
    expect(await warnings({})).toContainEqual(expect.stringContaining("/sys/kernel/debug/i40e is not there"));
    expect(await warnings({ "/sys/kernel/debug/i40e/0000:01:00.0": { directory: true } })).toContainEqual(
      expect.stringContaining("keep LLDP frames to themselves: 0000:01:00.0: "),
    );
  });
});
