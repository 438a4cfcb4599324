import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { SoftwareRAIDError } from "../../src/errors.ts";
import type { Json, JsonObject } from "../../src/json.ts";
import { parseRaidConfiguration } from "../../src/steps/raid-configuration.ts";
import { software } from "./raid-support.ts";

const NODE = { uuid: "node-1" };
const MIRROR = { raid_level: "1", size_gb: 100 };
const REST = { raid_level: "1+0", size_gb: "MAX" };

function parse(config: JsonObject, surroundings = { deviceCount: 8, hasSkipList: false }) {
  return parseRaidConfiguration(config, NODE, surroundings);
}

/** What is wrong, without the sentence in front. */
function problems(
  config: JsonObject,
  surroundings?: { deviceCount: number; hasSkipList: boolean },
): string[] {
  try {
    parse(config, surroundings);
    return [];
  } catch (error) {
    if (!(error instanceof SoftwareRAIDError)) throw error;
    const prefix = "The RAID configuration of node node-1 is invalid: ";
    expect(error.details).toStartWith(prefix);
    return error.details.slice(prefix.length).split("; ");
  }
}

test("a configuration comes out with its defaults", () => {
  expect(parse(software(MIRROR, { ...REST, volume_name: "data", is_root_volume: false }))).toEqual([
    { level: "1", size: 100, physicalDisks: null, volumeName: null, isRootVolume: null },
    { level: "1+0", size: "MAX", physicalDisks: null, volumeName: "data", isRootVolume: false },
  ]);
  // Keys of the general schema that software RAID has no use for.
  expect(parse(software({ ...MIRROR, disk_type: "ssd", share_physical_disks: true }))).toHaveLength(1);
});

// hardware 13.73
describe("one thing wrong", () => {
  test.each<[string, JsonObject, RegExp]>([
    ["no logical disks", {}, /^it has no logical_disks$/],
    ["an empty list", { logical_disks: [] }, /one or two logical disks, not 0/],
    ["three of them", software(MIRROR, REST, MIRROR), /one or two logical disks, not 3/],
    [
      "another controller",
      { logical_disks: [{ ...MIRROR, controller: "RAID.1" }] },
      /controller must be "software", not "RAID.1"/,
    ],
    ["no controller", { logical_disks: [MIRROR] }, /controller must be "software", not missing/],
    [
      "the first is no mirror",
      software({ ...MIRROR, raid_level: "0" }),
      /first logical disk must be of level 1, not 0/,
    ],
    [
      "an unknown level",
      software(MIRROR, { ...REST, raid_level: "2" }),
      /raid_level must be one of 0, 1, 1\+0, 5, 6, not "2"/,
    ],
    ["a level that is a number", software({ ...MIRROR, raid_level: 1 }), /raid_level must be one of/],
    ["no level", software({ size_gb: 1 }), /raid_level must be one of .*, not missing/],
    ["no size", software({ raid_level: "1" }), /size_gb must be .*, not missing/],
    ["a size of nothing", software({ ...MIRROR, size_gb: 0 }), /size_gb must be/],
    ["a size with a fraction", software({ ...MIRROR, size_gb: 1.5 }), /size_gb must be/],
    [
      "hints that are no list",
      software({ ...MIRROR, physical_disks: {} }),
      /physical_disks must be a list of at least 2/,
    ],
    [
      "one hint",
      software({ ...MIRROR, physical_disks: [{ size: 1 }] }),
      /physical_disks must be a list of at least 2/,
    ],
    [
      "hints that are texts",
      software({ ...MIRROR, physical_disks: ["sda", "sdb"] }),
      /physical_disks must be an object/,
    ],
    ["a name that is a path", software({ ...MIRROR, volume_name: "../md" }), /volume_name must be/],
    ["a name that is an option", software({ ...MIRROR, volume_name: "--force" }), /volume_name must be/],
    [
      "a name twice",
      software({ ...MIRROR, volume_name: "a" }, { ...REST, volume_name: "a" }),
      /volume_name a is given more than once/,
    ],
    [
      "two roots",
      software({ ...MIRROR, is_root_volume: true }, { ...REST, is_root_volume: true }),
      /only one logical disk can be the root/,
    ],
    [
      "both take the rest",
      software({ ...MIRROR, size_gb: "MAX" }, REST),
      /only one .* can have the size "MAX"/,
    ],
  ])("%s", (_, config, expected) => {
    const found = problems(config);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(expected);
  });

  test("levels 5 and 6 need three and four disks; 1+0 is not counted", () => {
    const second = (raid_level: string) => software(MIRROR, { raid_level, size_gb: "MAX" });
    const withDisks = (level: string, deviceCount: number) =>
      problems(second(level), { deviceCount, hasSkipList: false });
    expect(withDisks("5", 2)[0]).toMatch(/level 5 needs at least 3 disks, and the machine has 2/);
    expect(withDisks("6", 3)[0]).toMatch(/level 6 needs at least 4 disks/);
    expect([withDisks("5", 3), withDisks("6", 4), withDisks("1+0", 2), withDisks("0", 2)]).toEqual([
      [],
      [],
      [],
      [],
    ]);
  });

  test("without a name where some arrays are to be kept", () => {
    expect(problems(software(MIRROR), { deviceCount: 8, hasSkipList: true })[0]).toMatch(
      /volume_name is needed/,
    );
  });
});

// hardware 13.73
test("everything that is wrong is told at once", () => {
  expect(
    problems({
      logical_disks: [
        { raid_level: "0", size_gb: "MAX", controller: "hardware", physical_disks: ["a"] },
        { raid_level: "9", size_gb: "MAX", controller: "software" },
      ],
    }),
  ).toEqual([
    expect.stringMatching(/^logical disk 0: controller/),
    expect.stringMatching(/^logical disk 0: the first/),
    expect.stringMatching(/^logical disk 0: physical_disks must be a list/),
    expect.stringMatching(/^logical disk 0: each of physical_disks/),
    expect.stringMatching(/^logical disk 1: raid_level/),
    expect.stringMatching(/^only one of two/),
  ]);
});

test("whatever is sent, it is a configuration or one error of the API", () => {
  const disk = fc.record({
    controller: fc.constantFrom("software", null, 1),
    raid_level: fc.oneof(fc.constantFrom("0", "1", "5"), fc.jsonValue()),
    size_gb: fc.oneof(fc.nat(9), fc.constant("MAX"), fc.jsonValue()),
    physical_disks: fc.jsonValue(),
    volume_name: fc.oneof(fc.string(), fc.jsonValue()),
  });
  fc.assert(
    fc.property(fc.oneof(fc.array(disk, { maxLength: 3 }), fc.jsonValue()), (logical_disks) => {
      try {
        const parsed = parse({ logical_disks: logical_disks as Json });
        expect(parsed[0]?.level).toBe("1");
      } catch (error) {
        expect(error).toBeInstanceOf(SoftwareRAIDError);
      }
    }),
  );
});
