// What a release is: the executables, types for plug-ins, the image elements, the bill of materials, and the checksums of
// all of them, in dist/release. Two builds of the same commit are the same to the last bit, wherever they were made.

import { createHash } from "node:crypto";
import { copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { AGENT_VERSION } from "../src/version.ts";
import { archiveOf } from "./archive.ts";
import { billOfMaterials } from "./sbom.ts";

const DIRECTORY = "dist/release";
/** Of image-elements: the command around the elements, which needs the whole repository. */
const NOT_ELEMENTS = ["build.ts", "build"];
const UNFINISHED = "dist/.release-unfinished";

/** Puts a release together from what has been built. Takes the place of an earlier one only once it is whole. */
export async function makeRelease(executables: readonly string[]): Promise<void> {
  await rm(UNFINISHED, { recursive: true, force: true });
  await mkdir(UNFINISHED, { recursive: true });
  try {
    const time = await releaseTime();
    for (const path of executables) await copyFile(path, join(UNFINISHED, basename(path)));
    const name = `ironic-agent-${AGENT_VERSION}`;
    const put = (file: string, content: string | Uint8Array) => writeFile(join(UNFINISHED, file), content);
    // What npm makes of a package: everything below package/.
    await put(`ironic-agent-sdk-${AGENT_VERSION}.tgz`, await archiveOf("dist/sdk", "package", time));
    const elements = `ironic-agent-image-elements-${AGENT_VERSION}`;
    const leaveOut = NOT_ELEMENTS;
    await put(`${elements}.tar.gz`, await archiveOf("image-elements", elements, time, { leaveOut }));
    await put(`${name}.cdx.json`, await billOfMaterials(".", time));
    await put("SHA256SUMS", await checksums(UNFINISHED));
    await rm(DIRECTORY, { recursive: true, force: true });
    await rename(UNFINISHED, DIRECTORY);
  } finally {
    await rm(UNFINISHED, { recursive: true, force: true });
  }
  for (const file of (await readdir(DIRECTORY)).sort()) console.log(`${DIRECTORY}/${file}`);
}

/** For `sha256sum --check SHA256SUMS`. */
async function checksums(directory: string): Promise<string> {
  const lines: string[] = [];
  for (const file of (await readdir(directory)).sort()) {
    const digest = createHash("sha256")
      .update(await readFile(join(directory, file)))
      .digest("hex");
    lines.push(`${digest}  ${file}\n`);
  }
  return lines.join("");
}

/** Seconds since 1970 for everything that carries a time: SOURCE_DATE_EPOCH, or that of the commit. */
async function releaseTime(): Promise<number> {
  const given = process.env.SOURCE_DATE_EPOCH;
  if (given !== undefined) {
    if (!/^\d{1,10}$/.test(given))
      throw new Error(`SOURCE_DATE_EPOCH must be seconds since 1970, not "${given}"`);
    return Number(given);
  }
  const git = Bun.spawn(["git", "log", "-1", "--format=%ct"], { stdout: "pipe", stderr: "pipe" });
  const text = (await git.stdout.text()).trim();
  if ((await git.exited) !== 0 || !/^\d+$/.test(text))
    throw new Error("git tells no commit whose time the release could carry: set SOURCE_DATE_EPOCH");
  return Number(text);
}
