// An inspection with every collector that neither measures nor listens, from the start of the program to the posted data; and
// lshw alone, the tool on which the reference spends most of its inventory. They take turns, so that both see the same machine.

import { COLLECTORS } from "../../src/inspection/collectors.ts";
import { median, type Row, seconds } from "./measure.ts";

const RUNS = 9;
const LSHW = ["lshw", "-quiet", "-json"];

export async function inspection(binary: string): Promise<Row[]> {
  // In the order that an operator would write them: the logs are last.
  const quick = Object.keys(COLLECTORS).filter((name) => !name.endsWith("lldp") && name !== "logs");
  const posted: Record<string, unknown>[] = [];
  using server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      posted.push((await request.json()) as Record<string, unknown>);
      return Response.json({});
    },
  });
  const argv = [
    ...[binary, "collect-introspection-data", "--inspection_callback_url", server.url.href],
    ...["--inspection_collectors", [...quick, "logs"].join(",")],
    ...["--inspection_dhcp_wait_timeout", "0", "--disk_wait_attempts", "0"],
  ];
  const ours: number[] = [];
  const lshw: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    ours.push(await timed(argv));
    lshw.push(await timed(LSHW));
  }
  if (posted.length !== RUNS) throw new Error(`${posted.length} of ${RUNS} inspections were posted`);
  // A machine without SMBIOS has nothing for dmidecode: then the rest is what was measured.
  const { error } = posted[0] ?? {};
  if (error != null) console.error(error);
  return [
    {
      what: "inspection, all collectors without LLDP and benchmarks",
      ...{ ours: seconds(median(ours)), reference: "", ratio: "", goal: "< 1.5 s" },
    },
    { what: "  lshw alone", ours: "", reference: seconds(median(lshw)), ratio: "", goal: "" },
  ];
}

/** Seconds that a program takes; what it prints is thrown away. An inspection in which a collector failed exits 1. */
async function timed(argv: readonly string[]): Promise<number> {
  const started = performance.now();
  const child = Bun.spawn([...argv], { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
  const code = await child.exited;
  if (code > 1) throw new Error(`${argv.slice(0, 2).join(" ")} ended with exit code ${code}`);
  return (performance.now() - started) / 1000;
}
