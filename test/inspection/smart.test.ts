// What disks tell by SMART: from smartctl's own reports of QEMU's drives, and from reports in its form of those that QEMU does not have.

import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import fc from "fast-check";
import {
  parseAta,
  parseNvme,
  parseScsi,
  type SmartFact,
  smartFacts,
} from "../../src/inspection/extra-hardware/smart.ts";
import { ProgramFailedError } from "../../src/system/programs.ts";
import { type RecordedProgram, recordedSystem } from "../support/recorded-system.ts";

const ATA = `=== START OF INFORMATION SECTION ===
Device Model:     ACME DISK
Serial Number:    A1
Rotation Rate:    5400 rpm
SMART support is: Enabled

Vendor Specific SMART Attributes with Thresholds:
ID# ATTRIBUTE_NAME          FLAG     VALUE WORST THRESH TYPE      UPDATED  WHEN_FAILED RAW_VALUE
  5 Reallocated_Sector_Ct   0x0033   100   099   036    Pre-fail  Always       -       0
190 Airflow_Temperature_Cel 0x0022   069   069   050    Old_age   Always   In_the_past 31 (Min/Max 31/31)

SMART Error Log Version: 1
  7 Not_An_Attribute        0x0033   100   099   036    Pre-fail  Always       -       0
`;

const NVME = `=== START OF INFORMATION SECTION ===
Model Number:                       ACME NVMe
Warning  Comp. Temp. Threshold:     70 Celsius
Critical Warning:                   0x00
Temperature:                        50 Celsius
Temperature Sensor 1:               51 Celsius
Power On Hours:                     7
`;

function recorded(name: string): Promise<string> {
  return Bun.file(join(import.meta.dir, "../fixtures/smartctl", name)).text();
}

/** The facts of a machine with this smartctl, and how it was called. */
async function told(disk: string, smartctl: RecordedProgram) {
  const system = recordedSystem({ programs: { smartctl } });
  const facts = await smartFacts(system, disk);
  return { facts, calls: system.calls.map((argv) => argv.slice(1).join(" ")), system };
}

const properties = (facts: readonly SmartFact[]) =>
  Object.fromEntries(facts.map(([, property, value]) => [property, value]));

test("an ATA drive: who made it, and five facts of each attribute, as the library has them", async () => {
  const { facts, calls } = await told("sda", { exitCode: 4, stdout: ATA });
  expect(calls).toEqual(["-a /dev/sda"]);
  expect(facts.every(([disk]) => disk === "sda")).toBe(true);
  expect(properties(facts)).toEqual({
    "SMART/device_model": "ACME DISK",
    "SMART/serial_number": "A1",
    "SMART/rotation_rate": "5400 rpm",
    "SMART/Reallocated_Sector_Ct(5)/value": "100",
    "SMART/Reallocated_Sector_Ct(5)/worst": "099",
    "SMART/Reallocated_Sector_Ct(5)/thresh": "036",
    "SMART/Reallocated_Sector_Ct(5)/when_failed": "NEVER",
    "SMART/Reallocated_Sector_Ct(5)/raw": " 0",
    "SMART/Airflow_Temperature_Cel(190)/value": "069",
    "SMART/Airflow_Temperature_Cel(190)/worst": "069",
    "SMART/Airflow_Temperature_Cel(190)/thresh": "050",
    "SMART/Airflow_Temperature_Cel(190)/when_failed": "In_the_past",
    "SMART/Airflow_Temperature_Cel(190)/raw": " 31 (Min/Max 31/31)",
  });
});

test("an NVMe drive: asked for the log of all namespaces, the temperature with its unit", async () => {
  const { facts, calls } = await told("nvme0n1", { stdout: NVME });
  expect(calls).toEqual(["-d nvme,0xffffffff -a /dev/nvme0n1"]);
  expect(properties(facts)).toEqual({
    "SMART/model_number": "ACME NVMe",
    "SMART/warning_temp_threshold": "70 Celsius",
    "SMART/critical_warning": "0x00",
    "SMART/temperature": "50",
    "SMART/temperature_unit": "Celsius",
    "SMART/power_on_hours": "7",
  });
});

describe("drives of QEMU, in what smartctl itself says of them", () => {
  test("SATA: who made it, and five facts of each attribute, as the library has them", async () => {
    const { facts, calls } = await told("sda", { exitCode: 4, stdout: await recorded("sata.txt") });
    expect(calls).toEqual(["-a /dev/sda"]);
    expect(facts.every(([disk]) => disk === "sda")).toBe(true);
    expect(properties(facts)).toMatchObject({
      "SMART/device_model": "QEMU HARDDISK",
      "SMART/serial_number": "RIG0001",
      "SMART/Reallocated_Sector_Ct(5)/value": "100",
      "SMART/Reallocated_Sector_Ct(5)/worst": "100",
      "SMART/Reallocated_Sector_Ct(5)/thresh": "036",
      "SMART/Reallocated_Sector_Ct(5)/when_failed": "NEVER",
      "SMART/Reallocated_Sector_Ct(5)/raw": " 0",
      "SMART/Airflow_Temperature_Cel(190)/raw": " 31 (Min/Max 31/31)",
    });
  });

  test("NVMe: asked for the log of all namespaces, the temperature with its unit", async () => {
    const { facts, calls } = await told("nvme0n1", { stdout: await recorded("nvme.txt") });
    expect(calls).toEqual(["-d nvme,0xffffffff -a /dev/nvme0n1"]);
    expect(properties(facts)).toMatchObject({
      "SMART/model_number": "QEMU NVMe Ctrl",
      "SMART/serial_number": "RIG0001",
      "SMART/critical_warning": "0x00",
      "SMART/temperature": "50",
      "SMART/temperature_unit": "Celsius",
      "SMART/error_information_log_entries": "0",
    });
  });

  test("SCSI without SMART: who made it, and no more", async () => {
    const { facts, calls } = await told("sda", { exitCode: 4, stdout: await recorded("scsi.txt") });
    expect(calls).toEqual(["-a /dev/sda"]);
    expect(facts).toEqual([
      ["sda", "SMART/vendor", "QEMU"],
      ["sda", "SMART/product", "QEMU HARDDISK"],
      ["sda", "SMART/serial_number", "RIG0001"],
    ]);
  });
});

const SAS = `=== START OF INFORMATION SECTION ===
Vendor:               ACME
Product:              TURNER
Rotation Rate:        10000 rpm
Serial number:        S1
SMART support is:     Available - device has SMART capability.
SMART support is:     Enabled
SMART Health Status: OK

Current Drive Temperature:     36 C
Drive Trip Temperature:        68 C
Manufactured in week 10 of year 2012
Accumulated start-stop cycles:  8
  number of hours powered up = 14491.72

Error counter log:
           Errors Corrected by           Total   Correction     Gigabytes    Total
read:          7        1         2        10          11      25920.949          3

Non-medium error count:        6
`;

test("a SAS drive: its state, its counters, and the errors of each direction", async () => {
  const { facts } = await told("sdb", { stdout: SAS });
  expect(facts.map(([, property, value]) => `${property} ${value}`)).toEqual([
    "SMART/vendor ACME",
    "SMART/product TURNER",
    // The library's word for it has no colon, so the value does.
    "SMART/rotation_rate :        10000 rpm",
    "SMART/serial_number S1",
    "SMART/health OK",
    "SMART/current_drive_temperature 36",
    "SMART/current_drive_temperature_unit C",
    "SMART/drive_trip_temperature 68",
    "SMART/drive_trip_temperature_unit C",
    "SMART/manufacture_date week 10 of year 2012",
    "SMART/start_stop_cycle_count 8",
    "SMART/power_on_hours 14491.72",
    "SMART/read_total_corrected_errors 10",
    "SMART/read_gigabytes_processed 25920.949",
    "SMART/read_total_uncorrected_errors 3",
    "SMART/non_medium_errors_count 6",
  ]);
});

describe("volumes of RAID controllers", () => {
  const volume = (vendor: string, product: string) =>
    `Vendor:               ${vendor}\nProduct:              ${product}\n` +
    "SMART support is:     Unavailable - device lacks SMART capability.\n";
  const controller =
    (answers: Readonly<Record<string, string>>, otherwise: string): RecordedProgram =>
    (argv) => ({ exitCode: 2, stdout: answers[argv.slice(1).join(" ")] ?? otherwise });

  test("Dell's and HP's: each disk behind them under a name of its own, whatever it is", async () => {
    for (const [vendor, product, way] of [
      ["DELL", "PERC H730 Mini", "megaraid"],
      ["HP", "LOGICAL VOLUME", "cciss"],
    ] as const) {
      const answers = {
        "-a /dev/sda": volume(vendor, product),
        [`-a /dev/sda -d ${way},3`]: SAS,
        [`-a /dev/sda -d ${way},23`]: ATA,
      };
      const { facts, calls } = await told("sda", controller(answers, "INQUIRY failed\n"));
      expect(calls).toHaveLength(25);
      expect(facts.slice(0, 3)).toEqual([
        ["sda", "SMART/vendor", vendor],
        ["sda", "SMART/product", product],
        [`sda{${way},3}`, "SMART/vendor", "ACME"],
      ]);
      expect(facts).toContainEqual([`sda{${way},23}`, "SMART/Reallocated_Sector_Ct(5)/raw", " 0"]);
    }
  });

  test("of other makers are not asked for more", async () => {
    for (const [vendor, product] of [
      ["DELL", "Virtual Disk"],
      ["LSI", "PERC"],
    ] as const)
      expect((await told("sda", { stdout: volume(vendor, product) })).calls).toHaveLength(1);
  });
});

describe("nothing is told", () => {
  test("by a disk that smartctl cannot read, asked as an ATA drive, too", async () => {
    const { facts, calls } = await told("vda", {
      exitCode: 1,
      stdout: "/dev/vda: Unable to detect device type\n",
    });
    expect([facts, calls]).toEqual([[], ["-a /dev/vda", "-a /dev/vda -d ata"]]);
  });

  test("without smartctl", async () => {
    const system = recordedSystem();
    expect(await smartFacts(system, "sda")).toEqual([]);
    expect(system.calls).toEqual([]);
  });

  test("by a disk that hangs, which is a warning", async () => {
    const { facts, system } = await told("sda", (argv) => {
      throw new ProgramFailedError(argv, "gave up after 60 s and ended it", null, "", "");
    });
    expect(facts).toEqual([]);
    expect(system.records.filter(({ level }) => level === "WARNING").map(({ message }) => message)[0]).toBe(
      "a disk's SMART facts are left out: smartctl -a /dev/sda: gave up after 60 s and ended it",
    );
  });
});

test("whatever is printed, facts are texts", () => {
  const word = fc.constantFrom(
    "Vendor:",
    "Rotation Rate:",
    "ID#",
    "read:",
    "Temperature:",
    "Drive Trip Temperature:",
    "5",
    "-",
    "\t",
    "",
  );
  const line = fc.array(fc.oneof(word, fc.string()), { maxLength: 12 }).map((words) => words.join(" "));
  fc.assert(
    fc.property(
      fc.array(line, { maxLength: 12 }).map((lines) => lines.join("\n")),
      (report) => {
        for (const parse of [parseAta, parseScsi, parseNvme])
          for (const fact of parse("sda", report)) {
            expect(fact.every((member) => typeof member === "string")).toBe(true);
            expect(fact[1]).toStartWith("SMART/");
          }
      },
    ),
  );
});
