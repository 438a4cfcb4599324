// Many agents at once, in one process, against the real Ironic or the embedded conductor: what they cost, and whether they
// behave towards an API that is slow, or gone for a minute.
//
//   bun run test/bench/fleet.ts [--embedded] [--agents 50,200] [--heartbeat-timeout S] [--quiet S] [--outage S]

import { parseArgs } from "node:util";
import { enterNamespace } from "../rig/namespace.ts";
import { run } from "../rig/programs.ts";
import { embeddedConductor, realIronic } from "./fleet/conductors.ts";
import { heartbeatCost } from "./fleet/heartbeat-cost.ts";
import { type Figure, fleetRun } from "./fleet/run.ts";

const { values } = parseArgs({
  options: {
    embedded: { type: "boolean", default: false },
    agents: { type: "string", default: "50,200" },
    "heartbeat-timeout": { type: "string", default: "60" },
    quiet: { type: "string", default: "60" },
    outage: { type: "string", default: "60" },
  },
});

function numbers(name: string, text: string): number[] {
  const list = text.split(",").map(Number);
  if (list.some((number) => !Number.isInteger(number) || number < 1)) {
    console.error(`fleet: --${name} takes whole numbers from 1, got "${text}"`);
    process.exit(2);
  }
  return list;
}

function table(figures: readonly Figure[]): string {
  const width = Math.max(...figures.map(([what]) => what.length));
  return figures.map(([what, value]) => `| ${what.padEnd(width)} | ${value} |`).join("\n");
}

const [heartbeatTimeout = 60] = numbers("heartbeat-timeout", values["heartbeat-timeout"]);
const [quiet = 60] = numbers("quiet", values.quiet);
const [outage = 60] = numbers("outage", values.outage);
const sizes = numbers("agents", values.agents);

// The real Ironic's ports are its usual ones, and agents have addresses of the loopback's: nobody else may see either.
await enterNamespace();
await run(["ip", "link", "set", "lo", "up"]);
console.log(table(await heartbeatCost()));
for (const agents of sizes) {
  await using conductor = values.embedded
    ? embeddedConductor({ heartbeatTimeout })
    : await realIronic({ heartbeatTimeout });
  console.error(`${agents} agents with ${conductor.name}, heartbeat_timeout ${heartbeatTimeout} s`);
  const figures = await fleetRun(conductor, { agents, quiet, outage, say: console.error });
  console.log(`\n${conductor.name}\n\n${table(figures)}`);
}
