import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { OptionValues } from "../../src/config/options.ts";
import { bootMac, waitForDhcp } from "../../src/inspection/dhcp-wait.ts";
import { cards } from "../hardware/network-machines.ts";
import type { Recording } from "../support/recorded-system.ts";
import { inspectedMachine } from "./support.ts";

/** Two cards; the second gets its address at the third look, the first never. */
async function waited(values: Partial<OptionValues>, kernelLine = "") {
  let looks = 0;
  const programs: Recording["programs"] = {
    biosdevname: { exitCode: 4 },
    "ip -j addr": () => {
      looks++;
      const addressed = (local: string) => ({ family: "inet", local, scope: "global", prefixlen: 24 });
      const eth1 = { ifname: "eth1", addr_info: looks < 3 ? [] : [addressed("192.0.2.2")] };
      // IPv6 does not count.
      const eth0 = {
        ifname: "eth0",
        addr_info: [{ family: "inet6", local: "2001:db8::1", scope: "global" }],
      };
      return { stdout: JSON.stringify([eth0, eth1]) };
    },
  };
  const files = {
    ...cards({ eth0: "52:54:00:00:00:01", eth1: "aa:bb:cc:dd:ee:ff" }),
    "/proc/cmdline": `quiet ${kernelLine}\n`,
  };
  const { system, config, managers, signal } = await inspectedMachine({ files, programs }, values);
  await waitForDhcp(system, config, managers, signal);
  return {
    looks,
    sleeps: system.sleeps,
    log: system.records.map(({ level, message }) => `${level} ${message}`),
  };
}

describe("waiting for DHCP", () => {
  // control-plane 11.83
  test("ends when the interface the machine booted from has an IPv4 address", async () => {
    const { sleeps } = await waited({ inspection_dhcp_wait_timeout: 60 }, "BOOTIF=01-AA-BB-CC-DD-EE-FF");
    expect(sleeps).toEqual([2, 2]);
  });

  test("gives up with a warning when the time is over", async () => {
    const values = { inspection_dhcp_wait_timeout: 5, inspection_dhcp_all_interfaces: true };
    const { sleeps, log } = await waited(values);
    expect(sleeps).toEqual([2, 2, 1]);
    expect(log).toContain("WARNING no IPv4 address on eth0 after 5 s of waiting for DHCP; going on");
  });

  test("does not listen for LLDP at each look", async () => {
    const values = { collect_lldp: true, lldp_timeout: 30, inspection_dhcp_wait_timeout: 60 };
    const { sleeps } = await waited(values, "BOOTIF=aa-bb-cc-dd-ee-ff");
    expect(sleeps).toEqual([2, 2]);
  });

  test("waits for VLANs, too, that only the switch tells of: the first look listens and makes them", async () => {
    const vlan = "52:54:00:00:00:01";
    const commands: string[] = [];
    let addressed = false;
    const ip = (argv: readonly string[]) => {
      commands.push(argv.join(" "));
      if (argv[2] === "add")
        (system.fileMap as Map<string, string>).set("/sys/class/net/eth0.101/address", vlan);
      if (argv[1] !== "-j") return {};
      const local = { family: "inet", local: "192.0.2.9", scope: "global", prefixlen: 24 };
      const links = [{ ifname: "eth0", addr_info: [local] }];
      return {
        stdout: JSON.stringify(addressed ? [...links, { ifname: "eth0.101", addr_info: [local] }] : links),
      };
    };
    const vlanName = Uint8Array.fromHex("0180c200000e02000000000188ccfe070080c2030065000000");
    const { system, config, managers, signal } = await inspectedMachine(
      {
        files: cards({ eth0: "52:54:00:00:00:01" }),
        programs: { biosdevname: { exitCode: 4 }, ip },
        frames: { eth0: vlanName },
      },
      { collect_lldp: true, enable_vlan_interfaces: ["all"], inspection_dhcp_all_interfaces: true },
    );
    const sleep = system.clock.sleep.bind(system.clock);
    system.clock.sleep = async (seconds, abort) => {
      addressed = true;
      return sleep(seconds, abort);
    };
    await waitForDhcp(system, config, managers, signal);
    expect(commands.filter((line) => line.startsWith("ip link add"))).toEqual([
      "ip link add link eth0 name eth0.101 type vlan id 101",
    ]);
    expect(system.sleeps).toEqual([2]);
  });

  // control-plane 11.84
  test("is no wait with 0, without BOOTIF, or when no interface is the one", async () => {
    const off = await waited({ inspection_dhcp_wait_timeout: 0, inspection_dhcp_all_interfaces: true });
    expect([off.sleeps, off.looks]).toEqual([[], 0]);
    const unknown = await waited({ inspection_dhcp_wait_timeout: 60 });
    expect([unknown.sleeps, unknown.looks]).toEqual([[], 0]);
    expect(unknown.log.some((line) => line.startsWith("WARNING not waiting for DHCP"))).toBe(true);
    const foreign = await waited({ inspection_dhcp_wait_timeout: 60 }, "BOOTIF=01-00-00-00-00-00-01");
    expect(foreign.sleeps).toEqual([]);
  });
});

// contract 10.63. What goes to Ironic and inspector as `pxe_interface` is the word as it came (control-plane 11.83), as from the
// reference: they know both notations.
test("BOOTIF names the same address in each of its forms", () => {
  const byte = fc.integer({ min: 0, max: 255 }).map((value) => value.toString(16).padStart(2, "0"));
  fc.assert(
    fc.property(fc.array(byte, { minLength: 6, maxLength: 6 }), (bytes) => {
      const mac = bytes.join(":");
      expect(bootMac(`01-${bytes.join("-").toUpperCase()}`)).toBe(mac);
      expect(bootMac(bytes.join("-"))).toBe(mac);
      expect(bootMac(mac.toUpperCase())).toBe(mac);
    }),
  );
});
