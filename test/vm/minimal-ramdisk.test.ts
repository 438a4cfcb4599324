// The smallest ramdisk in a machine with little memory: the agent says at its start what it lacks, `check` lists the same, and neither
// names a program that is there. Run with `bun test test/vm`. That it deploys a large image: npm run demo -- --memory 512 --image qcow2
// --image-size 4.

import { describe, expect, test } from "bun:test";
import { OPTIONAL_PROGRAMS } from "../../src/hardware/optional-programs.ts";
import { askedFor, bootAgent } from "./agent-machine.ts";

/** What the minimal ramdisk leaves out on purpose, as docs/minimal-ramdisk.md says. */
const LEFT_OUT = [
  ...["qemu-img", "multipath", "iscsistart", "tgtd", "lshw", "dmidecode", "ethtool", "biosdevname"],
  ...["chronyd", "ntpdate", "journalctl", "stress-ng", "fio", "sysbench", "podman", "docker"],
];

describe.skipIf(!askedFor)("the smallest ramdisk", () => {
  test("says what is off without the programs it lacks, at the start and when asked", async () => {
    await using agent = await bootAgent({
      firmware: "bios",
      memoryMiB: 512,
      minimal: true,
      disks: [{ bus: "virtio", serial: "DISK1", sizeBytes: 5 * 2 ** 30 }],
    });
    const [, said = ""] = await agent.machine.waitForConsole(
      /INFO .*These programs are not installed, and what needs them is off \(.*\): (\S.*\S)/,
      { timeout: 10_000 },
    );
    expect(said.split(", ")).toEqual(LEFT_OUT);

    const answer = await agent.shell("ironic-python-agent check --format json 2>/dev/null");
    expect(JSON.parse(answer).missing_programs).toEqual(
      OPTIONAL_PROGRAMS.filter(({ program }) => LEFT_OUT.includes(program)),
    );
    const text = await agent.shell("ironic-python-agent check 2>/dev/null");
    for (const { program, without } of OPTIONAL_PROGRAMS)
      expect(text.includes(without) && text.includes(program)).toBe(LEFT_OUT.includes(program));
    const there = await agent.shell(`for name in ${LEFT_OUT.join(" ")}; do command -v $name || true; done`);
    expect(there).toBe("");
  }, 900_000);
});
