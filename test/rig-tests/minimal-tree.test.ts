// The smallest ramdisk is a list, and a list forgets: whoever makes the agent use another program has to decide here whether the
// ramdisk gets it.

import { expect, test } from "bun:test";
import { OPTIONAL_PROGRAMS } from "../../src/hardware/optional-programs.ts";
import { PROGRAMS } from "../rig/minimal-tree.ts";

/** Of the agent's programs, those that docs/minimal-ramdisk.md does without. */
const LEFT_OUT = [
  "biosdevname",
  "chronyd",
  "dmidecode",
  "docker",
  "ethtool",
  "fio",
  "iscsistart",
  "journalctl",
  "lshw",
  "multipath",
  "ntpdate",
  "podman",
  "qemu-img",
  "stress-ng",
  "sysbench",
  "tgtd",
];

test("every program that the agent uses is in the smallest ramdisk, or left out on purpose", () => {
  const there = new Set<string>(Object.values(PROGRAMS).flat());
  const missing = OPTIONAL_PROGRAMS.map(({ program }) => program).filter((program) => !there.has(program));
  expect([...new Set(missing)].sort()).toEqual(LEFT_OUT);
});
