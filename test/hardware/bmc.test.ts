import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import fc from "fast-check";
import { IncompatibleHardwareMethodError } from "../../src/errors.ts";
import { Bmc } from "../../src/hardware/bmc.ts";
import { canonicalIpv6, isIpv4 } from "../../src/hardware/ip-address.ts";
import {
  parseChannelInfo,
  parseLan,
  parseLan6Addresses,
  parseLan6Enables,
} from "../../src/hardware/ipmitool.ts";
import { ProgramFailedError, type ProgramResult } from "../../src/system/programs.ts";
import { recordedSystem } from "../support/recorded-system.ts";
import { rejection } from "../support/rejection.ts";
import { managersOn, RAMDISK_FILES } from "./support.ts";

const DEVICE = { "/dev/ipmi0": { device: { major: 240, minor: 0 }, kind: "character" as const } };
const CHANNEL_INFO = await recorded("channel-info.txt");
const NO_CHANNEL_INFO = {
  stderr: "IPMI command failed: Requested sensor, data, or record not found\nUnable to Get Channel Info\n",
};
const LAN = await recorded("lan-print.txt");
const INVALID = { exitCode: 1, stderr: await recorded("lan-print-invalid.stderr.txt") };

function recorded(name: string): Promise<string> {
  return Bun.file(join(import.meta.dir, "../fixtures/ipmitool", name)).text();
}

/** What a channel answers: the three questions about IPv6, and the one about IPv4. */
type Channel = {
  lan?: Partial<ProgramResult>;
  lan6?: string;
  enables?: string;
  dynamic?: string;
  static?: string;
};

/** A machine whose BMC has the given channels; all others are invalid. */
function machine(channels: Readonly<Record<number, Channel>>) {
  return recordedSystem({
    files: DEVICE,
    programs: {
      ipmitool: (argv, { input }) => {
        if (argv[1] === "exec") return { exitCode: 1, ...channelInfo(Object.keys(channels), input) };
        const channel = channels[Number(argv[3])];
        if (channel === undefined) return INVALID;
        if (argv[1] === "lan") return channel.lan ?? INVALID;
        const answers: Record<string, string | undefined> = {
          enables: channel.enables,
          dynamic_addr: channel.dynamic,
          static_addr: channel.static,
        };
        return { stdout: (argv[4] === undefined ? channel.lan6 : answers[argv[4]]) ?? "" };
      },
    },
  });
}

/** What `channel info` says of those that are asked about, as recorded of ipmi_sim. */
function channelInfo(channels: readonly string[], input = ""): { stdout: string; stderr: string } {
  const asked = input.split("\n").flatMap((line) => /^channel info (\d+)$/.exec(line)?.[1] ?? []);
  const there = asked.filter((channel) => channels.includes(channel));
  const infos = there.map((channel) =>
    CHANNEL_INFO.replace("Channel 0x1 ", `Channel 0x${Number(channel).toString(16)} `),
  );
  const { stderr } = NO_CHANNEL_INFO;
  return { stdout: infos.join(""), stderr: stderr.repeat(asked.length - there.length) };
}

function lan(ip: string, mac = "52:54:00:aa:bb:cc"): Partial<ProgramResult> {
  return { stdout: LAN.replace("192.0.2.100", ip).replace("52:54:00:aa:bb:cc", mac) };
}

function block(title: string, fields: Readonly<Record<string, string>>): string {
  return `${title}:\n${Object.entries(fields)
    .map(([key, value]) => `    ${`${key}:`.padEnd(16)}${value}\n`)
    .join("")}`;
}

function dynamic(address: string, type = "DHCPv6", status = "active", number = 0): string {
  return block(`IPv6 Dynamic Address ${number}`, { "Source/Type": type, Address: address, Status: status });
}

function fixed(address: string, enabled = "yes", status = "active", number = 0): string {
  return block(`IPv6 Static Address ${number}`, { Enabled: enabled, Address: address, Status: status });
}

const BOTH = "IPv6/IPv4 Addressing Enables: both\n";

describe("without an IPMI device", () => {
  // hardware 13.46.
  test("nothing is run and nothing known", async () => {
    const system = recordedSystem({
      files: { "/dev/ipmi0": "a file", "/dev/sda": { device: { major: 8, minor: 0 } } },
    });
    const bmc = new Bmc(system);
    expect([await bmc.address(), await bmc.v6Address(), await bmc.mac()]).toEqual([null, null, null]);
    expect(system.calls).toEqual([]);
  });

  test("devices in the older places count", async () => {
    for (const path of ["/dev/ipmi/0", "/dev/ipmidev/0"]) {
      const system = recordedSystem({
        files: { [path]: DEVICE["/dev/ipmi0"] },
        programs: { ipmitool: lan("192.0.2.7") },
      });
      expect(await new Bmc(system).address()).toBe("192.0.2.7");
    }
  });
});

describe("the IPv4 address", () => {
  // hardware 13.46.
  test("of the first channel that has one: invalid, unset and silent ones are passed over", async () => {
    const system = machine({
      2: { lan: lan("0.0.0.0") },
      3: { lan: { stdout: "" } },
      4: { lan: lan("192.1.2.3") },
    });
    expect(await new Bmc(system).address()).toBe("192.1.2.3");
    expect(system.calls.map((argv) => argv[3])).toEqual([undefined, "2", "3", "4"]);
  });

  test("is 0.0.0.0 if no channel has one", async () => {
    const system = machine({ 1: { lan: { stdout: await recorded("lan-print-unset.txt") } } });
    expect(await new Bmc(system).address()).toBe("0.0.0.0");
    expect(system.calls.map((argv) => argv.slice(1).join(" "))).toEqual([
      "exec /proc/self/fd/0",
      "lan print 1",
    ]);
  });

  test("a BMC without any LAN is asked nothing more", async () => {
    const bmc = machine({});
    expect(await new Bmc(bmc).address()).toBe("0.0.0.0");
    expect(bmc.calls).toHaveLength(1);
    const serial = CHANNEL_INFO.replace("802.3 LAN", "RS232/Modem");
    const system = recordedSystem({
      files: DEVICE,
      programs: { ipmitool: { exitCode: 1, stdout: serial, stderr: NO_CHANNEL_INFO.stderr.repeat(10) } },
    });
    expect(await new Bmc(system).v6Address()).toBe("::/0");
    expect(system.calls).toHaveLength(1);
  });

  test("where nobody tells which channels are LANs, all are asked", async () => {
    const system = recordedSystem({
      files: DEVICE,
      programs: { ipmitool: (argv) => (argv[3] === "9" ? lan("192.0.2.9") : INVALID) },
    });
    expect(await new Bmc(system).address()).toBe("192.0.2.9");
    expect(system.calls).toHaveLength(10);
  });

  test("is asked once per agent, also when the BMC hangs", async () => {
    const system = recordedSystem({
      files: DEVICE,
      programs: {
        ipmitool: (argv) => {
          throw new ProgramFailedError(argv, "gave up after 30 s and ended it", null, "", "");
        },
      },
    });
    const bmc = new Bmc(system);
    expect([await bmc.address(), await bmc.address()]).toEqual([null, null]);
    expect(system.calls).toHaveLength(1);
    expect(system.records.map(({ level }) => level)).toEqual(["WARNING"]);
  });

  // hardware 13.47.
  test("is not the line that says where it comes from", () => {
    expect(parseLan({ stdout: LAN, stderr: "" })).toEqual({
      invalidChannel: false,
      addresses: ["192.0.2.100", "52:54:00:aa:bb:cc"],
      ip: ["192.0.2.100"],
    });
    expect(parseLan({ stdout: "", stderr: INVALID.stderr }).invalidChannel).toBe(true);
  });
});

// hardware 13.48.
describe("the IPv6 address", () => {
  const of = (channels: Readonly<Record<number, Channel>>) => new Bmc(machine(channels)).v6Address();

  test("is that of an active dynamic one, without prefix length and in its shortest form", async () => {
    const addresses = dynamic("::/0") + dynamic("2001:0db8:0:0::0100/64", "SLAAC", "active", 1);
    expect(await of({ 1: { enables: BOTH, dynamic: addresses } })).toBe("2001:db8::100");
  });

  test("a channel with IPv4 only is not asked for addresses", async () => {
    const system = machine({
      1: { enables: "IPv6/IPv4 Addressing Enables: ipv4\n", dynamic: dynamic("2001:db8::1/64") },
      2: { enables: "IPv6/IPv4 Addressing Enables: ipv6\n", dynamic: dynamic("2001:db8::2/64") },
    });
    expect(await new Bmc(system).v6Address()).toBe("2001:db8::2");
    expect(system.calls.slice(1).map((argv) => argv.slice(3).join(" "))).toEqual([
      "1 enables",
      "2 enables",
      "2 dynamic_addr",
    ]);
  });

  test("a static one only without a dynamic one, and only enabled and active", async () => {
    const unusable = dynamic("2001:db8::1/64", "static") + dynamic("2001:db8::1/64", "DHCPv6", "disabled", 1);
    const addresses =
      fixed("2001:db8::2/64", "no") +
      fixed("2001:db8::3/64", "yes", "pending", 1) +
      fixed("::/0", "yes", "active", 2);
    expect(await of({ 1: { enables: BOTH, dynamic: unusable, static: addresses } })).toBe("::/0");
    const good = addresses + fixed("2001:db8::4/64", "yes", "active", 3);
    expect(await of({ 1: { enables: BOTH, dynamic: unusable, static: good } })).toBe("2001:db8::4");
  });

  test("an invalid one and garbage lead to the next channel", async () => {
    const channels = {
      1: { enables: BOTH, dynamic: dynamic("not:an:address/64") },
      2: { enables: BOTH, dynamic: "garbage\n\n:::\n", static: "" },
      3: { enables: "garbage" },
      5: { enables: BOTH, dynamic: dynamic("2001:db8::5/64") },
    };
    expect(await of(channels)).toBe("2001:db8::5");
  });
});

// hardware 13.49.
describe("the MAC address", () => {
  const of = (channels: Readonly<Record<number, Channel>>) => new Bmc(machine(channels)).mac();

  test("of the first channel with an IP address", async () => {
    expect(await of({ 3: { lan: { stdout: LAN } } })).toBe("52:54:00:aa:bb:cc");
  });

  test("without IPv4 only with an IPv6 address that is routed", async () => {
    const unset = lan("0.0.0.0", "52:54:00:00:00:01");
    const local = dynamic("fe80::1/64") + fixed("::/0", "no", "disabled");
    const channels = { 1: { lan: unset, lan6: local }, 2: { lan: { stdout: LAN } } };
    expect(await of(channels)).toBe("52:54:00:aa:bb:cc");
    expect(await of({ ...channels, 1: { lan: unset, lan6: local + dynamic("2001:db8::1/64") } })).toBe(
      "52:54:00:00:00:01",
    );
    // The reference takes silence for an address.
    expect(await of({ ...channels, 1: { lan: unset, lan6: "" } })).toBe("52:54:00:00:00:01");
  });

  test("zeros and half answers are none; none at all is not an answer, and is remembered", async () => {
    const system = machine({
      1: { lan: lan("192.0.2.1", "00:00:00:00:00:00") },
      2: { lan: { stdout: "IP Address : 192.0.2.2\n" } },
    });
    const bmc = new Bmc(system);
    expect(await rejection(bmc.mac())).toBeInstanceOf(IncompatibleHardwareMethodError);
    const asked = system.calls.length;
    expect(await rejection(bmc.mac())).toBeInstanceOf(IncompatibleHardwareMethodError);
    expect(system.calls).toHaveLength(asked);
  });

  test("is asked again after no answer", async () => {
    const files = new Map<string, (typeof DEVICE)["/dev/ipmi0"]>();
    const system = recordedSystem({
      files: Object.fromEntries(files),
      programs: { ipmitool: { stdout: LAN } },
    });
    const bmc = new Bmc(system);
    expect(await bmc.mac()).toBeNull();
    (system.fileMap as Map<string, unknown>).set("/dev/ipmi0", DEVICE["/dev/ipmi0"]);
    expect(await bmc.mac()).toBe("52:54:00:aa:bb:cc");
  });
});

describe("in the inventory", () => {
  const recording = {
    files: { ...RAMDISK_FILES, ...DEVICE },
    programs: {
      lscpu: { stdout: "CPU(s): 1\n" },
      lsblk: { stdout: '{"blockdevices": []}' },
      "ip -j addr": { stdout: "[]" },
      ipmitool: { stdout: LAN },
    },
  };

  test("the MAC address is a key only when it is known; v4 and MAC share one question", async () => {
    const { managers, system } = managersOn(recording, { disk_wait_attempts: 0 });
    await managers.load();
    const inventory = await managers.inventory({ useCache: false });
    expect(inventory).toMatchObject({
      bmc_address: "192.0.2.100",
      bmc_v6address: "::/0",
      bmc_mac: "52:54:00:aa:bb:cc",
    });
    expect(system.calls.filter((argv) => argv.join(" ") === "ipmitool lan print 1")).toHaveLength(1);
  });

  // hardware 13.11.
  test("nothing is asked of the BMC when Ironic said not to", async () => {
    const { managers, system } = managersOn(recording, { disk_wait_attempts: 0 });
    await managers.load();
    managers.node.skipBmcDetection = true;
    const inventory = await managers.inventory({ useCache: false });
    expect(inventory).toMatchObject({ bmc_address: null, bmc_v6address: null });
    expect(inventory).not.toHaveProperty("bmc_mac");
    expect(system.calls.filter(([program]) => program === "ipmitool")).toEqual([]);
  });
});

describe("any output of ipmitool", () => {
  test("is read without failing", () => {
    const line = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.constantFrom(
        "IPv6 Dynamic Address 0:",
        "    Address:        ::/0",
        "    Enabled: yes",
        "IP Address : ",
        "MAC Address\t:",
        "Channel 0x1 info:",
        "  Channel Medium Type   : 802.3 LAN",
      ),
    );
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        const text = lines.join("\n");
        for (const { address } of parseLan6Addresses(text)) expect(address).not.toBe("");
        expect(parseLan({ stdout: text, stderr: text }).addresses).toBeArray();
        for (const channel of parseChannelInfo({ stdout: text, stderr: text }).lans) expect(channel).toBe(1);
        expect(parseLan6Enables(text) ?? "x").not.toMatch(/\s/);
      }),
    );
  });
});

describe("IP addresses", () => {
  test("IPv6 in canonical form", () => {
    expect(canonicalIpv6("2001:0DB8:0:0:0:0:0:1")).toBe("2001:db8::1");
    expect(canonicalIpv6("::ffff:192.0.2.1")).toBe("::ffff:c000:201");
    expect(canonicalIpv6("1::0:0:0:1.2.3.4")).toBe("1::102:304");
    expect(canonicalIpv6("1:0:0:2:0:0:0:3")).toBe("1:0:0:2::3");
    expect(canonicalIpv6("1:0:2:3:4:5:6:7")).toBe("1:0:2:3:4:5:6:7");
    expect(canonicalIpv6("::")).toBe("::");
    expect(canonicalIpv6("1:2:3:4:5:6:7::")).toBe("1:2:3:4:5:6:7:0");
    for (const text of [
      "",
      ":",
      "192.0.2.1",
      "2001:db8::1/64",
      "fe80::1%eth0",
      "1:2:3",
      "g::1",
      "::1]",
      "[::1]",
    ])
      expect(canonicalIpv6(text)).toBeNull();
  });

  test("every IPv6 address is recognized, and its canonical form stays as it is", () => {
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        const canonical = canonicalIpv6(address);
        expect(canonical).not.toBeNull();
        expect(canonicalIpv6(canonical!)).toBe(canonical);
      }),
    );
  });

  test("IPv4: four numbers up to 255 without leading zeros", () => {
    fc.assert(fc.property(fc.ipV4(), (address) => expect(isIpv4(address)).toBe(true)));
    for (const text of ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4 ", "a.b.c.d"])
      expect(isIpv4(text)).toBe(false);
  });
});
