import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { requestedVlans, type VlanParent } from "../../src/hardware/vlan.ts";
import type { RecordedFile, RecordedProgram, Recording } from "../support/recorded-system.ts";
import { cards } from "./network-machines.ts";
import { managersOn } from "./support.ts";

const VLANS_101_102 = Uint8Array.fromHex(
  "0180c200000e02000000000188cc fe07 0080c203006500 fe07 0080c203006600 0000".replaceAll(" ", ""),
);

function machine(recording: Recording = {}): Recording {
  return {
    files: cards({ eth0: "52:54:00:12:34:56", eth1: "52:54:00:12:34:57" }),
    frames: { eth0: VLANS_101_102, eth1: null },
    ...recording,
    programs: { "ip -j addr": { stdout: "[]" }, biosdevname: { exitCode: 4 }, ...recording.programs },
  };
}

/** The listing of a machine on which iproute2 makes the interfaces it is told to, unless the recording says otherwise. */
async function listing(values: object, recording = machine(), options: { collectLldp?: boolean } = {}) {
  const ip: RecordedProgram = (argv) => {
    if (argv[2] === "add")
      (system.fileMap as Map<string, RecordedFile>).set(
        `/sys/class/net/${argv[6]}/address`,
        "52:54:00:12:34:56\n",
      );
    return {};
  };
  const { managers, system } = managersOn(
    { ...recording, programs: { ip, ...recording.programs } },
    { disk_wait_attempts: 0, lldp_timeout: 30, ...values },
  );
  await managers.load();
  const before = system.records.length;
  const interfaces = await managers.dispatch("listNetworkInterfaces", options);
  const commands = system.calls.map((argv) => argv.join(" ")).filter((line) => line.startsWith("ip link"));
  const complaints = system.records
    .slice(before)
    .filter(({ level }) => level === "WARNING")
    .map(({ message }) => message);
  return { interfaces, commands, complaints, system };
}

const ADD_101 = "ip link add link eth0 name eth0.101 type vlan id 101";

describe("VLAN interfaces from the configuration", () => {
  // control-plane 11.65, hardware 13.44
  test("are made with the two commands, in order", async () => {
    const { commands } = await listing({ enable_vlan_interfaces: ["eth0.101"] });
    expect(commands).toEqual([ADD_101, "ip link set dev eth0.101 up"]);
  });

  test("join the listing with the parent's address", async () => {
    const { interfaces } = await listing({ enable_vlan_interfaces: ["eth0.101"] });
    expect(interfaces.map(({ name }) => name)).toEqual(["eth0", "eth1", "eth0.101"]);
    expect(interfaces[2]).toMatchObject({ mac_address: "52:54:00:12:34:56", lldp: null, biosdevname: null });
  });

  test("may name the parent by its MAC address, in any case", async () => {
    const { commands } = await listing({ enable_vlan_interfaces: ["52:54:00:12:34:56.101"] });
    expect(commands[0]).toBe(ADD_101);
  });

  test("iproute2's exit code 2 is no reason to give up, 1 is one, and a warning only", async () => {
    const refused = { [ADD_101]: { exitCode: 2, stderr: "RTNETLINK answers: File exists" } };
    const { commands } = await listing(
      { enable_vlan_interfaces: ["eth0.101"] },
      machine({ programs: refused }),
    );
    expect(commands).toHaveLength(2);
    const failed = { [ADD_101]: { exitCode: 1, stderr: "no such module" } };
    const other = await listing({ enable_vlan_interfaces: ["eth0.101"] }, machine({ programs: failed }));
    expect(other.commands).toEqual([ADD_101]);
    expect(other.complaints).toEqual([
      `VLAN interface eth0.101 is not created: ${ADD_101}: exit code 1: no such module`,
    ]);
    expect(other.interfaces.map(({ name }) => name)).toEqual(["eth0", "eth1"]);
  });

  test("a missing parent is only a warning", async () => {
    const { commands, complaints } = await listing({ enable_vlan_interfaces: ["eth7.5", "eth0.101"] });
    expect(commands[0]).toBe(ADD_101);
    expect(complaints).toEqual(["VLAN eth7.5 is not created: there is no interface eth7"]);
  });

  test("all means what LLDP tells of every interface, an interface what it tells of that one", async () => {
    for (const item of ["all", "eth0"]) {
      const { commands, interfaces } = await listing({ enable_vlan_interfaces: [item], collect_lldp: true });
      expect(commands.filter((line) => line.includes(" add "))).toEqual([
        ADD_101,
        "ip link add link eth0 name eth0.102 type vlan id 102",
      ]);
      expect(interfaces.map(({ lldp }) => lldp?.length)).toEqual([3, 0, undefined, undefined]);
    }
  });

  test("all without LLDP is a warning", async () => {
    const { commands, complaints } = await listing({ enable_vlan_interfaces: ["all"] });
    expect(commands).toEqual([]);
    expect(complaints).toEqual([
      "enable_vlan_interfaces: all needs to know the VLANs from LLDP: set collect_lldp, too",
    ]);
  });

  test("who only polls waits for no LLDP and gets no complaints, but the VLANs that need none", async () => {
    const values = { enable_vlan_interfaces: ["all", "eth0.101", "eth7.1"], collect_lldp: true };
    const { commands, complaints, system } = await listing(values, machine(), { collectLldp: false });
    expect(commands[0]).toBe(ADD_101);
    expect(complaints).toEqual([]);
    expect(system.sleeps).toEqual([]);
  });

  test("those that exist are left alone", async () => {
    const recording = machine({
      files: cards({ eth0: "52:54:00:12:34:56", "eth0.101": "52:54:00:12:34:56" }),
      frames: { eth0: VLANS_101_102, "eth0.101": null },
    });
    const { commands } = await listing(
      { enable_vlan_interfaces: ["eth0.101", "eth0"], collect_lldp: true },
      recording,
    );
    expect(commands.filter((line) => line.includes(" add "))).toEqual([
      "ip link add link eth0 name eth0.102 type vlan id 102",
    ]);
  });
});

test("whatever is asked for, ids are 1 to 4094, parents exist, and nothing comes twice", () => {
  const name = fc.oneof(fc.constantFrom("eth0", "eth1", "a.b", "all"), fc.string());
  const item = fc.oneof(
    name,
    fc.tuple(name, fc.nat({ max: 9999 })).map(([parent, id]) => `${parent}.${id}`),
  );
  const tlvs = fc.array(
    fc.tuple(
      fc.constantFrom(5, 127),
      fc.uint8Array().map((bytes) => `0080c203${bytes.toHex()}`),
    ),
  );
  fc.assert(
    fc.property(fc.array(item), tlvs, (items, lldp) => {
      const parents: VlanParent[] = ["eth0", "eth1", "a.b"].map((known, index) => ({
        name: known,
        mac_address: `52:54:00:00:00:0${index}`,
        lldp,
      }));
      const requests = requestedVlans(items, parents, "collected", () => {});
      for (const { parent, id } of requests) {
        expect(parents.map((known) => known.name)).toContain(parent);
        expect(id >= 1 && id <= 4094).toBe(true);
      }
      expect(new Set(requests.map(({ parent, id }) => `${parent}.${id}`)).size).toBe(requests.length);
    }),
  );
});
