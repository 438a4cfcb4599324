// What a test of ramdisks runs as an operator would: builds and the demo, in processes of their own and not in the rig's network.

import { join } from "node:path";
import { outsideNamespace } from "../rig/namespace.ts";
import { run } from "../rig/programs.ts";
import type { Ramdisk } from "../rig/ramdisk.ts";
import type { Stage } from "./dib.ts";

const ROOT = join(import.meta.dir, "../..");
const DEMO_TIMEOUT_MS = 30 * 60_000;

/** Outside of the rig's network; told to end, and so to tidy up, when this test is ended from outside. */
export function besideTheRig(argv: readonly string[]): string[] {
  return outsideNamespace(["setpriv", "--pdeathsig", "TERM", ...argv]);
}

/** A whole deployment, by the demo with further arguments. */
export async function deployedByDemo(stage: Stage, image: Ramdisk, args: readonly string[]): Promise<void> {
  const started = performance.now();
  const demo = ["run", "test/demo/main.ts", "--kernel", image.kernel, "--ramdisk", image.initrd, ...args];
  // A network of its own: it must not find the namespace of this run in its environment.
  await run(besideTheRig(["env", "-u", "IRONIC_RIG_NAMESPACE", process.execPath, ...demo]), {
    name: "npm run demo",
    cwd: ROOT,
    logFile: join(stage.directory, `demo${args.join("")}.log`),
    timeoutMs: DEMO_TIMEOUT_MS,
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  stage.say(`demo ${args.join(" ")}: deployed in ${seconds} s`);
}
