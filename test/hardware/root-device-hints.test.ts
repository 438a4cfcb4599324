import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { findDevicesByHints, RootDeviceHintError } from "../../src/hardware/root-device-hints.ts";
import type { Json, JsonObject } from "../../src/json.ts";
import { disk } from "./support.ts";

const GIB = 2 ** 30;

// The two disks of the specification's table of verified results (hardware specification 3.3).
const A = disk({
  name: "/dev/sda",
  model: "Foo Bar 1",
  size: 1_000_204_886_016,
  rotational: true,
  serial: "ABC123",
  hctl: "0:0:0:0",
  by_path: "/dev/disk/by-path/pci-0000:00:02.0-scsi-0:0:0:0",
});
const B = disk({ name: "/dev/sdb", model: "", size: 50 * GIB, serial: "xyz" });

/** Names of the matching disks by their letters, or what is wrong. */
function outcome(hints: JsonObject): string {
  try {
    const names = findDevicesByHints([A, B], hints).map(({ name }) => (name === A.name ? "A" : "B"));
    return names.join(" ") || "none";
  } catch (error) {
    if (error instanceof RootDeviceHintError) return "error";
    throw error;
  }
}

// hardware 13.29
describe("the table of verified results", () => {
  const table: [string, Json, string][] = [
    ["size", 50, "B"],
    ["size", "50", "B"],
    ["size", ">= 50", "A B"],
    ["size", ">=50", "A B"],
    ["size", "= 40", "A B"],
    ["size", "< 60", "B"],
    ["size", "<= 50", "B"],
    ["size", "> 50", "A"],
    ["size", "!= 50", "A"],
    ["size", "<or> 50 <or> 60", "none"],
    ["size", "s== 50", "none"],
    ["size", "<in> 50", "error"],
    ["size", 0, "error"],
    ["size", -1, "error"],
    ["size", 50.5, "error"],
    ["size", "x", "error"],
    ["size", "", "error"],
    ["wwn", "none", "A B"],
    ["name", "/dev/sdb", "B"],
    ["model", "foo bar 1", "A"],
    ["model", "FOO Bar 1", "A"],
    ["model", "foo", "none"],
    ["model", "<in> foo bar", "A"],
    ["model", "<or> foo bar 1 <or> baz", "A"],
    ["model", "s!= foo", "A"],
    ["model", "!= foo", "error"],
    ["model", "=1", "error"],
    ["model", 5, "error"],
    ["model", "", "error"],
    ["serial", "s>= b", "B"],
    ["rotational", "yes", "A"],
    ["rotational", "maybe", "error"],
    ["hctl", "0:0:0:0", "A"],
    ["by_path", "/dev/disk/by-path/pci-0000:00:02.0-scsi-0:0:0:0", "A"],
  ];
  for (const [hint, value, expected] of table) {
    test(`${hint}: ${JSON.stringify(value)} → ${expected}`, () => {
      expect(outcome({ [hint]: value })).toBe(expected);
    });
  }
});

describe("rules around the table", () => {
  test("a size without operator is exact: 931 GiB is not a disk of 931.5 GiB", () => {
    expect(outcome({ size: 931 })).toBe("none");
    expect(outcome({ size: ">= 931" })).toBe("A");
  });

  test("booleans, numbers and words say whether it rotates", () => {
    for (const word of [true, 1, "1", "T", "true", " on ", "y", "YES"])
      expect(outcome({ rotational: word })).toBe("A");
    for (const word of [false, 0, "0", "f", "False", "off", "n", "no"])
      expect(outcome({ rotational: word })).toBe("B");
  });

  // hardware 13.31
  test("all hints must hold, and the order of the disks stays", () => {
    expect(outcome({ size: ">= 1", rotational: false })).toBe("B");
    expect(outcome({ size: ">= 1", serial: "abc123" })).toBe("A");
    expect(outcome({ serial: "abc123", rotational: false })).toBe("none");
    expect(outcome({ size: ">= 1" })).toBe("A B");
  });

  // hardware 13.30
  test("an unknown hint is named, with the valid ones", () => {
    const find = () => findDevicesByHints([A], { colour: "red", size: 5 });
    expect(find).toThrow(/colour are invalid/);
    expect(find).toThrow(/wwn_vendor_extension, hctl, by_path, tran/);
  });

  test("an error names hint, value and disk", () => {
    expect(() => findDevicesByHints([A], { model: "> 5" })).toThrow(
      'the root device hint model "> 5" cannot be used on /dev/sda: "foo%20bar%201" is not a number',
    );
  });

  // hardware 13.33
  test("any serial number and any WWN of a disk is good", () => {
    const scsi = disk({
      name: "/dev/sdc",
      serial: "SCSI77",
      all_serials: ["SCSI77", "5000c500a1b2c3d4", "35000c500a1b2c3d4"],
      all_wwns: ["0x5000c500a1b2c3d4ffff", "0x5000c500a1b2c3d4"],
    });
    for (const serial of scsi.all_serials) expect(findDevicesByHints([A, scsi], { serial })).toEqual([scsi]);
    for (const wwn of scsi.all_wwns) expect(findDevicesByHints([A, scsi], { wwn })).toEqual([scsi]);
    expect(findDevicesByHints([scsi], { serial: "SCSI78" })).toEqual([]);
  });

  test("the transport is a hint, and an unknown one is the word none", () => {
    const nvme = disk({ name: "/dev/nvme0n1", tran: "nvme" });
    expect(findDevicesByHints([A, nvme], { tran: "nvme" })).toEqual([nvme]);
    expect(findDevicesByHints([A, nvme], { tran: "none" })).toEqual([A]);
  });

  test("a disk whose model looks like half an expression does not spoil the hint for the others", () => {
    const odd = disk({ name: "/dev/sdc", model: ">=" });
    expect(findDevicesByHints([odd, A], { model: "Foo Bar 1" })).toEqual([A]);
  });
});

describe("any text at all", () => {
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: "binary" }),
    fc
      .array(fc.constantFrom("<or>", "<in>", "<all-in>", "s==", ">=", "=", " ", "foo", "50", "é", "%"))
      .map((parts) => parts.join("")),
  );

  test("never throws anything but a hint error", () => {
    fc.assert(
      fc.property(text, text, (hint, actual) => {
        const device = disk({ name: "/dev/sda", model: actual });
        try {
          findDevicesByHints([device], { model: hint });
          findDevicesByHints([device], { size: hint });
        } catch (error) {
          expect(error).toBeInstanceOf(RootDeviceHintError);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("a disk is found by its own serial number, whatever is in it", () => {
    // Not those that begin with an operator: those are expressions on both sides, as with the reference.
    const plain = text.filter((value) => value.trim() !== "" && !/^\s*(?:[=!<>]|s[=!<>])/i.test(value));
    fc.assert(
      fc.property(plain, (serial) => {
        const device = disk({ name: "/dev/sda", serial });
        expect(findDevicesByHints([device], { serial })).toEqual([device]);
      }),
      { numRuns: 500 },
    );
  });

  test("numbers compare as numbers", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100_000 }),
        fc.integer({ min: 1, max: 100_000 }),
        (size, wanted) => {
          const device = disk({ name: "/dev/sda", size: size * GIB });
          const matches = (operator: string) =>
            findDevicesByHints([device], { size: `${operator} ${wanted}` }).length === 1;
          expect(["==", "!=", "<", "<=", ">", ">=", "="].map(matches)).toEqual([
            size === wanted,
            size !== wanted,
            size < wanted,
            size <= wanted,
            size > wanted,
            size >= wanted,
            size >= wanted,
          ]);
        },
      ),
    );
  });
});
