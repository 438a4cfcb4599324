import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  createEfiBootEntry,
  hasEfiBootManager,
  listEfiBootEntries,
  parseEfiBootEntries,
} from "../../src/disk/efi-boot-entries.ts";
import { recordedSystem } from "../support/recorded-system.ts";
import { thrower } from "../support/rejection.ts";

const { signal } = new AbortController();
const recorded = await Bun.file(`${import.meta.dir}/../fixtures/efibootmgr/ovmf.txt`).text();

describe("efibootmgr's list, as OVMF has it", () => {
  test("gives number, label and device path; labels that begin alike stay apart", async () => {
    const system = recordedSystem({ programs: { "efibootmgr -v": { stdout: recorded } } });
    const entries = await listEfiBootEntries(system, signal);
    expect(entries.map(({ number, active, label }) => [number, active, label])).toEqual([
      ["0000", true, "UiApp"],
      ["0001", true, "debian"],
      ["0002", true, "ironic1"],
      ["0003", true, "ironic10"],
    ]);
    expect(entries[1]?.path).toBe(
      "HD(1,GPT,1c0a7119-3180-424b-a5bd-34da365b0d64,0x800,0x18800)/File(\\EFI\\debian\\shimx64.efi)",
    );
  });

  test("entries that are off, labels with blanks and lower-case numbers are read; other lines are not", () => {
    expect(
      parseEfiBootEntries(
        "BootCurrent: 0001\nBoot000a  Windows Boot Manager\tHD(1,MBR,0x1,0x800,0x800)/File(\\x)\r\nMirror: no\n",
      ),
    ).toEqual([
      {
        number: "000A",
        active: false,
        label: "Windows Boot Manager",
        path: "HD(1,MBR,0x1,0x800,0x800)/File(\\x)",
      },
    ]);
  });

  test("output in UTF-16, as some machines have it, is the same list", () => {
    for (const mark of ["", "\ufeff"]) {
      const wide = Buffer.from(`${mark}${recorded}`, "utf16le").toString("utf8");
      expect(parseEfiBootEntries(wide)).toEqual(parseEfiBootEntries(recorded));
    }
  });

  test("any text is read without a crash (deploy 11.73)", () => {
    fc.assert(fc.property(fc.string(), (text) => Array.isArray(parseEfiBootEntries(text))));
    fc.assert(fc.property(fc.string(), (noise) => parseEfiBootEntries(`${noise}\n${recorded}`).length >= 4));
  });
});

describe("efibootmgr", () => {
  test("that is not installed is an answer, one that fails an error", async () => {
    expect(await hasEfiBootManager(recordedSystem())).toBe(false);
    const failing = recordedSystem({ programs: { efibootmgr: { exitCode: 2, stderr: "no EFI variables" } } });
    expect(await thrower(hasEfiBootManager(failing))).toThrow("no EFI variables");
  });

  test("is told disk, partition, label and loader as separate arguments", async () => {
    const system = recordedSystem({ programs: { efibootmgr: {} } });
    const entry = { disk: "/dev/sda", partitionNumber: 2, label: "my os", loader: "\\EFI\\x.efi" };
    await createEfiBootEntry(system, entry, signal);
    expect(system.calls).toEqual([
      ["efibootmgr", "-v", "-c", "-d", "/dev/sda", "-p", "2", "-w", "-L", "my os", "-l", "\\EFI\\x.efi"],
    ]);
  });

  test("gets a working path of a multipath map, which it does not see through", async () => {
    const nodes = Object.fromEntries(
      ["dm-0", "sda", "sdb"].flatMap((name, minor) => [
        [`/dev/${name}`, { device: { major: 8, minor } }],
        [`/sys/dev/block/8:${minor}`, { link: `../../devices/${name}` }],
        [`/sys/class/block/${name}`, { link: `../../devices/${name}` }],
      ]),
    );
    const machine = (uuid: string) =>
      recordedSystem({
        programs: { efibootmgr: {} },
        files: {
          ...nodes,
          "/sys/devices/dm-0/dm/uuid": `${uuid}\n`,
          "/sys/devices/dm-0/slaves/sda": { link: "../../sda" },
          "/sys/devices/dm-0/slaves/sdb": { link: "../../sdb" },
          "/sys/devices/sda/device/state": "offline\n",
          "/sys/devices/sdb/device/state": "running\n",
        },
      });
    const entry = { disk: "/dev/dm-0", partitionNumber: 1, label: "debian", loader: "\\EFI\\x.efi" };
    const map = machine("mpath-3600a0b80000f1234");
    await createEfiBootEntry(map, entry, signal);
    expect(map.calls[0]?.slice(3, 5)).toEqual(["-d", "/dev/sdb"]);
    // A logical volume or a cipher is something else.
    const volume = machine("LVM-abc");
    await createEfiBootEntry(volume, entry, signal);
    expect(volume.calls[0]?.slice(3, 5)).toEqual(["-d", "/dev/dm-0"]);
  });
});
