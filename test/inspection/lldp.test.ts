import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type LldpTlvs, parseLldpFrame } from "../../src/hardware/lldp.ts";
import { collectLldp, collectParsedLldp } from "../../src/inspection/lldp.ts";
import { describeNeighbour } from "../../src/inspection/lldp-meaning.ts";
import type { JsonObject } from "../../src/json.ts";
import recorded from "../fixtures/lldp/parsed-by-inspector.json" with { type: "json" };
import { cards } from "../hardware/network-machines.ts";
import { inspectedMachine } from "./support.ts";

const FRAME = Uint8Array.fromHex("0180c200000e02000000000188cc0207041122334455660000");

describe("the collectors", () => {
  // control-plane 11.85
  test("lldp gives the raw values of each interface, whatever collect_lldp says, [] for a silent one", async () => {
    const files = cards({ eth0: "52:54:00:00:00:01", eth1: "52:54:00:00:00:02" });
    const programs = { "ip -j addr": { stdout: "[]" }, biosdevname: { exitCode: 4 } };
    const machine = await inspectedMachine(
      { files, programs, frames: { eth0: FRAME, eth1: null } },
      { collect_lldp: false, lldp_timeout: 3 },
    );
    expect(await collectLldp(machine)).toEqual({
      lldp_raw: {
        eth0: [
          [1, "04112233445566"],
          [0, ""],
        ],
        eth1: [],
      },
    });
    expect(machine.system.sleeps).toEqual([3]);
    expect(await collectParsedLldp(machine)).toEqual({
      parsed_lldp: { eth0: { switch_chassis_id: "11:22:33:44:55:66" }, eth1: {} },
    });
  });

  test("have nothing to tell where one interface cannot be listened on", async () => {
    const programs = { "ip -j addr": { stdout: "[]" }, biosdevname: { exitCode: 4 } };
    const machine = await inspectedMachine({ files: cards({ eth0: "52:54:00:00:00:01" }), programs });
    expect(await collectLldp(machine)).toEqual({ lldp_raw: {} });
  });
});

describe("the meaning of TLVs", () => {
  test("is what ironic-inspector's own parser says, but for the physical layer", () => {
    const { switch_port_physical_capabilities: _, switch_port_mau_type: __, ...parsed } = recorded.parsed;
    expect(describeNeighbour(recorded.tlvs as LldpTlvs)).toEqual(parsed as JsonObject);
  });

  test("of a frame of lldpd", async () => {
    const hex = (await Bun.file(`${import.meta.dir}/../fixtures/lldp/lldpd.hex`).text()).trim();
    expect(describeNeighbour(parseLldpFrame(Uint8Array.fromHex(hex)))).toEqual({
      switch_chassis_id: "0e:0d:c7:87:a9:f3",
      switch_port_id: "0e:0d:c7:87:a9:f3",
      switch_port_description: "sw0",
      switch_system_name: "vm",
      switch_system_description: "Acme Switch OS 1.0",
      switch_capabilities_support: ["Bridge", "WLAN", "Router", "Station only"],
      switch_capabilities_enabled: ["Station only"],
      switch_mgmt_addresses: ["192.0.2.15", "fe80::c0d:c7ff:fe87:a9f3"],
      switch_port_link_aggregation_enabled: false,
      switch_port_link_aggregation_support: true,
      switch_port_link_aggregation_id: 0,
      switch_port_autonegotiation_enabled: false,
      switch_port_autonegotiation_support: false,
    });
  });

  test("leaves out what is cut off or of another form", () => {
    const odd: LldpTlvs = [
      [1, ""],
      [1, "04aabb"],
      [2, "0401c00002"],
      [5, ""],
      [7, "00"],
      [8, "05"],
      [8, "0501c0"],
      [127, "0080c201"],
      [127, "0080c20300"],
      [127, "00120f0403"],
      [127, "00"],
    ];
    expect(describeNeighbour(odd)).toEqual({});
  });

  test("is no crash, whatever is sent", () => {
    const organization = fc.constantFrom("", "0080c2", "00120f", "0080c201", "0080c203", "00120f03");
    const value = fc.tuple(organization, fc.uint8Array({ maxLength: 40 })).map(([a, b]) => a + b.toHex());
    const tlv = fc.tuple(fc.integer({ min: 0, max: 127 }), value);
    const likely = fc.tuple(fc.constantFrom(1, 2, 7, 8, 127), value);
    fc.assert(
      fc.property(fc.array(fc.oneof(tlv, likely)), (tlvs) => {
        expect(JSON.parse(JSON.stringify(describeNeighbour(tlvs)))).toBeObject();
      }),
    );
  });
});
