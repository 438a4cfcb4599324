// Which boot loaders an EFI system partition offers, best first, and what its vendor wants the firmware to call them.
// Source of the rules: deploy specification 5.3.

import type { Files } from "../system/files.ts";

export type EfiLoader = {
  /** From the root of the ESP, with slashes: `EFI/debian/shimx64.efi`. */
  readonly path: string;
  /** What the vendor's CSV says; null without one. */
  readonly label: string | null;
};

/** Suffix of EFI file names for the runtime's architecture names. */
const EFI_ARCHITECTURE: Readonly<Record<string, string>> = { x64: "x64", arm64: "aa64" };

/** A CSV is a few hundred bytes; whatever is larger is no loader list. */
const CSV_LIMIT = 65_536;
/** Deepest directory below the ESP's root that is searched; vendors use two. */
const MAX_DEPTH = 4;

/**
 * Loaders on the ESP mounted at `root`, for `architecture` (x64, arm64).
 * A vendor's CSV alone, if there is one whose file exists; else the firmware's default names; else well-known vendor paths.
 */
export async function findEfiLoaders(files: Files, root: string, architecture: string): Promise<EfiLoader[]> {
  const suffix = EFI_ARCHITECTURE[architecture] ?? architecture;
  const found = (await walk(files, root, "", MAX_DEPTH)).sort();
  const named = await loaderFromCsv(files, root, found, suffix);
  if (named !== null) return [named];
  const defaults = found.filter((path) => baseName(path) === `boot${suffix}.efi`);
  const paths = defaults.length > 0 ? defaults : wellKnown(found, suffix);
  return paths.map((path) => ({ path, label: null }));
}

/** CSVs of vendors before others, that of the architecture before the general one. */
async function loaderFromCsv(
  files: Files,
  root: string,
  found: readonly string[],
  suffix: string,
): Promise<EfiLoader | null> {
  const rank = (path: string) =>
    (/^efi\/(?!boot\/)[^/]+\//i.test(path) ? 0 : 2) + (baseName(path) === `boot${suffix}.csv` ? 0 : 1);
  const candidates = found
    .filter((path) => [`boot${suffix}.csv`, "boot.csv"].includes(baseName(path)))
    .sort((a, b) => rank(a) - rank(b));
  for (const csv of candidates) {
    const entry = parseLoaderCsv(await files.readBytes(`${root}/${csv}`, CSV_LIMIT));
    const directory = csv.slice(0, csv.lastIndexOf("/") + 1);
    // FAT is case-insensitive; the name on the medium is the one to give to the firmware.
    const path = found.find((known) => known.toLowerCase() === `${directory}${entry?.file}`.toLowerCase());
    if (entry !== null && path !== undefined) return { path, label: entry.label };
  }
  return null;
}

/** First line of a shim CSV (`file,label,options,description`), UTF-16 with or without BOM, or UTF-8; null if unusable. */
export function parseLoaderCsv(bytes: Uint8Array): { file: string; label: string | null } | null {
  const line = decode(bytes)
    .replace(/^\uFEFF/, "")
    .split(/[\r\n]/)
    .map((text) => text.replaceAll("\0", "").trim())
    .find((text) => text !== "");
  const [file = "", label = ""] = (line ?? "").split(",").map((field) => field.trim());
  if (file === "" || file.includes("/") || file.includes("\\")) return null;
  return { file, label: label === "" ? null : label };
}

function decode(bytes: Uint8Array): string {
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder("utf-16be").decode(bytes);
  // ASCII text in UTF-16LE has a zero in every second byte; UTF-8 text has none.
  const wide = (bytes[0] === 0xff && bytes[1] === 0xfe) || bytes[1] === 0;
  return new TextDecoder(wide ? "utf-16le" : "utf-8").decode(bytes);
}

/** Fall-backs for partitions that carry neither a CSV nor the firmware's default name, in order of preference. */
function wellKnown(found: readonly string[], suffix: string): string[] {
  const patterns = [
    new RegExp(`^efi/[^/]+/shim${suffix}\\.efi$`, "i"),
    new RegExp(`^efi/[^/]+/grub${suffix}\\.efi$`, "i"),
    new RegExp(`^efi/systemd/systemd-boot${suffix}\\.efi$`, "i"),
    /^efi\/linux\/[^/]+\.efi$/i,
    /^efi\/microsoft\/boot\/bootmgfw\.efi$/i,
  ];
  for (const pattern of patterns) {
    const matches = found.filter((path) => pattern.test(path));
    if (matches.length > 0) return matches;
  }
  return [];
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1).toLowerCase();
}

async function walk(files: Files, root: string, directory: string, depth: number): Promise<string[]> {
  const found: string[] = [];
  for (const name of await files.list(`${root}/${directory}`)) {
    const path = `${directory}${name}`;
    const kind = await files.kind(`${root}/${path}`);
    if (kind === "file") found.push(path);
    if (kind === "directory" && depth > 1) found.push(...(await walk(files, root, `${path}/`, depth - 1)));
  }
  return found;
}
