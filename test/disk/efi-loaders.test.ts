import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { findEfiLoaders, parseLoaderCsv } from "../../src/disk/efi-loaders.ts";
import { recordedSystem } from "../support/recorded-system.ts";

/** Text as shim's CSV has it: UTF-16, little-endian. */
const utf16 = (text: string) => new Uint8Array(Buffer.from(text, "utf16le"));

const CSV = "shimx64.efi,debian,,This is the boot entry for debian\n";

function loaders(files: Record<string, string | Uint8Array>, architecture = "x64") {
  const system = recordedSystem({
    files: Object.fromEntries(Object.entries(files).map(([path, content]) => [`/esp/${path}`, content])),
  });
  return findEfiLoaders(system.files, "/esp", architecture);
}

describe("a vendor's CSV (deploy 11.65)", () => {
  for (const [form, bytes] of [
    ["UTF-16 with BOM", utf16(`\uFEFF${CSV}`)],
    ["UTF-16 without BOM", utf16(CSV)],
    ["big-endian UTF-16 with BOM", new Uint8Array(Buffer.from(`\uFEFF${CSV}`, "utf16le").swap16())],
    ["UTF-8", new TextEncoder().encode(CSV)],
    ["two lines", utf16(`\uFEFF${CSV}other.efi,other\n`)],
  ] as const)
    test(`in ${form} is read`, () => {
      expect(parseLoaderCsv(bytes)).toEqual({ file: "shimx64.efi", label: "debian" });
    });

  test("is the only loader, wins over the default name and keeps the medium's spelling", async () => {
    expect(
      await loaders({
        "EFI/BOOT/BOOTX64.EFI": "",
        "EFI/debian/BOOTX64.CSV": utf16(CSV),
        "EFI/debian/SHIMX64.EFI": "",
      }),
    ).toEqual([{ path: "EFI/debian/SHIMX64.EFI", label: "debian" }]);
  });

  test("that names a missing file, or a path, is ignored", async () => {
    const boot = { "EFI/BOOT/BOOTX64.EFI": "" };
    const fallback = [{ path: "EFI/BOOT/BOOTX64.EFI", label: null }];
    expect(await loaders({ ...boot, "EFI/debian/BOOTX64.CSV": utf16(CSV) })).toEqual(fallback);
    expect(await loaders({ ...boot, "EFI/debian/BOOTX64.CSV": utf16("..\\BOOT\\BOOTX64.EFI,evil") })).toEqual(
      fallback,
    );
  });

  test("without a label leaves it open", () => {
    expect(parseLoaderCsv(utf16("shimx64.efi,,,"))).toEqual({ file: "shimx64.efi", label: null });
  });

  test("of another architecture is none of ours", async () => {
    const files = { "EFI/debian/BOOTAA64.CSV": utf16("shimaa64.efi,debian"), "EFI/debian/shimaa64.efi": "" };
    expect(await loaders(files)).toEqual([]);
    expect(await loaders(files, "arm64")).toEqual([{ path: "EFI/debian/shimaa64.efi", label: "debian" }]);
  });

  test("of any bytes never crashes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const entry = parseLoaderCsv(bytes);
        return entry === null || (entry.file !== "" && !/[/\\\n\0]/.test(entry.file));
      }),
    );
  });
});

describe("without a CSV", () => {
  test("the firmware's default name counts, for the running architecture only", async () => {
    expect(await loaders({ "efi/boot/bootx64.efi": "", "EFI/BOOT/BOOTIA32.EFI": "" })).toEqual([
      { path: "efi/boot/bootx64.efi", label: null },
    ]);
  });

  test("a directory whose name holds csv or ends in .efi is neither (deploy 11.66)", async () => {
    expect(await loaders({ "EFI/csvtest/readme": "", "EFI/BOOT/bootx64.efi/x": "" })).toEqual([]);
  });

  test.each([
    [["EFI/debian/grubx64.efi", "EFI/debian/shimx64.efi"], ["EFI/debian/shimx64.efi"]],
    [["EFI/debian/grubx64.efi", "EFI/Linux/a.efi"], ["EFI/debian/grubx64.efi"]],
    [["EFI/systemd/systemd-bootx64.efi", "EFI/Linux/a.efi"], ["EFI/systemd/systemd-bootx64.efi"]],
    [
      ["EFI/Linux/b.efi", "EFI/Linux/a.efi"],
      ["EFI/Linux/a.efi", "EFI/Linux/b.efi"],
    ],
    [["EFI/Microsoft/Boot/bootmgfw.efi"], ["EFI/Microsoft/Boot/bootmgfw.efi"]],
    [["vmlinuz", "EFI/debian/readme.txt"], []],
  ])("of %p the choice is %p (deploy 11.69)", async (present, chosen) => {
    const found = await loaders(Object.fromEntries(present.map((path) => [path, ""])));
    expect(found.map(({ path }) => path)).toEqual(chosen);
  });
});
