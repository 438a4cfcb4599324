import { expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { erasePstore, parsePstoreMount } from "../../src/steps/erase-pstore.ts";
import { createSystem } from "../../src/system/real.ts";
import { recordedSystem } from "../support/recorded-system.ts";

const signal = new AbortController().signal;

// hardware 13.72
test("every entry of a mounted pstore is removed, directories and odd names too, and the mount point stays", async () => {
  const directory = await mkdtemp(`${tmpdir()}/pstore-`);
  try {
    await mkdir(`${directory}/sub/deeper`, { recursive: true });
    for (const name of ["dmesg-efi-1", "--force", "sub/deeper/console", "with blank"])
      await Bun.write(`${directory}/${name}`, "panic");
    const real = createSystem({ name: "t", debug: false, json: false, file: "/dev/null", stream: "stderr" });
    const mounts = `sysfs /sys sysfs rw 0 0\npstore ${directory} pstore rw,nosuid 0 0\n`;
    await erasePstore({ ...real, files: { ...real.files, readText: async () => mounts } }, signal);
    expect(await readdir(directory)).toEqual([]);
  } finally {
    await rm(directory, { recursive: true });
  }
});

// hardware 13.72
test("where none is mounted, or it is empty, nothing is run", async () => {
  for (const mounts of ["sysfs /sys sysfs rw 0 0\n", "pstore /sys/fs/pstore pstore rw 0 0\n"]) {
    const system = recordedSystem({ files: { "/proc/mounts": mounts } });
    await erasePstore(system, signal);
    expect(system.calls).toEqual([]);
  }
});

test("the mount point is read from the kernel's table, whatever else is mounted", () => {
  expect(parsePstoreMount("a /b c rw 0 0\npstore /sys/fs/pstore pstore rw 0 0\n")).toBe("/sys/fs/pstore");
  // A file system of another kind whose source is called so.
  expect(parsePstoreMount("pstore /mnt tmpfs rw 0 0\n")).toBeNull();
  fc.assert(
    fc.property(fc.string(), (text) => {
      const found = parsePstoreMount(text);
      if (found !== null) expect(text).toContain(`pstore ${found} pstore`);
    }),
  );
});
