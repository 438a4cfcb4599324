// fio as burn-in uses it: on disks, and between two machines. Source: hardware specification 10.3, 10.4; fio(1).

import type { Duration } from "./settings.ts";

/** Between two machines; each is a job of fio with a port of its own. */
export const CONNECTIONS = 16;

/** Writes every block of each device and reads all of it, with a checksum in every block; as often as `loops`, or for `runtime`. */
export function fioOnDisks(
  devices: readonly string[],
  options: { readonly loops: number; readonly runtime: Duration; readonly outputFile: string | null },
): string[] {
  return [
    ...["fio", "--rw", "readwrite", "--bs", "4k", "--direct", "1", "--ioengine", "libaio", "--iodepth", "32"],
    ...[
      "--verify",
      "crc32c",
      "--verify_dump",
      "1",
      "--verify_state_save",
      "0",
      "--continue_on_error",
      "verify",
    ],
    ...["--loops", String(options.loops), "--runtime", options.runtime.text, "--time_based"],
    ...outputTo(options.outputFile),
    ...devices.flatMap((device) => ["--name", device]),
  ];
}

/** One side of a pair of machines. */
export function fioOnNetwork(options: {
  readonly role: NetworkRole;
  readonly runtime: Duration;
  readonly outputFile: string | null;
}): string[] {
  const { role, runtime, outputFile } = options;
  return [
    ...["fio", "--ioengine", "net", "--port", "9000", "--fill_device", "1"],
    ...["--group_reporting", "--gtod_reduce", "1", "--numjobs", String(CONNECTIONS)],
    ...(role.name === "writer"
      ? ["--name", "writer", "--rw", "write", "--runtime", runtime.text, "--time_based", "--listen"]
      : ["--name", "reader", "--rw", "read", "--hostname", role.partner]),
    ...outputTo(outputFile === null ? null : `${outputFile}.${role.name}`),
  ];
}

/** The writer listens and sends, the reader connects and receives until the writer is done. */
export type NetworkRole = { readonly name: "writer" } | { readonly name: "reader"; readonly partner: string };

function outputTo(file: string | null): string[] {
  return file === null ? [] : ["--output-format", "json", "--output", file];
}
