import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { BlockDeviceError } from "../../src/errors.ts";
import { type LsblkRow, parseLsblk, selectDevices } from "../../src/hardware/lsblk.ts";

const DISKS = { types: ["disk"], ignoreRaid: false };
const PARTITIONS = { types: ["part"], ignoreRaid: true };

function row(kname: string, type: string | null, more: LsblkRow = {}): LsblkRow {
  return {
    kname,
    model: null,
    size: 1024,
    rota: false,
    type,
    uuid: null,
    partuuid: null,
    serial: null,
    wwn: null,
    "log-sec": 512,
    "phy-sec": 512,
    tran: null,
    ...more,
  };
}

function names(rows: readonly LsblkRow[], selection = DISKS): string[] {
  return selectDevices(rows, selection).map(({ kname }) => kname);
}

describe("which rows are disks", () => {
  // hardware 13.13
  test("whole disks with a medium; no loop, RAM disk, floppy, empty one; a multipath map is one", () => {
    const rows = [
      row("sda", "disk"),
      row("sdb", "disk"),
      row("loop0", "loop"),
      row("zram0", "disk"),
      row("ram0", "disk"),
      row("ram1", "disk"),
      row("ram2", "disk"),
      row("ram3", "disk"),
      row("fd1", "disk"),
      row("sdf", "disk", { size: 0 }),
      row("dm-0", "mpath"),
    ];
    expect(names(rows)).toEqual(["sda", "sdb", "dm-0"]);
  });

  // hardware 13.14
  test("an array is printed under each member and listed once; an empty one is not", () => {
    const rows = [
      row("sda", "disk"),
      row("md0", "raid1"),
      row("md0", "raid1"),
      row("sdb", "disk"),
      row("md1", "raid1", { size: 0 }),
    ];
    expect(names(rows)).toEqual(["sda", "md0", "sdb"]);
  });

  // hardware 13.15
  test("arrays of every level count as disks, unless they are to be ignored", () => {
    for (const type of ["raid0", "raid1", "raid10", "linear raid"]) {
      expect(names([row("md0", type)])).toEqual(["md0"]);
      expect(names([row("md0", type)], { types: ["disk"], ignoreRaid: true })).toEqual([]);
    }
  });

  // hardware 13.15
  test("type md is a partition of an array in the eyes of older versions", () => {
    expect(names([row("md0p1", "md")])).toEqual([]);
    expect(names([row("md0p1", "md")], { types: ["part"], ignoreRaid: false })).toEqual(["md0p1"]);
    expect(names([row("md0p1", "md")], { types: ["md"], ignoreRaid: false })).toEqual(["md0p1"]);
  });

  test("no CD, LVM, crypt, partition, or anything without a type", () => {
    expect(
      names([
        row("sr0", "rom"),
        row("dm-1", "lvm"),
        row("dm-2", "crypt"),
        row("sda1", "part"),
        row("x", null),
      ]),
    ).toEqual([]);
    expect(names([row("sda", "disk"), row("sda1", "part"), row("md0", "raid1")], PARTITIONS)).toEqual([
      "sda1",
    ]);
  });

  // hardware 13.16
  test("a wanted row without a column is an error that names it; an unwanted one is not", () => {
    const { rota: _rota, tran: _tran, ...short } = row("sda", "disk");
    expect(() => selectDevices([short], DISKS)).toThrow(BlockDeviceError);
    expect(() => selectDevices([short], DISKS)).toThrow(/for sda: rota, tran/);
    expect(names([{ ...short, type: "loop" }])).toEqual([]);
    const { rota: _, ...single } = row("sda", "disk");
    expect(() => selectDevices([single], DISKS)).toThrow(/for sda: rota;/);
  });
});

describe("values of old and new versions", () => {
  const one = (more: LsblkRow) => selectDevices([row("sda", "disk", more)], DISKS)[0]!;

  // hardware 13.17
  test("rota and sizes as text, number or boolean", () => {
    expect([true, "1", 1].map((rota) => one({ rota }).rotational)).toEqual([true, true, true]);
    expect([false, "0", 0, null].map((rota) => one({ rota }).rotational)).toEqual([
      false,
      false,
      false,
      false,
    ]);
    expect(one({ size: "1000204886016", "log-sec": "4096", "phy-sec": 4096 })).toMatchObject({
      size: 1_000_204_886_016,
      logicalSectorSize: 4096,
      physicalSectorSize: 4096,
    });
  });

  test("empty text is null", () => {
    expect(one({ model: "", serial: "  ", wwn: null, tran: "" })).toMatchObject({
      model: null,
      serial: null,
      wwn: null,
      transport: null,
    });
  });
});

describe("output that is no list of devices", () => {
  test("is an error that quotes it", () => {
    for (const text of ["garbage", "{}", '{"blockdevices": 5}', '{"blockdevices": [5]}', "[]", "null"]) {
      expect(() => parseLsblk(text)).toThrow(BlockDeviceError);
      expect(() => parseLsblk(text)).toThrow(text);
    }
  });

  test("nothing at all is a machine without block devices", () => {
    expect(parseLsblk("")).toEqual([]);
    expect(parseLsblk('{"blockdevices": []}')).toEqual([]);
  });

  test("any JSON either is refused or gives devices with a name and a size", () => {
    const value = fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<never>;
    const anyRow = fc.oneof(
      value,
      fc.record({
        kname: value,
        size: value,
        type: fc.oneof(value, fc.constant("disk")),
        rota: value,
        model: value,
      }),
      fc.dictionary(fc.constantFrom(...Object.keys(row("x", "disk"))), value),
    );
    fc.assert(
      fc.property(fc.array(anyRow), (rows) => {
        try {
          for (const device of selectDevices(parseLsblk(JSON.stringify({ blockdevices: rows })), DISKS)) {
            expect(device.kname).not.toBe("");
            expect(device.size).toBeGreaterThan(0);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(BlockDeviceError);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("2,000 devices are no problem", () => {
    const rows = Array.from({ length: 2000 }, (_, index) => row(`sd${index}`, "disk"));
    expect(names(parseLsblk(JSON.stringify({ blockdevices: rows })))).toHaveLength(2000);
  });
});
