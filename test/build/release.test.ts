// The parts of a release whose bytes are of our making. That whole releases are the same: npm run test:release.

import { expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { archiveOf } from "../../build/archive.ts";
import { billOfMaterials } from "../../build/sbom.ts";
import { rejection } from "../support/rejection.ts";

const ROOT = resolve(import.meta.dir, "../..");
const TIME = 1_700_000_000;

async function inTemporaryDirectory(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "release-test-"));
  try {
    await work(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function makeFiles(directory: string, names: readonly string[], mtime: number): Promise<void> {
  await mkdir(join(directory, "files"), { recursive: true });
  for (const name of names) {
    const path = join(directory, name);
    await writeFile(path, `content of ${name}\n`);
    await chmod(path, name.endsWith(".sh") ? 0o700 : 0o600);
    await utimes(path, mtime, mtime);
  }
}

test("an archive depends on nothing but names, contents and what can be run", async () => {
  await inTemporaryDirectory(async (directory) => {
    const names = ["build.sh", "files/agent", "Makefile"];
    await makeFiles(join(directory, "a"), names, 1000);
    await makeFiles(join(directory, "elsewhere"), names.toReversed(), 2000);
    await chmod(join(directory, "elsewhere/build.sh"), 0o755);
    const archive = await archiveOf(join(directory, "a"), "x-1", TIME);
    expect(Buffer.from(await archiveOf(join(directory, "elsewhere"), "x-1", TIME)).equals(archive)).toBe(
      true,
    );

    await writeFile(join(directory, "x.tar.gz"), archive);
    const listing = Bun.spawn(["tar", "--utc", "-tvzf", join(directory, "x.tar.gz")], { stdout: "pipe" });
    expect((await listing.stdout.text()).trim().split("\n")).toEqual([
      "-rw-r--r-- root/root        20 2023-11-14 22:13 x-1/Makefile",
      "-rwxr-xr-x root/root        20 2023-11-14 22:13 x-1/build.sh",
      "drwxr-xr-x root/root         0 2023-11-14 22:13 x-1/files/",
      "-rw-r--r-- root/root        23 2023-11-14 22:13 x-1/files/agent",
    ]);

    await writeFile(
      join(directory, "y.tar.gz"),
      await archiveOf(join(directory, "a"), "y", TIME, { leaveOut: ["files", "build.sh"] }),
    );
    const shorter = Bun.spawn(["tar", "-tzf", join(directory, "y.tar.gz")], { stdout: "pipe" });
    expect(await shorter.stdout.text()).toBe("y/Makefile\n");

    await symlink("/etc/passwd", join(directory, "a/link"));
    expect(String(await rejection(archiveOf(join(directory, "a"), "x-1", TIME)))).toContain(
      "a/link is neither",
    );
  });
});

test("the bill of materials names every dependency with version, checksum and licence, and is the same each time", async () => {
  const text = await billOfMaterials(ROOT, TIME);
  expect(await billOfMaterials(ROOT, TIME)).toBe(text);
  const bill = JSON.parse(text);
  expect(bill).toMatchObject({ bomFormat: "CycloneDX", specVersion: "1.5", version: 1 });
  expect(bill.metadata.timestamp).toBe("2023-11-14T22:13:20Z");
  expect(bill.serialNumber).toMatch(
    /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  );

  const manifest = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  const versions = new Map(
    bill.components.map((one: { name: string; version: string }) => [one.name, one.version]),
  );
  for (const [name, version] of Object.entries(manifest.dependencies))
    expect(versions.get(name)).toBe(version);
  expect(versions.get("bun")).toBe(manifest.devDependencies.bun);
  for (const name of ["typescript", "@biomejs/biome", "fast-check"]) expect(versions.has(name)).toBe(false);

  const references = new Set<string>([bill.metadata.component["bom-ref"]]);
  for (const component of bill.components) {
    references.add(component["bom-ref"]);
    expect(component.licenses).toHaveLength(1);
    if (component.type === "library") expect(component.hashes[0].content).toMatch(/^[0-9a-f]{128}$/);
  }
  expect(references.size).toBe(bill.components.length + 1);
  for (const { ref, dependsOn } of bill.dependencies)
    for (const reference of [ref, ...dependsOn]) expect(references).toContain(reference);
});

test("everything that is bundled into the executable is on the bill", async () => {
  const bundle = await Bun.build({ entrypoints: [join(ROOT, "src/main.ts")], target: "bun", metafile: true });
  const bundled = new Set(
    Object.keys(bundle.metafile?.inputs ?? {}).flatMap(
      (path) => /.*\bnode_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.slice(1) ?? [],
    ),
  );
  expect(bundled).toContain("elysia");
  const bill = JSON.parse(await billOfMaterials(ROOT, TIME));
  const listed = new Set(bill.components.map(({ name }: { name: string }) => name));
  expect([...bundled].filter((name) => !listed.has(name))).toEqual([]);
});

test("packages that are not those of bun.lock stop a release", async () => {
  await inTemporaryDirectory(async (directory) => {
    const lock = await readFile(join(ROOT, "bun.lock"), "utf8");
    await writeFile(join(directory, "bun.lock"), lock.replace('"yaml@2.9.1"', '"yaml@2.9.0"'));
    await writeFile(join(directory, "package.json"), await readFile(join(ROOT, "package.json"), "utf8"));
    await symlink(join(ROOT, "node_modules"), join(directory, "node_modules"));
    const refusal = await rejection(billOfMaterials(directory, TIME));
    expect(String(refusal)).toBe(
      "Error: node_modules/yaml is 2.9.1, and bun.lock says 2.9.0: run bun install",
    );
  });
});
