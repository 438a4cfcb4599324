// The image's own EFI files on the EFI system partition. The image is a directory, and so is what would be mounted: this kernel may have no
// FAT. A hostile image tries to get the ramdisk's files onto its disk, and its own into the ramdisk. deploy 11.71, 11.72

import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { resolveInside } from "../../src/disk/inside.ts";
import { preserveEfiFiles } from "../../src/steps/preserve-efi-files.ts";
import { createSystem } from "../../src/system/real.ts";
import type { System } from "../../src/system/system.ts";
import { tool } from "../support/loop-device.ts";

const SECRET = "the conductor's password";
let directory = "";
let image = "";
let esp = "";
let ramdisk = "";

beforeAll(async () => {
  directory = await mkdtemp(`${tmpdir()}/preserve-`);
});

beforeEach(async () => {
  [image, esp, ramdisk] = ["image", "esp", "ramdisk"].map(
    (name) => `${directory}/${crypto.randomUUID()}-${name}`,
  ) as [string, string, string];
  for (const path of [`${image}/boot/efi/EFI`, `${image}/boot/grub`, esp, ramdisk])
    await mkdir(path, { recursive: true });
  await writeFile(`${image}/boot/grub/grub.cfg`, "GRUB's configuration");
  await writeFile(`${ramdisk}/secret`, SECRET);
});

afterAll(() => rm(directory, { recursive: true }));

async function preserve(): Promise<void> {
  const real = createSystem({ name: "test", debug: false, json: false, file: "/dev/null", stream: "stderr" });
  const system: System = {
    ...real,
    architecture: "x64",
    run: async (argv, options) =>
      argv[0] === "mount" || argv[0] === "umount"
        ? { exitCode: 0, stdout: "", stderr: "" }
        : real.run(argv, options),
    files: {
      ...real.files,
      temporaryMountPoint: async () => ({ path: esp, [Symbol.asyncDispose]: async () => {} }),
    },
  };
  const root = {
    resolve: (path: string) => resolveInside(system, image, path),
    hasFile: async (path: string) =>
      (await system.files.kind(await resolveInside(system, image, path))) === "file",
  };
  await preserveEfiFiles({ system, signal: new AbortController().signal }, root, "/dev/esp");
}

async function put(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, content] of Object.entries(files))
    await Bun.write(`${image}/boot/efi/EFI/${path}`, content);
}

/** Content by path of all that is on the ESP; what is no file is named. */
async function onEsp(): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const entry of await readdir(esp, { recursive: true, withFileTypes: true })) {
    const path = `${entry.parentPath}/${entry.name}`;
    if (entry.isDirectory()) continue;
    found[path.slice(esp.length + 1)] = entry.isFile() ? await readFile(path, "utf8") : "no file";
  }
  return found;
}

test("they are the same there, with GRUB's configuration beside them, and shim where firmware without entries looks", async () => {
  await put({
    "debian/shimx64.efi": "shim",
    "debian/grubx64.efi": "grub",
    "debian/mmx64.efi": "mm",
    "readme.txt": "hello",
  });
  await preserve();
  const vendor = {
    "shimx64.efi": "shim",
    "grubx64.efi": "grub",
    "mmx64.efi": "mm",
    "grub.cfg": "GRUB's configuration",
  };
  const { "shimx64.efi": shim, ...companions } = vendor;
  const under = (place: string, files: Record<string, string>) =>
    Object.fromEntries(Object.entries(files).map(([name, content]) => [`EFI/${place}/${name}`, content]));
  expect(await onEsp()).toEqual({
    "EFI/readme.txt": "hello",
    ...under("debian", vendor),
    ...under("BOOT", { "BOOTX64.EFI": shim, ...companions }),
  });
});

test("a loader and a configuration that the image has there itself stay; a second time changes nothing", async () => {
  await put({
    "BOOT/BOOTX64.EFI": "own",
    "fedora/shimx64.efi": "shim",
    "fedora/grub.cfg": "own configuration",
  });
  await preserve();
  const first = await onEsp();
  expect(first).toEqual({
    "EFI/BOOT/BOOTX64.EFI": "own",
    "EFI/BOOT/grub.cfg": "GRUB's configuration",
    "EFI/fedora/shimx64.efi": "shim",
    "EFI/fedora/grub.cfg": "own configuration",
  });
  await preserve();
  expect(await onEsp()).toEqual(first);
});

test("links of the image bring nothing of the ramdisk onto the ESP, and nothing into the ramdisk", async () => {
  await put({ "vendor/grubx64.efi": "grub" });
  const efi = `${image}/boot/efi/EFI`;
  await symlink(`${ramdisk}/secret`, `${efi}/vendor/shimx64.efi`);
  await symlink(`${ramdisk}/secret`, `${efi}/vendor/grub.cfg`);
  await symlink(ramdisk, `${efi}/outside`);
  await symlink(ramdisk, `${efi}/BOOT`);
  await symlink(`${ramdisk}/secret`, `${image}/boot/grub/grubenv`);
  await tool("mkfifo", `${efi}/vendor/fifo.efi`);
  await preserve();
  expect(await onEsp()).toEqual({
    "EFI/vendor/grubx64.efi": "grub",
    "EFI/vendor/grub.cfg": "GRUB's configuration",
  });
  expect(await readdir(ramdisk)).toEqual(["secret"]);
});
