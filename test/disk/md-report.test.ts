import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { hasSuperblock, parseArrayUuid, parseComponents, parseVolumeName } from "../../src/disk/md-report.ts";
import { recordedOutput, SESSIONS } from "./recording/sessions.ts";

const of = async (command: string) => (await recordedOutput("raid", command)).stdout;
/** The report at the end of a line of several commands. */
const ending = (text: string) => of(SESSIONS.raid!.find((command) => command.endsWith(text))!);

test("an array's report names its UUID, its volume and its components", async () => {
  const report = await of("mdadm --detail /dev/md0");
  expect(parseComponents(report)).toEqual(["/dev/vda1", "/dev/vdb1"]);
  expect(parseVolumeName(report)).toBe("root");
  // The same array from its component's side: there it is "Array UUID", and the device has one of its own.
  const member = await of("mdadm --examine /dev/vda1");
  expect(parseArrayUuid(report)).toMatch(/^[0-9a-f]{8}(:[0-9a-f]{8}){3}$/);
  expect(parseArrayUuid(member)).toBe(parseArrayUuid(report));
  expect(parseVolumeName(member)).toBe("root");
});

describe("arrays that are not whole", () => {
  test("name the components they still have", async () => {
    const degraded = await ending("--remove /dev/vdb1; mdadm --detail /dev/md0");
    expect(parseComponents(degraded)).toEqual(["/dev/vda1"]);
    const inactive = await ending("mdadm -I /dev/nvme0n1; mdadm --detail /dev/md5");
    expect(inactive).toContain("State : inactive");
    expect(parseComponents(inactive)).toEqual(["/dev/nvme0n1"]);
    expect(parseArrayUuid(inactive)).not.toBeNull();
  });

  test("whole disks and disks that are being synchronised are components like others", async () => {
    const disks = await ending("/dev/sdb /dev/nvme0n1; mdadm --detail /dev/md5");
    expect(parseComponents(disks)).toEqual(["/dev/sdb", "/dev/nvme0n1"]);
    expect(parseVolumeName(disks)).toBe("5");
  });

  test("a partition of an array is answered for by the array", async () => {
    const output = await ending("mdadm --detail /dev/md0p1");
    // Before it stands what the partitioning said.
    const partition = output.slice(output.indexOf("/dev/md0p1:"));
    expect(parseComponents(partition)).toEqual(["/dev/vda1", "/dev/vdb1"]);
  });
});

test("a disk that only has a partition table has no superblock, though it is reported", async () => {
  expect(hasSuperblock(await of("mdadm --examine /dev/vda"))).toBe(false);
  expect(hasSuperblock(await of("mdadm --examine /dev/vda1"))).toBe(true);
  expect(hasSuperblock("")).toBe(false);
});

// hardware 13.85
test("the volume's name comes with and without the host that made it", () => {
  const named = (line: string) => parseVolumeName(`/dev/md0:\n           Version : 1.2\n${line}\n`);
  expect(named("              Name : node:data  (local to host node)")).toBe("data");
  expect(named("              Name : data")).toBe("data");
  expect(named("              Name : a:b:c:d")).toBeNull();
  expect(named("            Events : 17")).toBeNull();
  expect(named("              Name : ")).toBeNull();
});

// deploy 10, bug 61
test("an array's name or its event counter is never taken for a device", () => {
  const report = "/dev/md0:\n  Name : h:/dev/sdz1\n  Events : 3 /dev/sdy\n  0 8 1 0 active sync /dev/sda1\n";
  expect(parseComponents(report)).toEqual(["/dev/sda1"]);
});

test("any text is read without a fault", () => {
  const word = fc.constantFrom(
    "Name",
    "UUID",
    " : ",
    "Events",
    "/dev/",
    "sda1",
    "a:b",
    "\n",
    " ",
    "MBR Magic",
  );
  const report = fc.array(fc.oneof(word, fc.string()), { maxLength: 40 }).map((parts) => parts.join(""));
  fc.assert(
    fc.property(report, (text) => {
      parseArrayUuid(text);
      hasSuperblock(text);
      for (const device of parseComponents(text)) expect(device).toStartWith("/dev/");
      const name = parseVolumeName(text);
      if (name !== null) expect(name).toMatch(/^\S+$/);
    }),
  );
});
