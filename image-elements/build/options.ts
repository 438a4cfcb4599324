// The command line of `bun run image`: the options of ironic-python-agent-builder, and a few of ours.

import { statSync } from "node:fs";
import { basename, resolve } from "node:path";
import { parseArgs } from "node:util";
import { DISTRIBUTIONS, type Distribution, distributionNamed } from "./distributions.ts";
import { splitWords } from "./words.ts";

export const ARCHITECTURES = ["amd64", "arm64"] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

export interface ImageOptions {
  distribution: Distribution;
  release: string;
  /** Absolute path that .kernel, .initramfs and the rest are appended to. */
  output: string;
  /** Elements beside the distribution's and the agent's, in the order given. */
  elements: string[];
  /** Directories of elements, before ours. */
  elementsPath: string[];
  /** Commit, branch or tag the agent is built from; null for the sources as they are. */
  branch: string | null;
  /** A ready executable instead of one that is built. */
  agent: string | null;
  architecture: Architecture;
  lzma: boolean;
  iso: boolean;
  /** Kernel parameters on the ISO. */
  kernelParameters: string;
  /** Package mirror; null for the one of apt (Debian) or of the element (others). */
  mirror: string | null;
  /** For disk-image-create as they are. */
  extraArguments: string[];
  verbose: boolean;
}

/** As ironic-python-agent-builder has it. */
const DEFAULT_NAME = "ironic-python-agent";
const ISO_PARAMETERS = "console=ttyS0,115200 console=tty0";

export const USAGE = `usage: bun run image -- --distro NAME [OPTIONS]      (or npm run image -- …)

Builds a ramdisk with the agent by diskimage-builder: OUTPUT.kernel, OUTPUT.initramfs, their checksums in
OUTPUT.sha256, and the list of packages in OUTPUT.packages.json.

  --distro NAME            ${DISTRIBUTIONS.map(({ name }) => name).join(", ")}; may also be given without --distro
  -r, --release NAME       release of the distribution
  -o, --output PATH        where the results go, without an ending (default ${DEFAULT_NAME});
                           or a directory that gets them by that name
  -e, --element NAME       a further element, as often as wanted: dynamic-login, devuser, ironic-agent-tls, …
  --elements-path DIRS     directories of elements of yours, separated by colons
  -b, --branch REF         build the agent from this commit, branch or tag instead of the sources as they are
  --agent FILE             use this executable instead of building one
  -a, --arch ARCH          amd64 (default) or arm64
  --lzma                   compress with lzma: smaller, and much slower to build and to boot
  --iso                    also make OUTPUT.iso, which boots by BIOS and by UEFI
  --kernel-params WORDS    kernel parameters on the ISO (default "${ISO_PARAMETERS}")
  --mirror URL             package mirror (default: the one apt uses here, for Debian)
  --extra-args ARGS        further arguments for disk-image-create
  -v, --verbose            show all that diskimage-builder says, with tracing
  -h, --help               this text

The variables of the elements (DIB_IPA_CERT_FILE, DIB_DEV_USER_USERNAME …) are taken from the environment.
`;

/** A wrong command line; the message is one line for the user. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Null when help was asked for. Throws UsageError. */
export function parseOptions(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): ImageOptions | null {
  const { values, positionals } = parsed(args);
  if (values.help) return null;
  const [first, ...more] = positionals;
  const name = values.distro ?? first;
  if (name === undefined)
    throw new UsageError("which distribution? --distro NAME (--help tells which there are)");
  if (more.length > 0 || (values.distro !== undefined && first !== undefined))
    throw new UsageError(
      `one distribution is enough: ${[name, ...positionals.filter((word) => word !== name)].join(", ")}`,
    );
  const distribution = distributionNamed(name);
  if (distribution === null) {
    const known = DISTRIBUTIONS.map((known) => known.name).join(", ");
    throw new UsageError(`there is no distribution "${name}"; known: ${known}`);
  }
  const architecture = architectureNamed(values.arch ?? environment.ARCH ?? "amd64");
  if (values.iso && architecture !== "amd64") throw new UsageError("--iso is for amd64 only");
  if (values.agent !== undefined && values.branch !== undefined)
    throw new UsageError("--agent and --branch exclude each other: one is ready, the other is built");
  const output = outputOf(values.output);
  return {
    distribution,
    release: values.release ?? environment.DIB_RELEASE ?? distribution.release,
    output,
    elements: values.element.flatMap((element) => element.split(",")),
    elementsPath: [values["elements-path"], environment.ELEMENTS_PATH]
      .flatMap((path) => path?.split(":") ?? [])
      .filter((path) => path !== "")
      .map((path) => resolve(path)),
    branch: values.branch ?? null,
    agent: values.agent === undefined ? null : resolve(values.agent),
    architecture,
    lzma: values.lzma,
    iso: values.iso,
    kernelParameters: values["kernel-params"],
    mirror: values.mirror === undefined ? null : mirrorUrl(values.mirror),
    extraArguments: words("--extra-args", values["extra-args"]),
    verbose: values.verbose,
  };
}

/** Where the results go; in a directory, if that is what was named, by the name they have elsewhere. */
function outputOf(text: string): string {
  const directory = text.endsWith("/") || isDirectory(text);
  const output = directory ? resolve(text, DEFAULT_NAME) : resolve(text);
  if (text === "" || !/^[A-Za-z0-9][\w.+-]*$/.test(basename(output)))
    throw new UsageError(`--output must end with a file name without blanks, not "${text}"`);
  return output;
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: joined(args),
      allowPositionals: true,
      options: {
        distro: { type: "string" },
        release: { type: "string", short: "r" },
        output: { type: "string", short: "o", default: DEFAULT_NAME },
        element: { type: "string", short: "e", multiple: true, default: [] },
        "elements-path": { type: "string" },
        branch: { type: "string", short: "b" },
        agent: { type: "string" },
        arch: { type: "string", short: "a" },
        lzma: { type: "boolean", default: false },
        iso: { type: "boolean", default: false },
        "kernel-params": { type: "string", default: ISO_PARAMETERS },
        mirror: { type: "string" },
        "extra-args": { type: "string", default: "" },
        verbose: { type: "boolean", short: "v", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
  } catch (error) {
    // parseArgs explains how to pass a positional argument that looks like an option: not needed here.
    const [first = ""] = (error as Error).message.split(/\. |\n/);
    throw new UsageError(`${first} (--help tells what there is)`);
  }
}

/** Options whose values begin with a hyphen themselves are put into one word with them, which parseArgs wants. */
function joined(args: readonly string[]): string[] {
  const words = [...args];
  for (const option of ["--extra-args", "--kernel-params"]) {
    const at = words.indexOf(option);
    if (at >= 0 && at + 1 < words.length) words.splice(at, 2, `${option}=${words[at + 1]}`);
  }
  return words;
}

function architectureNamed(name: string): Architecture {
  const names: Record<string, Architecture> = { x86_64: "amd64", aarch64: "arm64" };
  const architecture = ARCHITECTURES.find((known) => known === (names[name] ?? name));
  if (architecture === undefined)
    throw new UsageError(`there is no agent for ${name}, only for ${ARCHITECTURES.join(" and ")}`);
  return architecture;
}

function mirrorUrl(text: string): string {
  if (!/^(?:https?|file):\/\/\S+$/.test(text)) throw new UsageError(`--mirror must be a URL, not "${text}"`);
  return text.replace(/\/+$/, "");
}

function words(option: string, text: string): string[] {
  const split = splitWords(text);
  if (split === null) throw new UsageError(`${option} has a quotation mark without its partner: ${text}`);
  return split;
}
