// The software bill of materials: what the executable is made of beside our own sources, as CycloneDX 1.5. Versions and
// checksums come from bun.lock, licences from the packages that were built with.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";

const Manifest = Type.Object({
  name: Type.String(),
  version: Type.String(),
  description: Type.Optional(Type.String()),
  license: Type.Optional(Type.String()),
});
const Requirements = Type.Object({
  dependencies: Type.Optional(Type.Record(Type.String(), Type.String())),
  peerDependencies: Type.Optional(Type.Record(Type.String(), Type.String())),
  optionalPeers: Type.Optional(Type.Array(Type.String())),
});
const Lock = Type.Object({
  workspaces: Type.Object({ "": Requirements }),
  /** By the path in node_modules: name@version, registry, requirements, checksum. */
  packages: Type.Record(Type.String(), Type.Array(Type.Unknown())),
});

type Locked = {
  /** Below node_modules, with the packages it is nested in. */
  key: string;
  name: string;
  version: string;
  needs: readonly string[];
  sha512: string;
};

/** The bill as text, the same for the same sources. `root` holds package.json, bun.lock and node_modules; `time` is seconds since 1970. */
export async function billOfMaterials(root: string, time: number): Promise<string> {
  const own = await manifestOf(root);
  const bun = await manifestOf(join(root, "node_modules/bun"));
  const lock = Value.Parse(Lock, Bun.JSONC.parse(await readFile(join(root, "bun.lock"), "utf8")));
  const { packages, direct } = bundledPackages(lock);
  const runtime = `pkg:npm/bun@${bun.version}`;
  const components = await Promise.all(
    packages.map(async ({ key, name, version, sha512 }) => {
      // A nested package's key is the way to it: "@scope/outer/inner".
      const path = (key.match(/(?:@[^/]+\/)?[^/]+/g) ?? []).join("/node_modules/");
      const manifest = await manifestOf(join(root, "node_modules", path));
      if (manifest.version !== version)
        throw new Error(
          `node_modules/${path} is ${manifest.version}, and bun.lock says ${version}: run bun install`,
        );
      return {
        type: "library",
        "bom-ref": packageUrl(name, version),
        name,
        version,
        purl: packageUrl(name, version),
        hashes: [{ alg: "SHA-512", content: sha512 }],
        licenses: licencesOf(manifest),
      };
    }),
  );
  const agent = `pkg:generic/${own.name}@${own.version}`;
  const bill = {
    $schema: "http://cyclonedx.org/schema/bom-1.5.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.5",
    version: 1,
    metadata: {
      timestamp: new Date(time * 1000).toISOString().replace(".000Z", "Z"),
      component: {
        type: "application",
        "bom-ref": agent,
        name: own.name,
        version: own.version,
        description: own.description,
        purl: agent,
        licenses: licencesOf(own),
      },
    },
    components: [
      ...components,
      {
        type: "platform",
        "bom-ref": runtime,
        name: "bun",
        version: bun.version,
        description: "The JavaScript runtime inside the executable",
        purl: runtime,
        licenses: licencesOf(bun),
      },
    ],
    dependencies: [
      { ref: agent, dependsOn: [...direct.map((one) => packageUrl(one.name, one.version)), runtime] },
      ...packages.map((one) => ({
        ref: packageUrl(one.name, one.version),
        dependsOn: needsOf(one, lock).map((need) => packageUrl(need.name, need.version)),
      })),
      { ref: runtime, dependsOn: [] },
    ],
  };
  return `${JSON.stringify({ ...bill, serialNumber: serialNumber(JSON.stringify(bill)) }, null, 2)}\n`;
}

/** What the executable's sources import, directly and through others; nothing that only development needs. */
function bundledPackages(lock: Static<typeof Lock>): { packages: Locked[]; direct: Locked[] } {
  const direct = Object.keys(lock.workspaces[""].dependencies ?? {}).map((name) => lockedAs(lock, name));
  const found = new Map<string, Locked>();
  const add = (one: Locked) => {
    if (found.has(one.key)) return;
    found.set(one.key, one);
    for (const need of needsOf(one, lock)) add(need);
  };
  for (const one of direct) add(one);
  return { packages: [...found.values()].sort((a, b) => (a.key < b.key ? -1 : 1)), direct };
}

function needsOf(one: Locked, lock: Static<typeof Lock>): Locked[] {
  return one.needs.map((name) => {
    // The nearest copy: nested below the package, or below one it is nested in, or at the top.
    const parts = one.key.split("/");
    for (let length = parts.length; length > 0; length--) {
      const key = [...parts.slice(0, length), name].join("/");
      if (Object.hasOwn(lock.packages, key)) return lockedAs(lock, key);
    }
    return lockedAs(lock, name);
  });
}

function lockedAs(lock: Static<typeof Lock>, key: string): Locked {
  const [id, , requirements = {}, integrity] = lock.packages[key] ?? [];
  const at = typeof id === "string" ? id.lastIndexOf("@") : -1;
  if (typeof id !== "string" || at < 1 || typeof integrity !== "string" || !integrity.startsWith("sha512-"))
    throw new Error(`bun.lock tells no version and SHA-512 of ${key}`);
  const {
    dependencies = {},
    peerDependencies = {},
    optionalPeers = [],
  } = Value.Parse(Requirements, requirements);
  const peers = Object.keys(peerDependencies).filter((name) => !optionalPeers.includes(name));
  return {
    key,
    name: id.slice(0, at),
    version: id.slice(at + 1),
    needs: [...new Set([...Object.keys(dependencies), ...peers])].sort(),
    sha512: Buffer.from(integrity.slice("sha512-".length), "base64").toString("hex"),
  };
}

async function manifestOf(directory: string): Promise<Static<typeof Manifest>> {
  const file = join(directory, "package.json");
  try {
    return Value.Parse(Manifest, JSON.parse(await readFile(file, "utf8")));
  } catch (error) {
    throw new Error(`${file} cannot be used for the bill of materials: ${(error as Error).message}`);
  }
}

/** An SPDX identifier, or an expression of several. A package that names none is a fault of ours to be looked at. */
function licencesOf({ name, license }: Static<typeof Manifest>): object[] {
  if (license === undefined) throw new Error(`${name} names no licence`);
  return [/[ (]/.test(license) ? { expression: license } : { license: { id: license } }];
}

function packageUrl(name: string, version: string): string {
  return `pkg:npm/${name.replace("@", "%40")}@${version}`;
}

/** A UUID made of the content, in the form of version 5, so that the same release has the same. */
function serialNumber(content: string): string {
  const hex = createHash("sha256").update(content).digest("hex");
  const variant = "89ab"[Number.parseInt(hex.charAt(16), 16) & 3];
  return `urn:uuid:${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
