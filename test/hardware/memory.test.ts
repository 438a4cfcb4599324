import { describe, expect, test } from "bun:test";
import { parseMemTotal, readMemory } from "../../src/hardware/memory.ts";
import { type Platform, platformVendor, readPlatform } from "../../src/hardware/platform.ts";
import { parseSmbios } from "../../src/hardware/smbios.ts";
import { recordedSystem } from "../support/recorded-system.ts";
import { loadMachine } from "./recording/recording.ts";
import {
  bios,
  END_OF_TABLE,
  memoryArray,
  memoryDevice,
  system as systemRecord,
} from "./recording/smbios-tables.ts";

const LSHW = "lshw -quiet -json";

async function memoryOf(name: string) {
  const system = recordedSystem(await loadMachine(name));
  return readMemory(system, await readPlatform(system));
}

describe("the recorded machines", () => {
  test("have the memory QEMU gave them", async () => {
    expect(await memoryOf("qemu-bios")).toEqual({ total: 2_060_333_056, physical_mb: 2048 });
    expect((await memoryOf("qemu-uefi")).physical_mb).toBe(2048);
  });

  test("SMBIOS is enough: lshw is not asked", async () => {
    const system = recordedSystem(await loadMachine("qemu-bios"));
    expect((await readPlatform(system)).source).toBe("smbios");
    expect(system.calls).toEqual([]);
  });

  test("without SMBIOS it is lshw's number", async () => {
    const system = recordedSystem(await loadMachine("microvm"));
    expect((await readMemory(system, await readPlatform(system))).physical_mb).toBe(24_576);
    expect(system.calls).toEqual([["lshw", "-quiet", "-json"]]);
  });
});

// hardware 13.5
test("MemTotal is in kB", () => {
  expect(parseMemTotal("MemTotal:       24684084 kB\nMemFree: 5 kB\n")).toBe(25_276_502_016);
  expect(parseMemTotal("nothing")).toBeNull();
});

describe("modules that add up to less than the kernel sees", () => {
  const structures = parseSmbios(
    Uint8Array.from([...memoryArray(1), ...memoryDevice(2, 1, 1024), ...END_OF_TABLE]),
  );
  const platform: Platform = { source: "smbios", structures };
  const blocks = (states: readonly string[]) => ({
    "/sys/devices/system/memory/block_size_bytes": "40000000\n",
    ...Object.fromEntries(
      states.map((state, index) => [`/sys/devices/system/memory/memory${index}/online`, state]),
    ),
  });

  test("the memory blocks that are online count", async () => {
    const system = recordedSystem({ files: blocks(["1\n", "1\n", "0\n", "1\n"]) });
    expect(await readMemory(system, platform)).toEqual({ total: null, physical_mb: 3072 });
  });

  test("without blocks MemTotal counts", async () => {
    const system = recordedSystem({ files: { "/proc/meminfo": "MemTotal: 2097152 kB\n" } });
    expect(await readMemory(system, platform)).toEqual({ total: 2 ** 31, physical_mb: 2048 });
  });

  test("more modules than memory is no contradiction", async () => {
    const system = recordedSystem({ files: blocks([]) });
    expect(await readMemory(system, platform)).toMatchObject({ physical_mb: 1024 });
  });
});

describe("a machine without SMBIOS", () => {
  // hardware 13.8
  test("and without lshw has no modules and no vendor, and says so", async () => {
    const system = recordedSystem({ files: { "/proc/meminfo": "MemTotal: 1024 kB\n" } });
    const platform = await readPlatform(system);
    expect(await readMemory(system, platform)).toEqual({ total: 2 ** 20, physical_mb: null });
    expect(platformVendor(platform)).toEqual({
      product_name: "",
      serial_number: "",
      manufacturer: "",
      firmware: { vendor: "", version: "", build_date: "" },
    });
    expect(system.records.map(({ level }) => level)).toEqual(["WARNING"]);
  });

  test("has the vendor lshw tells", async () => {
    const tree = [{ id: "node", product: "Board", vendor: "Maker", serial: "S1", children: [] }];
    const system = recordedSystem({ programs: { [LSHW]: { stdout: JSON.stringify(tree) } } });
    const platform = await readPlatform(system);
    expect(platformVendor(platform)).toMatchObject({
      product_name: "Board",
      manufacturer: "Maker",
      serial_number: "S1",
    });
    expect((await readMemory(system, platform)).physical_mb).toBe(0);
  });

  test("an lshw that fails or prints garbage is the same as none", async () => {
    for (const program of [{ exitCode: 1, stderr: "broken" }, { stdout: "garbage" }, { stdout: "[]" }]) {
      const system = recordedSystem({ programs: { [LSHW]: program } });
      expect(await readPlatform(system)).toEqual({ source: "none" });
      expect(system.records.map(({ level }) => level)).toEqual(["WARNING"]);
    }
  });

  test("an empty table is none", async () => {
    const system = recordedSystem({ files: { "/sys/firmware/dmi/tables/DMI": new Uint8Array(0) } });
    expect(await readPlatform(system)).toEqual({ source: "none" });
  });
});

test("maker, product and firmware of the recorded machines", async () => {
  const vendorOf = async (name: string) =>
    platformVendor(await readPlatform(recordedSystem(await loadMachine(name))));
  expect(await vendorOf("qemu-bios")).toEqual({
    product_name: "Rocket (R-1)",
    serial_number: "SN123",
    manufacturer: "Acme",
    firmware: { vendor: "TestBIOS", version: "1.2.3", build_date: "03/30/2023" },
  });
  expect(await vendorOf("qemu-uefi")).toMatchObject({
    product_name: "Hive",
    serial_number: "H-77",
    manufacturer: "Umbrella",
  });
});

test("a table of a platform is read from sysfs", async () => {
  const table = Uint8Array.from([...bios(), ...systemRecord(), ...END_OF_TABLE]);
  const system = recordedSystem({ files: { "/sys/firmware/dmi/tables/DMI": table } });
  expect(platformVendor(await readPlatform(system)).product_name).toBe("Rocket (SKU1)");
});
