// Every link mode by its name: the kernel's names say the speed. The fixture holds those of Linux 6.1's header; the newer ones follow
// here, as later headers have them.

import { expect, test } from "bun:test";
import { fastestLink } from "../../src/hardware/link-speed.ts";

/** Names and numbers (ETHTOOL_LINK_MODE_<name>_BIT) that came after Linux 6.1. */
const NEWER: readonly (readonly [name: string, bit: number])[] = [
  ["800000baseCR8_Full", 93],
  ["800000baseVR8_Full", 98],
  ["10baseT1S_Full", 99],
  ["10baseT1BRR_Full", 102],
  ["200000baseCR_Full", 103],
  ["200000baseVR_Full", 108],
  ["400000baseCR2_Full", 109],
  ["400000baseVR2_Full", 114],
  ["800000baseCR4_Full", 115],
  ["800000baseVR4_Full", 120],
];

async function known(): Promise<(readonly [name: string, bit: number])[]> {
  const text = await Bun.file(`${import.meta.dir}/../fixtures/ethtool/link-modes.txt`).text();
  return text
    .trim()
    .split("\n")
    .map((line) => {
      const [name = "", bit = ""] = line.split(" ");
      return [name, Number(bit)] as const;
    });
}

test("a mode has the speed that its name begins with, and no speed if that is no number", async () => {
  const modes = [...(await known()), ...NEWER];
  expect(modes.length).toBeGreaterThan(90);
  const wrong = modes.filter(([name, bit]) => {
    const megabits = /^(\d+)base/.exec(name)?.[1];
    return fastestLink([bit]) !== (megabits === undefined ? null : Number(megabits));
  });
  expect(wrong).toEqual([]);
});

test("the fastest of several counts; a mode of a kernel that does not exist yet does not", () => {
  expect(fastestLink([0, 5, 3, 6])).toBe(1000);
  expect(fastestLink([5, 500])).toBe(1000);
  expect(fastestLink([])).toBeNull();
});
