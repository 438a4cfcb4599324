// Makes dist/sdk: the types of "ironic-agent" for those who write plug-in hardware managers, as a package that their editor and
// compiler understand. It holds no code; the agent's executable answers the import.

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AGENT_VERSION } from "../src/version.ts";
import { clientTypes } from "./client-types.ts";
import { bundleDeclarations } from "./declarations.ts";

const DIRECTORY = "dist/sdk";

export async function buildSdk(): Promise<void> {
  const sdk = bundleDeclarations(await declarationsOf("sdk.ts"), "sdk.d.ts");
  const types = `// Types of "ironic-agent" ${AGENT_VERSION}, for plug-in hardware managers.\n\n${sdk}`;
  const client = `// Types of the API of ironic-agent ${AGENT_VERSION}.\n\n${clientTypes(await declarationsOf("client.ts"))}`;
  await mkdir(DIRECTORY, { recursive: true });
  const description = {
    name: "ironic-agent",
    version: AGENT_VERSION,
    description: "Types for plug-in hardware managers of ironic-agent",
    license: "Apache-2.0",
    type: "module",
    types: "./index.d.ts",
    // Read by a compiler only: the agent answers the import itself.
    exports: { ".": { types: "./index.d.ts" }, "./client": { types: "./client.d.ts" } },
    // For "./client" alone.
    peerDependencies: { "@elysiajs/eden": ">=1.4.0", elysia: ">=1.4.0" },
    peerDependenciesMeta: { "@elysiajs/eden": { optional: true }, elysia: { optional: true } },
  };
  await writeFile(join(DIRECTORY, "package.json"), `${JSON.stringify(description, null, 2)}\n`);
  await writeFile(join(DIRECTORY, "index.d.ts"), types);
  await writeFile(join(DIRECTORY, "client.d.ts"), client);
  await writeFile(join(DIRECTORY, "README.md"), README);
  console.log(`${DIRECTORY}  types of "ironic-agent" ${AGENT_VERSION}`);
}

/** Declarations of `entry` and all it imports, by path below src. */
async function declarationsOf(entry: string): Promise<ReadonlyMap<string, string>> {
  const directory = await mkdtemp(join(tmpdir(), "sdk-"));
  try {
    const config = {
      extends: join(process.cwd(), "tsconfig.json"),
      compilerOptions: {
        noEmit: false,
        declaration: true,
        emitDeclarationOnly: true,
        rootDir: join(process.cwd(), "src"),
        outDir: directory,
        typeRoots: [join(process.cwd(), "node_modules/@types"), join(process.cwd(), "node_modules")],
      },
      include: [],
      files: [join(process.cwd(), "src", entry)],
    };
    const project = join(directory, "tsconfig.json");
    await writeFile(project, JSON.stringify(config));
    const compiler = Bun.spawn(["node_modules/.bin/tsc", "--project", project], { stdout: "inherit" });
    if ((await compiler.exited) !== 0) throw new Error(`the types of src/${entry} could not be made`);
    const paths = await Array.fromAsync(new Bun.Glob("**/*.d.ts").scan(directory));
    return new Map(
      await Promise.all(
        paths.map(async (path) => [path, await readFile(join(directory, path), "utf8")] as const),
      ),
    );
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

const README = `# ironic-agent: types for plug-in hardware managers

This package holds types only. A plug-in is one TypeScript or JavaScript file in
\`/etc/ironic-python-agent.d/hardware-managers/\` of the ramdisk; the agent's executable answers its
\`import … from "ironic-agent"\` itself, so nothing of this package goes into the ramdisk.

    npm install --save-dev ./ironic-agent-sdk-${AGENT_VERSION}.tgz typescript
    npx tsc --noEmit --strict --target esnext --module preserve --lib esnext,dom my-manager.ts

How to write a plug-in, with examples: docs/hardware-managers.md of ironic-agent.
`;
