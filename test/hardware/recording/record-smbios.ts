// Asks the real lshw what it reads from made-up SMBIOS tables, and keeps tables and answers as the fixture
// smbios.json. lshw is shown the table in a mount namespace of its own, in the place of /sys/firmware. Needs
// root and lshw.
//
//   bun test/hardware/recording/record-smbios.ts

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseLshw } from "../../../src/hardware/lshw.ts";
import { isJsonObject, type JsonObject } from "../../../src/json.ts";
import {
  bios,
  chassis,
  END_OF_TABLE,
  EXTENDED_SIZE,
  IN_KIB,
  memoryArray,
  memoryDevice,
  system,
  UNKNOWN_SIZE,
} from "./smbios-tables.ts";

/** MiB. */
const GIB = 1024;
const BASE = [...bios(), ...system()];
const USES = [1, 2, 3, 4, 5, 6, 7, 8];

const TABLES: Readonly<Record<string, readonly number[]>> = {
  "one array, two modules of 16 GiB": [
    ...[...BASE, ...chassis(), ...memoryArray(0x1000)],
    ...[...memoryDevice(0x1100, 0x1000, 16 * GIB), ...memoryDevice(0x1101, 0x1000, 16 * GIB)],
  ],
  "less in the table than the kernel has": [
    ...[...BASE, ...memoryArray(0x1000), ...memoryDevice(0x1100, 0x1000, 1 * GIB)],
  ],
  "empty slots only": [
    ...[...BASE, ...memoryArray(0x1000)],
    ...[...memoryDevice(0x1100, 0x1000, 0), ...memoryDevice(0x1101, 0x1000, UNKNOWN_SIZE)],
  ],
  "no memory records": BASE,
  "two arrays, one slot empty": [
    ...[...BASE, ...memoryArray(0x1000), ...memoryArray(0x1001), ...memoryDevice(0x1100, 0x1000, 16 * GIB)],
    ...[...memoryDevice(0x1101, 0x1001, 16 * GIB), ...memoryDevice(0x1102, 0x1001, 0)],
  ],
  "arrays of every use": [
    ...[...BASE, ...USES.flatMap((use) => memoryArray(0x1000 + use, use))],
    ...USES.flatMap((use) => memoryDevice(0x1100 + use, 0x1000 + use, (use < 4 ? 10 : 3) * use * GIB)),
  ],
  "modules of an array that is not there": [
    ...[...BASE, ...memoryArray(0x1000)],
    ...[...memoryDevice(0x1100, 0x1000, 30 * GIB), ...memoryDevice(0x1101, 0x2000, 30 * GIB)],
  ],
  "sizes in KiB": [
    ...[...BASE, ...memoryArray(0x1000), ...memoryDevice(0x1100, 0x1000, 30 * GIB)],
    ...[...memoryDevice(0x1101, 0x1000, IN_KIB | 1536), ...memoryDevice(0x1102, 0x1000, IN_KIB | 1536)],
  ],
  "extended size of 64 GiB": [
    ...[...BASE, ...memoryArray(0x1000), ...memoryDevice(0x1100, 0x1000, EXTENDED_SIZE, 64 * GIB)],
  ],
  "no stock keeping unit": [
    ...[...bios(), ...system({ strings: ["Acme", "Rocket", "v1", "SN123"], numbers: [1, 2, 3, 4, 0, 0] })],
    ...chassis(),
  ],
  "a table without unit and family": [...bios(), ...system({ length: 25 })],
  "maker and serial number only on the chassis": [
    ...[...bios(), ...system({ strings: [], numbers: [] }), ...chassis()],
  ],
  "blanks, control characters and broken UTF-8": [
    ...bios(["  Bad\x01 BIOS  ", " 1.2", "x"]),
    ...system({
      strings: ["  Ac  me ", "Rocket\x02\xe9", "v1", " To be filled by O.E.M. ", "Default string", "Fam"],
    }),
  ],
};

const work = await mkdtemp(join(tmpdir(), "record-smbios-"));
const records: JsonObject[] = [];
for (const [name, structures] of Object.entries(TABLES)) {
  const table = Uint8Array.from([...structures, ...END_OF_TABLE]);
  await mkdir(join(work, "dmi/tables"), { recursive: true });
  await writeFile(join(work, "dmi/tables/DMI"), table);
  await writeFile(join(work, "dmi/tables/smbios_entry_point"), entryPoint(table.length));
  const script = 'mount --bind "$1" /sys/firmware && exec lshw -quiet -json';
  const { stdout } = Bun.spawnSync(["unshare", "-m", "sh", "-c", script, "sh", work]);
  const tree = parseLshw(stdout.toString());
  if (tree === null) throw new Error("lshw printed no JSON");
  records.push({ name, table: Buffer.from(table).toString("base64"), lshw: abridged(tree) });
}
await rm(work, { recursive: true });
await writeFile(join(import.meta.dir, "../../fixtures/smbios.json"), `${JSON.stringify(records, null, 1)}\n`);

/** The 64-bit entry point of SMBIOS 3; lshw checks its sum. */
function entryPoint(tableLength: number): Uint8Array {
  const bytes = Buffer.alloc(24);
  bytes.write("_SM3_", "latin1");
  bytes.set([0, 24, 3, 0, 0, 1, 0], 5);
  bytes.writeUInt32LE(tableLength, 12);
  bytes.writeBigUInt64LE(0xf0000n, 16);
  bytes[5] = -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
  return bytes;
}

/** Vendor, firmware and memory: what the machine's own devices are does not belong into the fixture. */
function abridged(record: JsonObject): JsonObject {
  const kept = Object.entries(record).filter(([key]) =>
    ["id", "product", "vendor", "serial", "version", "date", "size", "units"].includes(key),
  );
  const children = (Array.isArray(record.children) ? record.children : [])
    .filter(isJsonObject)
    .filter((child) => child.id === "core" || child.class === "memory")
    .map(abridged);
  return { ...Object.fromEntries(kept), ...(children.length === 0 ? {} : { children }) };
}
