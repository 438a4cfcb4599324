import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import fc from "fast-check";
import { lshwMemory, lshwSystemVendor, parseLshw } from "../../src/hardware/lshw.ts";
import { installedMemory, parseSmbios, systemVendor } from "../../src/hardware/smbios.ts";
import type { JsonObject } from "../../src/json.ts";
import { END_OF_TABLE, memoryArray, memoryDevice, structure, system } from "./recording/smbios-tables.ts";

const MIB = 2 ** 20;
/** Memory blocks of the machine that lshw ran on: less it never reports. */
const VISIBLE_MB = 24_576;
/** Here lshw reads a string that is not there, from beyond the structure. */
const BEYOND = "maker and serial number only on the chassis";

type Fixture = { name: string; table: string; lshw: JsonObject };
const FIXTURES: Fixture[] = await Bun.file(join(import.meta.dir, "../fixtures/smbios.json")).json();

describe("what lshw read from the same table", () => {
  for (const { name, table, lshw } of FIXTURES) {
    test(name, () => {
      const structures = parseSmbios(Buffer.from(table, "base64"));
      expect(Math.max(Math.floor(installedMemory(structures) / MIB), VISIBLE_MB)).toBe(lshwMemory(lshw));
      const expected = lshwSystemVendor(lshw);
      expect(systemVendor(structures)).toEqual(
        name === BEYOND ? { ...expected, product_name: "" } : expected,
      );
    });
  }
});

describe("a table is firmware's", () => {
  const good = [...system(), ...memoryArray(1), ...memoryDevice(2, 1, 1024), ...END_OF_TABLE];

  test("what is cut off ends the list, at any byte", () => {
    for (let length = 0; length <= good.length; length += 1) {
      const structures = parseSmbios(Uint8Array.from(good.slice(0, length)));
      expect(structures.length).toBeLessThanOrEqual(4);
      expect([0, 1024 * MIB]).toContain(installedMemory(structures));
    }
    expect(parseSmbios(Uint8Array.from(good))).toHaveLength(4);
  });

  test("a structure shorter than its header ends it, and so does the end mark", () => {
    expect(parseSmbios(Uint8Array.from([1, 3, 0, 0, 0, 0]))).toEqual([]);
    expect(parseSmbios(Uint8Array.from([...END_OF_TABLE, ...good]))).toHaveLength(1);
  });

  test("short structures lack their later fields", () => {
    const structures = parseSmbios(
      Uint8Array.from([...structure(17, 1, [0, 0]), ...structure(1, 2, [], ["lost"])]),
    );
    expect(structures).toHaveLength(2);
    expect(installedMemory(structures)).toBe(0);
    expect(systemVendor(structures)).toMatchObject({ product_name: "", manufacturer: "" });
  });

  test("a string number without a string is no text", () => {
    const structures = parseSmbios(
      Uint8Array.from(system({ strings: ["Acme"], numbers: [1, 9, 0, 255, 0, 0] })),
    );
    expect(systemVendor(structures)).toMatchObject({
      manufacturer: "Acme",
      product_name: "",
      serial_number: "",
    });
  });

  test("any bytes are read without failing, and strings come out clean", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (junk, behind) => {
        const bytes = behind ? Uint8Array.from([...system(), ...junk]) : junk;
        const structures = parseSmbios(bytes);
        const { firmware, ...names } = systemVendor(structures);
        for (const text of [...Object.values(names), ...Object.values(firmware)]) {
          expect(text).not.toMatch(/[\p{Cc}\uFFFD]|^\s|\s$/u);
        }
        expect(installedMemory(structures)).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 500 },
    );
  });

  test("modules of main memory add up, whatever their number and unit", () => {
    const module = fc.record({ size: fc.integer({ min: 0, max: 0x7ffe }), inKib: fc.boolean() });
    fc.assert(
      fc.property(fc.array(module, { maxLength: 20 }), (modules) => {
        const table = modules.flatMap(({ size, inKib }, index) =>
          memoryDevice(0x100 + index, 1, inKib ? size | 0x8000 : size),
        );
        // 0xffff is not a size but "unknown"; 0x7ffe in KiB stays below it.
        const bytes = modules.reduce((sum, { size, inKib }) => sum + size * (inKib ? 1024 : MIB), 0);
        expect(installedMemory(parseSmbios(Uint8Array.from([...memoryArray(1), ...table])))).toBe(bytes);
      }),
    );
  });
});

describe("lshw's tree", () => {
  const memory = (records: object[]) =>
    lshwMemory({ children: [{ id: "core", children: records }] } as never);

  // hardware 13.7
  test("a record's own size, else its banks, each rounded down", () => {
    expect(
      memory([{ id: "memory", size: 4_294_967_296, children: [{ id: "bank:0", size: 4_294_967_296 }] }]),
    ).toBe(4096);
    const bank = { id: "bank", units: "bytes", size: 17_179_869_184 };
    expect(
      memory([
        { id: "memory:0", children: [bank, bank] },
        { id: "memory:1", children: [bank, bank] },
      ]),
    ).toBe(65_536);
    expect(
      memory([
        { id: "memory:0", size: 34_359_738_368 },
        { id: "memory:1", size: 34_359_738_368 },
      ]),
    ).toBe(65_536);
    expect(memory([{ id: "memory", size: 4_143_972_352 }])).toBe(3952);
  });

  test("firmware, caches, other units and odd values add nothing", () => {
    expect(
      memory([
        { id: "firmware", size: 65_536 * 1024 },
        { id: "cache:0", size: 65_536 * 1024 },
        { id: "memory:4" },
        { id: "memory", size: 5, units: "bit" },
        { id: "memory", size: "4294967296" },
        { id: "memory", children: "none" },
      ]),
    ).toBe(0);
    expect(lshwMemory({})).toBe(0);
  });

  // hardware 13.6
  test("an object and a list of one are the same; anything else is null", () => {
    expect(parseLshw('{"id": "a"}')).toEqual({ id: "a" });
    expect(parseLshw('[{"id": "a"}]')).toEqual({ id: "a" });
    for (const text of ["", "[]", "5", "null", '["x"]', "{"]) expect(parseLshw(text)).toBeNull();
  });

  // hardware 13.9
  test("firmware's fields are empty when it is not there", () => {
    expect(lshwSystemVendor({ product: "p", children: [{ id: "core" }] })).toEqual({
      product_name: "p",
      serial_number: "",
      manufacturer: "",
      firmware: { vendor: "", version: "", build_date: "" },
    });
  });

  test("any JSON is read without failing", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const tree = parseLshw(text);
        if (tree !== null) expect(lshwMemory(tree)).toBeGreaterThanOrEqual(0);
        if (tree !== null) expect(typeof lshwSystemVendor(tree).product_name).toBe("string");
      }),
    );
  });
});
