import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { IncompatibleHardwareMethodError } from "../../src/errors.ts";
import { BiosDeviceNames } from "../../src/hardware/biosdevname.ts";
import { GenericHardwareManager } from "../../src/hardware/generic-manager.ts";
import { parseLinkAddresses } from "../../src/hardware/ip-tool.ts";
import type { HardwareManager, NetworkInterface } from "../../src/hardware/manager.ts";
import { interfaceNames, isVlanName } from "../../src/hardware/network-interfaces.ts";
import { type Recording, recordedSystem } from "../support/recorded-system.ts";
import { cards, DEVICE } from "./network-machines.ts";
import { loadMachine } from "./recording/recording.ts";
import { managersOn } from "./support.ts";

async function interfacesOf(recording: Recording, values = {}) {
  const { managers, system } = managersOn(recording, { disk_wait_attempts: 0, ...values });
  await managers.load();
  const interfaces = await managers.dispatch("listNetworkInterfaces");
  return { system, interfaces: Object.fromEntries(interfaces.map((found) => [found.name, found])) };
}

function ip(links: readonly object[]): NonNullable<Recording["programs"]> {
  return { "ip -j addr": { stdout: JSON.stringify(links) } };
}

// What was set up in the machine: see recording/machines.ts.
describe("the cards of the recorded BIOS machine", () => {
  test("Intel: addresses, link and bus", async () => {
    const { interfaces } = await interfacesOf(await loadMachine("qemu-bios"));
    expect(interfaces.eth0).toEqual({
      name: "eth0",
      mac_address: "52:54:00:12:34:57",
      ipv4_address: "192.0.2.10",
      ipv6_address: "fe80::5054:ff:fe12:3457%eth0",
      has_carrier: true,
      lldp: null,
      vendor: "0x8086",
      product: "0x10d3",
      client_id: null,
      biosdevname: null,
      speed_mbps: 1000,
      pci_address: "0000:00:0a.0",
      driver: "e1000e",
    });
  });

  // hardware 13.38, 13.40, 13.45
  test("virtio, working under another address than its own, and down", async () => {
    const { interfaces } = await interfacesOf(await loadMachine("qemu-bios"));
    expect(interfaces.eth1).toMatchObject({
      mac_address: "52:54:00:12:34:56",
      has_carrier: false,
      vendor: "0x1af4",
      product: "0x0001",
      driver: "virtio_net",
      speed_mbps: null,
      ipv4_address: null,
    });
    expect(interfaces.eth1!.pci_address).toMatch(/^virtio\d+$/);
  });

  // hardware 13.39
  test("the VLAN on top: a global address before the link-local one, no hardware of its own", async () => {
    const { interfaces } = await interfacesOf(await loadMachine("qemu-bios"));
    expect(interfaces["eth0.100"]).toMatchObject({
      mac_address: "52:54:00:12:34:57",
      ipv6_address: "2001:db8::100",
      has_carrier: true,
      vendor: null,
      product: null,
      driver: null,
      pci_address: null,
    });
  });

  test("all addresses come from one call", async () => {
    const { system, interfaces } = await interfacesOf(await loadMachine("qemu-bios"));
    expect(Object.keys(interfaces)).toEqual(["eth0", "eth1", "eth0.100"]);
    expect(system.calls.filter(([program]) => program === "ip")).toHaveLength(1);
  });
});

describe("which interfaces belong to the machine", () => {
  // hardware 13.37
  test("cards, VLANs by name and bonds, in the kernel's order; no loopback, dummy or bridge", async () => {
    const system = recordedSystem({
      files: {
        "/sys/class/net/bond0/bonding": { directory: true },
        "/sys/class/net/bond0/ifindex": "3\n",
        "/sys/class/net/br0/bridge": { directory: true },
        "/sys/class/net/dummy0/ifindex": "4\n",
        "/sys/class/net/eth0/device": DEVICE,
        "/sys/devices/0000:00:03.0": { directory: true },
        "/sys/class/net/eth0/ifindex": "12\n",
        "/sys/class/net/eth0.100/ifindex": "5\n",
        "/sys/class/net/bonding_masters": "bond0\n",
        "/sys/class/net/lo/ifindex": "1\n",
      },
    });
    expect(await interfaceNames(system)).toEqual(["bond0", "eth0.100", "eth0"]);
  });

  test("a VLAN is digits after the first dot", () => {
    expect(["eth0.100", "bond0.1"].every(isVlanName)).toBe(true);
    expect(["eth0", "a.b.5", "eth0.", "eth0.1x", "eth0.5.6"].some(isVlanName)).toBe(false);
  });
});

describe("MAC addresses", () => {
  test("the burned-in one where iproute2 tells another than the current", async () => {
    const files = cards({ eth0: "52:54:00:AA:BB:CC", eth1: "52:54:00:aa:bb:cc", bond0: "52:54:00:aa:bb:cc" });
    const programs = ip([
      { ifname: "eth0", permaddr: "52:54:00:00:00:01", addr_info: [] },
      { ifname: "eth1", permaddr: "00:00:00:00:00:00", addr_info: [] },
      { ifname: "bond0", addr_info: [] },
    ]);
    const { interfaces } = await interfacesOf({ files, programs });
    expect(Object.values(interfaces).map(({ mac_address }) => mac_address)).toEqual([
      "52:54:00:00:00:01",
      "52:54:00:aa:bb:cc",
      "52:54:00:aa:bb:cc",
    ]);
  });

  // hardware 13.40
  test("the burned-in one that the driver tells, also where iproute2 is too old to", async () => {
    const files = cards({ eth0: "52:54:00:aa:bb:cc", eth1: "52:54:00:aa:bb:cc", bond0: "52:54:00:aa:bb:cc" });
    const permanentAddresses = { eth0: "52:54:00:00:00:01", eth1: "52:54:00:00:00:02" };
    for (const programs of [{}, ip([{ ifname: "eth0", addr_info: [] }])]) {
      const { interfaces } = await interfacesOf({ files, permanentAddresses, programs });
      expect(Object.values(interfaces).map(({ mac_address }) => mac_address)).toEqual([
        "52:54:00:00:00:01",
        "52:54:00:00:00:02",
        "52:54:00:aa:bb:cc",
      ]);
    }
  });

  test("an interface without one is left out with a warning", async () => {
    const { interfaces, system } = await interfacesOf({ files: cards({ eth0: "" }), programs: ip([]) });
    expect(interfaces).toEqual({});
    expect(system.records.filter(({ level }) => level === "WARNING").map(({ message }) => message)).toContain(
      "network interface eth0 is left out: no hardware manager can describe it",
    );
  });

  // hardware 13.40
  test("one that begins with fa is left out unless the option says it is real", async () => {
    const recording = {
      files: cards({ eth0: "FA:16:3e:00:00:01", eth1: "f8:16:3e:00:00:02" }),
      programs: ip([]),
    };
    expect(Object.keys((await interfacesOf(recording)).interfaces)).toEqual(["eth1"]);
    const all = await interfacesOf(recording, { ignore_fa_mac_addresses: false });
    expect(Object.keys(all.interfaces)).toEqual(["eth0", "eth1"]);
  });

  test("are found without iproute2 and with a busybox that has no JSON", async () => {
    for (const programs of [
      {},
      { ip: { exitCode: 1, stderr: "unknown option" } },
      { ip: { stdout: "1: lo" } },
    ]) {
      const { interfaces, system } = await interfacesOf({
        files: cards({ eth0: "52:54:00:00:00:01" }),
        programs,
      });
      expect(interfaces.eth0).toMatchObject({ mac_address: "52:54:00:00:00:01", ipv4_address: null });
      expect(system.records.some(({ message }) => message.startsWith("the IP addresses"))).toBe(true);
    }
  });
});

test("a vendor's manager describes the interfaces it knows, the generic one the rest", async () => {
  const vendor = (): HardwareManager => ({
    className: "Vendor",
    name: "vendor",
    version: "1",
    evaluateHardwareSupport: async () => 2,
    getInterfaceInfo: async (name) => {
      if (name !== "ib0") throw new IncompatibleHardwareMethodError("Ethernet");
      return { name, client_id: "ff:00" } as NetworkInterface;
    },
  });
  const files = cards({ eth0: "52:54:00:00:00:01", ib0: "52:54:00:00:00:02" });
  const { managers } = managersOn({ files, programs: ip([]) }, { disk_wait_attempts: 0 }, [
    (context) => new GenericHardwareManager(context),
    vendor,
  ]);
  await managers.load();
  const found = await managers.dispatch("listNetworkInterfaces");
  expect(found.map(({ name, client_id }) => [name, client_id])).toEqual([
    ["eth0", null],
    ["ib0", "ff:00"],
  ]);
});

describe("speed", () => {
  const files = { ...cards({ eth0: "52:54:00:00:00:01" }), "/sys/class/net/eth0/speed": "100\n" };
  const speed = async (linkModes: Recording["linkModes"]) =>
    (await interfacesOf({ files, programs: ip([]), ...(linkModes === undefined ? {} : { linkModes }) }))
      .interfaces.eth0!.speed_mbps;

  // hardware 13.42: what lshw calls capacity
  test("is the fastest the port can do, with or without a cable; null when it names no mode", async () => {
    // 10/100/1000 twisted pair with autonegotiation and pause
    expect(await speed({ eth0: [0, 1, 2, 3, 5, 6, 7, 13] })).toBe(1000);
    // 1, 10, 25 and 100 Gbit/s
    expect(await speed({ eth0: [10, 13, 31, 36, 41, 43, 49] })).toBe(100_000);
    expect(await speed({ eth0: [] })).toBeNull();
    expect(await speed({ eth0: [6, 7, 49, 74] })).toBeNull();
  });

  test("of the recorded machine is what lshw calls capacity there", async () => {
    const { interfaces } = await interfacesOf(await loadMachine("qemu-numa"));
    // An Intel card that is down, and a virtio card, of which lshw knows none.
    expect([interfaces.eth0!.speed_mbps, interfaces.eth1!.speed_mbps]).toEqual([1000, null]);
  });

  test("is that of the moment where the driver does not answer", async () => {
    expect(await speed(undefined)).toBe(100);
  });
});

describe("BIOS device names", () => {
  // hardware 13.41
  test("come from the tool; in a virtual machine and on errors there are none", async () => {
    const system = recordedSystem({
      programs: {
        "biosdevname -i eth0": { stdout: "em1\n" },
        "biosdevname -i eth1": { exitCode: 4 },
        "biosdevname -i eth2": { exitCode: 1, stderr: "broken" },
      },
    });
    const names = new BiosDeviceNames(system);
    expect([await names.nameOf("eth0"), await names.nameOf("eth1"), await names.nameOf("eth2")]).toEqual([
      "em1",
      null,
      null,
    ]);
    expect(system.records.map(({ level }) => level)).toEqual(["INFO", "WARNING"]);
  });

  // hardware 13.41
  test("without the tool there is one warning, however many ask", async () => {
    const system = recordedSystem();
    const names = new BiosDeviceNames(system);
    await Promise.all(["eth0", "eth1"].map((name) => names.nameOf(name)));
    expect(await names.nameOf("eth2")).toBeNull();
    expect(system.records.map(({ level }) => level)).toEqual(["WARNING"]);
  });

  // hardware 13.41
  test("are not asked for a VLAN", async () => {
    const { system } = await interfacesOf({
      files: {
        ...cards({ eth0: "52:54:00:00:00:01" }),
        "/sys/class/net/eth0.100/address": "52:54:00:00:00:01\n",
      },
      programs: { ...ip([]), biosdevname: { exitCode: 4 } },
    });
    expect(system.calls.filter(([program]) => program === "biosdevname")).toEqual([
      ["biosdevname", "-i", "eth0"],
    ]);
  });
});

describe("ip -j addr", () => {
  test("addresses in the kernel's order, link-local ones marked", () => {
    const text = JSON.stringify([
      {
        ifname: "eth0",
        addr_info: [
          { family: "inet", local: "192.0.2.1", scope: "global", prefixlen: 24 },
          { family: "inet", local: "192.0.2.2", scope: "global" },
          { family: "inet6", local: "2001:db8::1", scope: "global" },
          { family: "inet6", local: "fe80::1", scope: "link" },
        ],
      },
    ]);
    expect(parseLinkAddresses(text).get("eth0")).toEqual({
      ipv4: ["192.0.2.1", "192.0.2.2"],
      ipv4PrefixLengths: [24, 32],
      ipv6: [
        { address: "2001:db8::1", linkLocal: false },
        { address: "fe80::1", linkLocal: true },
      ],
      permanentMac: null,
    });
  });

  test("any JSON is read; what is no JSON is a syntax error", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(parseLinkAddresses(text)).toBeInstanceOf(Map);
      }),
    );
    const entry = fc.record({ ifname: fc.jsonValue(), addr_info: fc.jsonValue(), permaddr: fc.jsonValue() });
    fc.assert(
      fc.property(fc.array(entry), (links) => {
        for (const { ipv4 } of parseLinkAddresses(JSON.stringify(links)).values()) expect(ipv4).toBeArray();
      }),
    );
    expect(() => parseLinkAddresses("1: lo: <LOOPBACK>")).toThrow(SyntaxError);
  });
});
