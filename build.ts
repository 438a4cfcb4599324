// Makes dist/ironic-python-agent-<target>: one executable that needs nothing but glibc; and dist/sdk: types for plug-ins.
//
//   bun run build.ts [--target x64|arm64]…     default: x64 (baseline: no AVX2 needed)
//   bun run build.ts --release                 all targets, and dist/release with everything that a release has
//
// The other runtimes come through the npm registry, so cross-building works anywhere the registry is reached.

import { mkdir, rm, stat } from "node:fs/promises";
import { parseArgs } from "node:util";
import { makeRelease } from "./build/release.ts";
import { buildSdk } from "./build/sdk.ts";

const TARGETS = { x64: "bun-linux-x64-baseline", arm64: "bun-linux-arm64" } as const;
type Target = keyof typeof TARGETS;

const { values } = parseArgs({
  options: {
    target: { type: "string", multiple: true, default: ["x64"] },
    release: { type: "boolean", default: false },
  },
});
const names = values.release ? Object.keys(TARGETS) : values.target;
for (const name of names) {
  if (Object.hasOwn(TARGETS, name)) continue;
  console.error(`build.ts: unknown target "${name}"; known: ${Object.keys(TARGETS).join(", ")}`);
  process.exit(2);
}
try {
  const executables: string[] = [];
  for (const name of names) executables.push(await build(name as Target));
  await buildSdk();
  if (values.release) await makeRelease(executables);
} catch (error) {
  // The bundler's own error only says that there are some.
  const causes = error instanceof AggregateError ? error.errors : [error];
  for (const cause of causes) console.error(`build.ts: ${cause instanceof Error ? cause.message : cause}`);
  process.exit(1);
}

/** The path of the executable. */
async function build(target: Target): Promise<string> {
  const started = performance.now();
  await mkdir("dist", { recursive: true });
  const outfile = `dist/ironic-python-agent-linux-${target}`;
  const result = await Bun.build({
    entrypoints: ["src/main.ts"],
    target: "bun",
    // Bytecode halves the time to the first answer. Identifiers are kept: renaming them has broken Elysia.
    bytecode: true,
    format: "esm",
    // For the places in the code in DEBUG lines, and for traces that can be read: 2 MB, and nothing at the start.
    sourcemap: "inline",
    minify: { whitespace: true, syntax: true, identifiers: false },
    compile: {
      target: TARGETS[target],
      outfile,
      // Servers are verified with the CAs of the ramdisk, where operators put theirs, and not only with those the runtime brings.
      execArgv: ["--use-system-ca"],
      // A root process must not take settings from whatever directory it is started in.
      autoloadDotenv: false,
      autoloadBunfig: false,
      autoloadTsconfig: false,
      autoloadPackageJson: false,
    },
  });
  if (!result.success) {
    for (const message of result.logs) console.error(String(message));
    process.exit(1);
  }
  // The runtime has its copy inside the executable.
  await rm(`${outfile}.map`, { force: true });
  const { size } = await stat(outfile);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${outfile}  ${(size / 1e6).toFixed(1)} MB  ${seconds} s`);
  return outfile;
}
