// Root device hints against the reference's own code: ironic-lib (Debian's package python3-ironic-lib), which is what the Python agent
// and the conductor match with. The test is left out where it is not installed (npm run test:ironic installs it); the rules and
// their odd corners are in root-device-hints.test.ts, which runs everywhere.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { findDevicesByHints, RootDeviceHintError } from "../../src/hardware/root-device-hints.ts";
import type { JsonObject } from "../../src/json.ts";
import { disk } from "./support.ts";

const PYTHON = "/usr/bin/python3";
const CASES = 2000;

/** Reads cases as lines of JSON and answers each with the numbers of the matching devices, or null for an error. */
const REFERENCE = `
import json, sys
from ironic_lib import utils
for line in sys.stdin:
    hints, devices = json.loads(line)
    try:
        found = [device["number"] for device in utils.find_devices_by_hints(devices, hints)]
    except Exception:
        found = None
    print(json.dumps(found, separators=(",", ":")))
`;

/** What an operator may write, and what he may write by mistake. White space beyond ASCII is left out: the libraries differ in it. */
const OPERATORS = "== = != <in> >= <= > < s== s!= s<= s< s>= s> <or> <all-in>".split(" ");
const VALUES =
  "foo Foo s in> or> none None true yes 1 50 50.5 0 -3 +7 1_000 931 inf nan 1e3 x=y 0:0:0:0 /dev/sda äö İ ß %20 a%b ['a'] ' \" \\"
    .split(" ")
    .concat("foo bar", "\t", "\n", "  ", "");
const word = fc.constantFrom(...OPERATORS, ...VALUES);
const expression = fc
  .tuple(fc.array(word, { minLength: 1, maxLength: 6 }), fc.constantFrom("", " "))
  .map(([words, between]) => words.join(between));
const HINTS = "size rotational model serial wwn name hctl by_path vendor bogus".split(" ");
const otherwise = fc.constantFrom<unknown>(5, 0, -1, 50, 50.5, true, false, null, "off", "T", [1], {});
const hints = fc.dictionary(
  fc.constantFrom(...HINTS),
  fc.oneof({ weight: 6, arbitrary: expression }, { weight: 1, arbitrary: otherwise }),
  { minKeys: 1, maxKeys: 2 },
);
// Values that only look like half an expression, such as "<", are text here and an error there.
const TEXTS = "ABC123 foo 50 0x5000 0:0:0:0 /dev/sda none äÖ İ ß a%b x=y 1e3 inf nan".split(" ");
const attribute = fc.constantFrom(null, "", "Foo Bar 1", "1 2", "  pad  ", "5 ", "A\tB", ...TEXTS);
const found = fc.record({
  ...{
    model: attribute,
    serial: attribute,
    wwn: attribute,
    hctl: attribute,
    by_path: attribute,
    vendor: attribute,
  },
  name: fc.constantFrom("/dev/sda", "/dev/sdb"),
  size: fc.constantFrom(0, 1, 50 * 2 ** 30, 1000204886016, 2 ** 40),
  rotational: fc.boolean(),
});

const installed = Bun.spawnSync([PYTHON, "-c", "import ironic_lib.utils"]).success;

test.skipIf(!installed)(
  `${CASES} sets of hints choose what ironic-lib chooses, or are errors to both`,
  async () => {
    const cases = fc.sample(fc.tuple(hints, fc.array(found, { minLength: 1, maxLength: 3 })), CASES);
    const lines = cases.map(([wanted, devices]) =>
      JSON.stringify([wanted, devices.map((values, number) => ({ ...values, number }))]),
    );
    const reference = Bun.spawn([PYTHON, "-c", REFERENCE], {
      stdin: Buffer.from(lines.join("\n")),
      stderr: "ignore",
    });
    const answers = (await new Response(reference.stdout).text()).trim().split("\n");
    expect(answers).toHaveLength(CASES);
    const different = cases.flatMap(([wanted, devices], number) => {
      const theirs = answers[number];
      const ours = JSON.stringify(numbersOf(wanted as JsonObject, devices));
      return ours === theirs ? [] : [{ wanted, devices, ours, theirs }];
    });
    expect(different.slice(0, 3)).toEqual([]);
  },
  60_000,
);

/** Numbers of the devices that the hints choose; null if they are wrong. */
function numbersOf(wanted: JsonObject, devices: readonly Parameters<typeof disk>[0][]): number[] | null {
  const disks = devices.map((values) => disk(values));
  try {
    return findDevicesByHints(disks, wanted).map((disk) => disks.indexOf(disk));
  } catch (error) {
    if (error instanceof RootDeviceHintError) return null;
    throw error;
  }
}
