// The two questions about block devices that finding virtual media takes: which labels there are, and what a device is.
// lsblk's older list of pairs is asked for, not JSON: the smallest ramdisks have a lsblk that knows nothing newer.

import type { System } from "../system/system.ts";

export type LabelledDevice = { readonly device: string; readonly label: string };

export type Medium = {
  /** As lsblk has it: "disk", "part", "rom" … */
  readonly type: string;
  /** "usb", "sata" …, empty when there is none. */
  readonly transport: string;
  /** Bytes. */
  readonly size: number;
};

/** Devices that hold a file system with a label. @throws ProgramMissingError, ProgramFailedError */
export async function listLabels(system: System): Promise<LabelledDevice[]> {
  const { stdout } = await system.run(["lsblk", "-p", "-P", "-oKNAME,LABEL"]);
  return parsePairs(stdout)
    .map((row) => ({ device: row.get("KNAME") ?? "", label: row.get("LABEL") ?? "" }))
    .filter(({ device, label }) => device !== "" && label !== "");
}

/** What a device is; null if there is none. @throws ProgramMissingError, ProgramFailedError */
export async function describeMedium(system: System, device: string): Promise<Medium | null> {
  // 32: it is not there. Turned round (-s), the device itself is on the first line.
  const { stdout } = await system.run(["lsblk", "-n", "-s", "-P", "-b", "-oKNAME,TRAN,TYPE,SIZE", device], {
    allowedExitCodes: [0, 1, 32],
  });
  const [row] = parsePairs(stdout);
  if (row === undefined) return null;
  return {
    type: row.get("TYPE") ?? "",
    transport: row.get("TRAN") ?? "",
    size: Number(row.get("SIZE") ?? Number.NaN),
  };
}

/** Lines of `NAME="value" NAME="value"`; unusual bytes of a value come as \x and two digits. */
export function parsePairs(text: string): Map<string, string>[] {
  return text
    .split("\n")
    .map((line) => new Map([...line.matchAll(/([A-Z0-9_:%-]+)="([^"]*)"/g)].map(pair)))
    .filter((row) => row.size > 0);
}

function pair([, name = "", value = ""]: readonly string[]): readonly [string, string] {
  const bytes = Buffer.from(value, "utf8").toString("latin1");
  const raw = bytes.replace(/\\x([0-9a-f]{2})/gi, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
  return [name, Buffer.from(raw, "latin1").toString("utf8")];
}
