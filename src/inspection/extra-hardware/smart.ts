// What disks tell of their own health, as hardware-detect tells it: smartctl's words under the library's names for them, down to
// blanks and colons that it leaves in, because what compares facts compares text. Disks behind RAID controllers of Dell and HP
// are asked one by one, as the library does. Source: smart_utils.py of the Python library "hardware"; smartctl(8).

import { errorText } from "../../errors.ts";
import { mapLimited } from "../../map-limited.ts";
import { ProgramFailedError, ProgramMissingError } from "../../system/programs.ts";
import type { System } from "../../system/system.ts";

/** Name of the disk (`sda`, or `sda{megaraid,3}` for the third one behind a controller), property, value. */
export type SmartFact = readonly [disk: string, property: string, value: string];

/** Words that smartctl writes before a value, with the library's name of it. */
type Labels = readonly (readonly [label: string, property: string])[];

const ATA_LABELS: Labels = [
  ["Device Model:", "device_model"],
  ["Serial Number:", "serial_number"],
  ["Firmware Version:", "firmware_version"],
  ["Rotation Rate:", "rotation_rate"],
];

const SCSI_LABELS: Labels = [
  ["Serial number:", "serial_number"],
  ["SMART Health Status:", "health"],
  ["Specified cycle count over device lifetime:", "specified_start_stop_cycle_count_over_lifetime"],
  ["Accumulated start-stop cycles:", "start_stop_cycle_count"],
  ["Specified load-unload count over device lifetime:", "specified_load_count_over_lifetime"],
  ["Accumulated load-unload cycles:", "load_count"],
  ["number of hours powered up =", "power_on_hours"],
  ["Blocks sent to initiator =", "blocks_sent"],
  ["Blocks received from initiator =", "blocks_received"],
  ["Blocks read from cache and sent to initiator =", "blocks_read_from_cache"],
  ["Non-medium error count:", "non_medium_errors_count"],
  ["Current Drive Temperature:", "current_drive_temperature"],
  ["Drive Trip Temperature:", "drive_trip_temperature"],
  ["Manufactured in ", "manufacture_date"],
  ["Rotation Rate", "rotation_rate"],
];

const NVME_LABELS: Labels = [
  ["Model Number:", "model_number"],
  ["Serial Number:", "serial_number"],
  ["Firmware Version:", "firmware_version"],
  ["Total NVM Capacity:", "total_nvm_capacity"],
  ["Warning  Comp. Temp. Threshold:", "warning_temp_threshold"],
  ["Critical Comp. Temp. Threshold:", "critical_temp_threshold"],
  ["Critical Warning:", "critical_warning"],
  ["Temperature:", "temperature"],
  ["Power Cycles:", "power_cycles"],
  ["Power On Hours:", "power_on_hours"],
  ["Unsafe Shutdowns:", "unsafe_shutdowns"],
  ["Media and Data Integrity Errors:", "media_data_integrity_errors"],
  ["Error Information Log Entries:", "error_information_log_entries"],
];

/** The members of an ATA attribute's row that are facts, by their place in it. */
const ATTRIBUTE_COLUMNS = [
  ["value", 3],
  ["worst", 4],
  ["thresh", 5],
] as const;
const WHEN_FAILED_COLUMN = 8;
const RAW_COLUMN = 9;

/** Controllers that let smartctl through to the disks behind them: what their volumes call themselves, and smartctl's name of the way. */
const CONTROLLERS = [
  { vendor: "DELL", product: "PERC", way: "megaraid" },
  { vendor: "HP", product: "LOGICAL VOLUME", way: "cciss" },
] as const;
const MOST_DISKS_BEHIND = 24;
/** So many of them: there may be as many volumes, which are asked beside each other already. */
const BEHIND_AT_ONCE = 4;

/** Seconds: a disk that sleeps wakes up first. */
const TIMEOUT = 60;

/** None for a disk that does not tell, and where smartctl is not installed. */
export async function smartFacts(system: System, disk: string): Promise<SmartFact[]> {
  if (system.findProgram("smartctl") === null) return [];
  // The broadcast namespace: releases of smartctl before 7 refuse the log of a single one.
  if (disk.startsWith("nvme"))
    return parseNvme(disk, await smartctl(system, ["-d", "nvme,0xffffffff", "-a", `/dev/${disk}`]));
  for (const type of [[], ["-d", "ata"]]) {
    const report = await smartctl(system, ["-a", `/dev/${disk}`, ...type]);
    const form = formOf(report);
    if (form === "ata") return parseAta(disk, report);
    if (form === "scsi")
      return [...parseScsi(disk, report), ...(await behindController(system, disk, report))];
  }
  return [];
}

/**
 * Which of the library's two readings a report is for; null if it holds neither attributes nor a word on SMART. Since smartctl words the
 * state of a SAS drive otherwise, the library passes such drives over; here they are told of.
 */
function formOf(report: string): "ata" | "scsi" | null {
  for (const line of linesOf(report)) {
    if (lacksSmart(line) || /^(?:SMART Health Status:|Device supports SMART and is Enabled)/.test(line))
      return "scsi";
    if (line.startsWith("ID#")) return "ata";
  }
  return null;
}

/** A table of attributes, after a few lines on the drive. */
export function parseAta(disk: string, report: string): SmartFact[] {
  const facts: SmartFact[] = [];
  let inTable = false;
  for (const line of linesOf(report)) {
    const known = labelled(disk, line, ATA_LABELS);
    if (known.length > 0) facts.push(...known);
    else if (line.startsWith("ID#")) inTable = true;
    else if (inTable && line === "") break;
    else if (inTable) facts.push(...attribute(disk, line));
  }
  return facts;
}

/** The lines of a SAS drive; those of an ATA drive, if it turns out to be one behind a SAS controller. */
export function parseScsi(disk: string, report: string): SmartFact[] {
  const facts: SmartFact[] = [];
  for (const line of linesOf(report)) {
    if (line.includes("INQUIRY failed")) return facts;
    if (line.startsWith("ID#")) return [...facts, ...parseAta(disk, report)];
    const maker = labelled(disk, line, [
      ["Vendor:", "vendor"],
      ["Product:", "product"],
    ]);
    facts.push(...maker);
    if (maker.length > 0) continue;
    if (lacksSmart(line)) return facts;
    facts.push(...labelled(disk, line, SCSI_LABELS), ...errorCounters(disk, line));
  }
  return facts;
}

export function parseNvme(disk: string, report: string): SmartFact[] {
  return linesOf(report).flatMap((line) => labelled(disk, line, NVME_LABELS));
}

/** The disks of a volume that has no SMART of its own, if its controller is one that can be asked for them. */
async function behindController(system: System, disk: string, volume: string): Promise<SmartFact[]> {
  const lines = linesOf(volume);
  if (!lines.some(lacksSmart)) return [];
  const after = (label: string) =>
    lines
      .find((line) => line.startsWith(label))
      ?.slice(label.length)
      .trim() ?? "";
  const [vendor, product] = [after("Vendor:"), after("Product:")];
  const controller = CONTROLLERS.find((one) => vendor === one.vendor && product.includes(one.product));
  if (controller === undefined) return [];
  const numbers = Array.from({ length: MOST_DISKS_BEHIND }, (_, number) => number);
  const ask = async (number: number) => {
    const way = `${controller.way},${number}`;
    return parseScsi(`${disk}{${way}}`, await smartctl(system, ["-a", `/dev/${disk}`, "-d", way]));
  };
  const found = await mapLimited(numbers, ask, BEHIND_AT_ONCE);
  return found.flat();
}

/** Value and unit of a temperature, else whatever follows the label. */
function labelled(disk: string, line: string, labels: Labels): SmartFact[] {
  return labels.flatMap(([label, property]): SmartFact[] => {
    if (!line.includes(label)) return [];
    const parts = line
      .split(label)
      .slice(1)
      .map((part) => part.trim());
    if (!property.includes("temperature")) return [[disk, `SMART/${property}`, parts.join(" ").trim()]];
    const [value, unit] = (parts[0] ?? "").split(/\s+/);
    if (value === undefined || value === "") return [];
    const degrees: SmartFact = [disk, `SMART/${property}`, value];
    return unit === undefined ? [degrees] : [degrees, [disk, `SMART/${property}_unit`, unit]];
  });
}

/** `  5 Reallocated_Sector_Ct   0x0033   100   100   036    Pre-fail  Always       -       0`, already trimmed. */
function attribute(disk: string, line: string): SmartFact[] {
  const columns = line.split(/\s+/);
  const [id, name] = columns;
  if (columns.length <= RAW_COLUMN) return [];
  const fact = (member: string, value: string): SmartFact => [disk, `SMART/${name}(${id})/${member}`, value];
  const failed = columns[WHEN_FAILED_COLUMN] ?? "";
  return [
    ...ATTRIBUTE_COLUMNS.map(([member, column]) => fact(member, columns[column] ?? "")),
    fact("when_failed", failed === "-" ? "NEVER" : failed),
    // With the blank in front that the library writes.
    fact("raw", ` ${columns.slice(RAW_COLUMN).join(" ")}`),
  ];
}

/** `read:   7    0    0    7    7    181.3    0` of a SAS drive's error counter log. */
function errorCounters(disk: string, line: string): SmartFact[] {
  const [log] = /^(?:read|write|verify)(?=:)/.exec(line) ?? [];
  const columns = line.split(/\s+/);
  if (log === undefined || columns.length < 8) return [];
  return [
    [disk, `SMART/${log}_total_corrected_errors`, columns[4] ?? ""],
    [disk, `SMART/${log}_gigabytes_processed`, columns[6] ?? ""],
    [disk, `SMART/${log}_total_uncorrected_errors`, columns[7] ?? ""],
  ];
}

function lacksSmart(line: string): boolean {
  return (
    line.startsWith("Device does not support SMART") ||
    line.includes("Unavailable - device lacks SMART capability")
  );
}

function linesOf(report: string): string[] {
  return report.split("\n").map((line) => line.trim());
}

/** The report, whatever the exit code: its bits tell of the drive's past. "" if it took too long, which is a warning. */
async function smartctl(system: System, words: readonly string[]): Promise<string> {
  try {
    return (await system.run(["smartctl", ...words], { timeout: TIMEOUT })).stdout;
  } catch (error) {
    if (error instanceof ProgramFailedError && error.exitCode !== null) return error.stdout;
    if (!(error instanceof ProgramMissingError || error instanceof ProgramFailedError)) throw error;
    system.log.warning(`a disk's SMART facts are left out: ${errorText(error)}`);
    return "";
  }
}
