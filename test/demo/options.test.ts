// The demo's command line: what it takes, and that everything else is refused in one line.

import { expect, test } from "bun:test";
import { parseOptions, UsageError } from "./options.ts";

test("without options: BIOS, raw, virtio", () => {
  expect(parseOptions([])).toEqual({
    firmware: "bios",
    image: "raw",
    disk: "virtio",
    ironic: false,
    fresh: false,
    keep: false,
    timeout: 1_200_000,
  });
});

test("all options", () => {
  const args = "--uefi --image qcow2 --disk nvme --ironic --fresh --keep --timeout 60".split(" ");
  expect(parseOptions(args)).toEqual({
    firmware: "uefi",
    image: "qcow2",
    disk: "nvme",
    ironic: true,
    fresh: true,
    keep: true,
    timeout: 60_000,
  });
});

test("help wins", () => {
  expect(parseOptions(["--uefi", "--help"])).toBeNull();
});

test.each([
  [["--image", "vhd"], '--image must be raw or qcow2, not "vhd"'],
  [["--disk", "ide"], '--disk must be virtio or sata or nvme, not "ide"'],
  [["--timeout", "0"], '--timeout must be a number of seconds, not "0"'],
  [["--timeout", "1m"], '--timeout must be a number of seconds, not "1m"'],
  [["--unknown"], "Unknown option '--unknown'"],
  [["extra"], "Unexpected argument 'extra'"],
  [["--image"], "argument missing"],
])("%j is refused in one line", (args, message) => {
  const refused = (): unknown => parseOptions(args);
  expect(refused).toThrow(UsageError);
  expect(refused).toThrow(message);
  try {
    refused();
  } catch (error) {
    expect((error as Error).message).not.toContain("\n");
  }
});
