// IP addresses as text, checked and brought into their canonical form.
// Not with the runtime's URL parser, which refuses some valid addresses with an IPv4 part.

const GROUPS = 8;

/** The canonical form (RFC 5952) of an IPv6 address without zone or prefix length; null if `text` is none. */
export function canonicalIpv6(text: string): string | null {
  const groups = parseGroups(text);
  if (groups === null) return null;
  const { start, length } = longestZeros(groups);
  const hex = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(":");
  return length < 2 ? hex(0, GROUPS) : `${hex(0, start)}::${hex(start + length, GROUPS)}`;
}

/** Four decimal numbers without leading zeros. */
export function isIpv4(text: string): boolean {
  return parseIpv4(text) !== null;
}

function parseGroups(text: string): number[] | null {
  const halves = text.split("::").map(parseHalf);
  const [left, right, more] = halves;
  if (left === undefined || left === null || right === null || more !== undefined) return null;
  if (right === undefined) return left.length === GROUPS ? left : null;
  const missing = GROUPS - left.length - right.length;
  return missing < 1 ? null : [...left, ...Array<number>(missing).fill(0), ...right];
}

/** The groups on one side of `::`; an IPv4 address at the end is two. */
function parseHalf(text: string, index: number, halves: readonly string[]): number[] | null {
  if (text === "") return halves.length === 1 ? null : [];
  const parts = text.split(":");
  const groups: number[] = [];
  for (const [position, part] of parts.entries()) {
    const ipv4 = index === halves.length - 1 && position === parts.length - 1 ? parseIpv4(part) : null;
    if (ipv4 !== null) groups.push(...ipv4);
    else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16));
    else return null;
  }
  return groups;
}

/** As two groups of 16 bits. */
function parseIpv4(text: string): [number, number] | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  const [a, b, c, d] = (match?.slice(1) ?? []).map((part) =>
    /^0\d/.test(part) || Number(part) > 255 ? Number.NaN : Number(part),
  );
  if (a === undefined || b === undefined || c === undefined || d === undefined) return null;
  return Number.isNaN(a + b + c + d) ? null : [a * 256 + b, c * 256 + d];
}

/** The first of the longest runs. */
function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let longest = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start += 1) {
    let length = 0;
    while (groups[start + length] === 0) length += 1;
    if (length > longest.length) longest = { start, length };
  }
  return longest;
}
