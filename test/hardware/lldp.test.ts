import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { advertisedVlans, captureLldp, parseLldpFrame } from "../../src/hardware/lldp.ts";
import { recordedSystem } from "../support/recorded-system.ts";

const HEADER = "0180c200000e02000000000188cc";
const VLAN_101 = "fe0e0080c203006507766c616e313031";

function frame(hex: string): Uint8Array {
  return Uint8Array.fromHex(HEADER + hex);
}

describe("a frame's TLVs", () => {
  // control-plane 11.85, hardware 13.43
  test("chassis, port, time to live, a VLAN name, the end mark and two fills of zeros", () => {
    const text = `02070450540012345a040507657468310602007 8${VLAN_101}000000000000`.replaceAll(" ", "");
    expect(parseLldpFrame(frame(text))).toEqual([
      [1, "0450540012345a"],
      [2, "0765746831"],
      [3, "0078"],
      [127, "0080c203006507766c616e313031"],
      [0, ""],
      [0, ""],
      [0, ""],
    ]);
  });

  test("a type of 127 with a length of 511 uses all 16 bits of its header", () => {
    expect(parseLldpFrame(frame(`ffff${"ab".repeat(511)}`))).toEqual([[127, "ab".repeat(511)]]);
  });

  test("nothing in a frame that is only a header, or less", () => {
    expect(parseLldpFrame(frame(""))).toEqual([]);
    expect(parseLldpFrame(new Uint8Array([1, 2, 3]))).toEqual([]);
  });

  test("what is cut off counts as far as it is there; a lone last byte does not", () => {
    expect(parseLldpFrame(frame("02ff0102"))).toEqual([[1, "0102"]]);
    expect(parseLldpFrame(frame("020101ff"))).toEqual([[1, "01"]]);
  });

  test("any TLVs come back as they were written, whatever follows a frame is no crash", () => {
    const tlv = fc.tuple(fc.integer({ min: 0, max: 127 }), fc.uint8Array({ maxLength: 511 }));
    fc.assert(
      fc.property(fc.array(tlv, { maxLength: 8 }), (tlvs) => {
        const hex = tlvs.map(([type, value]) => {
          const header = ((type << 9) | value.length).toString(16).padStart(4, "0");
          return header + value.toHex();
        });
        expect(parseLldpFrame(frame(hex.join("")))).toEqual(
          tlvs.map(([type, value]) => [type, value.toHex()]),
        );
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1600 }), (bytes) => {
        const tlvs = parseLldpFrame(bytes);
        expect(tlvs.every(([type, value]) => type <= 127 && /^(?:[0-9a-f]{2})*$/.test(value))).toBe(true);
        expect(advertisedVlans(tlvs)).toBeArray();
      }),
    );
  });
});

test("the VLANs a port carries are those of IEEE 802.1's VLAN names", () => {
  expect(
    advertisedVlans([
      [127, "0080c203006507766c616e313031"],
      [127, "0080c2010065"],
      [127, "0012bb030065"],
      [127, "0080c20300"],
      [5, "0080c2030066"],
      [127, "0080c2030fff"],
    ]),
  ).toEqual([0x65, 0xfff]);
});

describe("capturing", () => {
  test("by interface in the order asked: frames, [] for silence after one time limit, nothing for a dead link", async () => {
    const system = recordedSystem({
      frames: { eth0: null, eth1: frame("02020401"), eth2: new Error("Network is down") },
    });
    expect(await captureLldp(system, ["eth0", "eth1", "eth2"], 30)).toEqual({
      eth0: [],
      eth1: [[1, "0401"]],
    });
    expect(system.sleeps).toEqual([30]);
    expect(system.records.map(({ level, message }) => `${level} ${message}`)).toEqual([
      "WARNING no LLDP from eth2: Network is down",
    ]);
  });

  test("when all have spoken nobody waits for more", async () => {
    const system = recordedSystem({ frames: { eth0: frame(""), eth1: frame("") } });
    expect(Object.keys(await captureLldp(system, ["eth1", "eth0"], 30))).toEqual(["eth1", "eth0"]);
    expect(system.sleeps).toEqual([]);
  });

  test("one interface that cannot be listened on is an error in the log and no data at all", async () => {
    const system = recordedSystem({ frames: { eth0: frame("") } });
    expect(await captureLldp(system, ["eth0", "eth1"], 30)).toEqual({});
    expect(system.records[0]).toMatchObject({
      level: "ERROR",
      message: "LLDP is not collected: finding the network interface eth1: not recorded",
    });
  });
});
