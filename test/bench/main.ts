// Speed and memory of the compiled agent, as a table: `npm run bench`, or with words to choose parts.
//
//   bun run test/bench/main.ts [start] [inventory] [inspection] [status] [stream]

import { stat } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import { inspection } from "./inspection.ts";
import { mebibytes, type Row, table } from "./measure.ts";
import { inventory, startUp } from "./start-up.ts";
import { statusRate } from "./status.ts";
import { streaming } from "./stream.ts";

const BINARY = `${import.meta.dir}/../../dist/ironic-python-agent-linux-x64`;

const PARTS: Readonly<Record<string, () => Promise<Row[]>>> = {
  start: () => startUp(BINARY),
  inventory: () => inventory(BINARY),
  inspection: () => inspection(BINARY),
  status: () => statusRate(BINARY),
  stream: async () => streaming(await pythonWithRequests()),
};

/** Debian's python3-requests belongs to the system's Python; a development machine may have it in another. */
async function pythonWithRequests(): Promise<string> {
  for (const python of ["/usr/bin/python3", "python3"]) {
    const child = Bun.spawn([python, "-c", "import requests"], { stdout: "ignore", stderr: "ignore" });
    if ((await child.exited) === 0) return python;
  }
  throw new Error("the streaming benchmark needs Python with requests (Debian: python3-requests)");
}

const chosen = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(PARTS);
const unknown = chosen.find((name) => !Object.hasOwn(PARTS, name));
if (unknown !== undefined) {
  console.error(`bench: unknown part "${unknown}"; known: ${Object.keys(PARTS).join(", ")}`);
  process.exit(2);
}

const rows: Row[] = [];
for (const name of chosen) {
  console.error(`measuring: ${name} …`);
  rows.push(...((await PARTS[name]?.()) ?? []));
}
const [cpu] = cpus();
console.log(`${cpus().length} × ${cpu?.model ?? "unknown processor"}, ${mebibytes(totalmem())} of memory`);
console.log(`executable: ${mebibytes((await stat(BINARY)).size)}\n`);
console.log(table(rows));
