// Reads what mdadm prints about arrays (--detail) and their components (--examine). Pure; the tests feed recorded output.
// Source: hardware specification 9.4; deploy specification 5.7 (array names and event counters were once taken for devices).

/** The array's UUID in mdadm's own notation, from either report; null if there is none. */
export function parseArrayUuid(report: string): string | null {
  // The first line is the device's name.
  return /UUID : ([a-f0-9]+(?::[a-f0-9]+)+)/.exec(afterFirstLine(report))?.[1] ?? null;
}

/** The array's name without the name of the host that made it; null if it has none. */
export function parseVolumeName(report: string): string | null {
  const line = afterFirstLine(report)
    .split("\n")
    .find((candidate) => candidate.includes("Name"));
  const parts = line?.split(":") ?? [];
  const named = parts.length === 3 ? parts[2] : parts.length === 2 ? parts[1] : undefined;
  const name = named?.trimStart().split(/\s/)[0] ?? "";
  return name === "" ? null : name;
}

/** Device nodes of the components in `mdadm --detail`, in its order, each once. */
export function parseComponents(detail: string): string[] {
  const components = new Set<string>();
  for (const line of afterFirstLine(detail).split("\n")) {
    if (/\b(?:Events|Name|Container)\b/.test(line)) continue;
    for (const match of line.matchAll(/(?:^|\s)(\/dev\/\S+)/g))
      if (match[1] !== undefined) components.add(match[1]);
  }
  return [...components];
}

/** False for the report of a disk that only has a partition table, which mdadm gives as well. */
export function hasSuperblock(examined: string): boolean {
  const [first = ""] = afterFirstLine(examined).trimStart().split("\n");
  return first !== "" && !first.startsWith("MBR Magic");
}

function afterFirstLine(text: string): string {
  const end = text.indexOf("\n");
  return end < 0 ? "" : text.slice(end + 1);
}
