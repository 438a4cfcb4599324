// npm run test:image -- NAME: builds ramdisks as operators do and boots them in QEMU. Takes most of an hour on two slow cores.
// Exit codes: 0 all as promised, 1 not, 2 wrong command line.

import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { enterNamespace } from "../rig/namespace.ts";
import { Network } from "../rig/network.ts";
import { makeRunDirectory } from "../rig/run-directory.ts";
import { PARTS, type Stage, testDib } from "./dib.ts";
import { TINYIPA_PARTS, testTinyipa } from "./tinyipa.ts";

const TESTS: Readonly<
  Record<string, { run: (stage: Stage) => Promise<void>; parts: Readonly<Record<string, string>> }>
> = {
  dib: { run: testDib, parts: PARTS },
  tinyipa: { run: testTinyipa, parts: TINYIPA_PARTS },
};
const USAGE = `usage: npm run test:image -- [--images DIRECTORY] NAME [PART…]

  --images DIRECTORY   boot what an earlier run has built there, instead of building

${Object.entries(TESTS)
  .flatMap(([name, { parts }]) =>
    Object.entries(parts).map(([part, about]) => `  ${name} ${part.padEnd(14)} ${about}\n`),
  )
  .join("")}`;

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  options: { images: { type: "string" } },
});
const [name = "", ...parts] = positionals;
const test = TESTS[name];
if (test === undefined || parts.some((part) => !Object.hasOwn(test.parts, part))) {
  process.stderr.write(USAGE);
  process.exit(2);
}
await enterNamespace();
const directory = await makeRunDirectory("image");
const started = performance.now();
const say = (line: string) =>
  process.stdout.write(`[${((performance.now() - started) / 1000).toFixed(0)} s] ${line}\n`);
say(`working in ${directory}`);
try {
  await using network = await Network.create({ directory });
  await test.run({
    directory,
    network,
    images: values.images === undefined ? null : resolve(values.images),
    parts,
    say,
  });
  say(`${name}: all as promised`);
  process.exit(0);
} catch (error) {
  say(`${name}: FAILED: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
