// What is looked at before a build of several minutes begins: everything whose absence would only show at its end.

import { existsSync } from "node:fs";
import { access, constants, stat } from "node:fs/promises";
import { join } from "node:path";
import { ProgramError, run } from "../../test/rig/programs.ts";
import { checkExecutable } from "./agent.ts";
import { BuildError } from "./error.ts";
import type { ImageOptions } from "./options.ts";

const PROBE_TIMEOUT_MS = 20_000;
/** Files that elements take from this machine. */
const FILE_VARIABLES = [
  "DIB_IPA_CERT",
  "DIB_IPA_CERT_FILE",
  "DIB_IPA_KEY_FILE",
  "DIB_IPA_CA_FILE",
  "DIB_DEV_USER_AUTHORIZED_KEYS",
];

/** Throws BuildError in the words of a person who would have tried it. */
export async function preflight(
  options: ImageOptions,
  settings: {
    elements: readonly string[];
    elementsPath: readonly string[];
    environment: Readonly<Record<string, string | undefined>>;
  },
): Promise<void> {
  if (process.getuid?.() !== 0)
    throw new BuildError("root is needed: diskimage-builder mounts and changes its root");
  if (options.agent !== null) await checkExecutable(options.agent, options.architecture);
  for (const variable of FILE_VARIABLES) await checkReadable(variable, settings.environment[variable]);
  await checkElements(settings.elements, settings.elementsPath);
  await checkEmulation(options);
  checkKeyring(options, settings.environment.DIB_APT_KEYRING);
}

async function checkReadable(variable: string, file: string | undefined): Promise<void> {
  // /dev/null is how the element devuser is told to take no key.
  if (file === undefined || file === "" || file === "/dev/null") return;
  try {
    await access(file, constants.R_OK);
    if (!(await stat(file)).isFile()) throw new Error("it is not a file");
  } catch (error) {
    throw new BuildError(`${variable}=${file} cannot be read: ${(error as Error).message}`);
  }
}

async function checkElements(elements: readonly string[], path: readonly string[]): Promise<void> {
  const directories = [...path, await ownElements()];
  for (const directory of path)
    if (!existsSync(directory)) throw new BuildError(`there is no directory of elements ${directory}`);
  for (const element of elements)
    if (!directories.some((directory) => existsSync(join(directory, element))))
      throw new BuildError(`there is no element "${element}" in ${directories.join(", ")}`);
}

/** Where diskimage-builder has its own. */
async function ownElements(): Promise<string> {
  const program = 'import diskimage_builder.paths; diskimage_builder.paths.show_path("elements")';
  try {
    return (await run(["/usr/bin/python3", "-c", program])).stdout.trim();
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error;
    throw new BuildError("diskimage-builder is missing: apt-get install python3-diskimage-builder");
  }
}

function checkKeyring({ distribution: { keyring, name } }: ImageOptions, own: string | undefined): void {
  const file = own === undefined || own === "" ? keyring : own;
  if (file === null || existsSync(file)) return;
  throw new BuildError(
    `the packages of ${name} could not be verified: there is no keyring ${file} (DIB_APT_KEYRING names another one)`,
  );
}

async function checkEmulation({ architecture }: ImageOptions): Promise<void> {
  const host = process.arch === "x64" ? "amd64" : process.arch;
  const emulator = { amd64: "x86_64", arm64: "aarch64" }[architecture];
  if (host === architecture || existsSync(`/proc/sys/fs/binfmt_misc/qemu-${emulator}`)) return;
  throw new BuildError(
    `this machine (${host}) cannot run programs for ${architecture}: build there, or install qemu-user-static and binfmt-support`,
  );
}

/** Throws BuildError if the mirror does not answer, or has not what is asked for. Mirrors that cannot be asked pass. */
export async function checkMirror(
  { distribution, release }: ImageOptions,
  mirror: string | null,
): Promise<void> {
  const probe = distribution.probe(release);
  if (mirror === null || probe === null || mirror.startsWith("file:")) return;
  const url = `${mirror}/${probe}`;
  let status: number;
  try {
    status = (await fetch(url, { method: "HEAD", signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) })).status;
  } catch (error) {
    throw new BuildError(
      `no network? The package mirror ${mirror} does not answer: ${(error as Error).message}`,
    );
  }
  if (status === 404)
    throw new BuildError(`the mirror ${mirror} has no release "${release}" of ${distribution.name}`);
  if (status >= 400) throw new BuildError(`the mirror ${mirror} answers ${status} to ${probe}`);
}
