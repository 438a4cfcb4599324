// Config drives are read back with isoinfo, a reader that shares nothing with the maker's own code path.

import { expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildConfigDrive, buildConfigDriveImage } from "./config-drive.ts";

const NODE = { uuid: "2289732a-7b4c-4d0f-8f63-09d1c0a3b7de", name: "node-0" };

async function isoinfo(image: Uint8Array, ...options: string[]): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "isoinfo-"));
  try {
    const file = join(directory, "drive.iso");
    await writeFile(file, image);
    return await Bun.$`isoinfo -i ${file} ${options}`.text();
  } finally {
    await rm(directory, { recursive: true });
  }
}

test("an ISO 9660 image labelled config-2 with Joliet and Rock Ridge", async () => {
  const image = await buildConfigDriveImage({ user_data: "#!/bin/sh\n" }, NODE);
  const description = await isoinfo(image, "-d");
  expect(description).toContain("Volume id: config-2");
  expect(description).toContain("Joliet with UCS level");
  expect(description).toContain("Rock Ridge signatures");
});

test("metadata gets the node's UUID and name, user data stays as it is", async () => {
  const image = await buildConfigDriveImage(
    { meta_data: { hostname: "h" }, user_data: "#!/bin/sh\n", network_data: { links: [] } },
    NODE,
  );
  const metadata = JSON.parse(await isoinfo(image, "-R", "-x", "/openstack/latest/meta_data.json"));
  expect(metadata).toEqual({ ...NODE, hostname: "h" });
  expect(await isoinfo(image, "-R", "-x", "/openstack/latest/user_data")).toBe("#!/bin/sh\n");
  expect(JSON.parse(await isoinfo(image, "-R", "-x", "/openstack/2012-08-10/network_data.json"))).toEqual({
    links: [],
  });
});

test("travels as base64 of gzip", async () => {
  const wire = await buildConfigDrive({}, NODE);
  const image = Bun.gunzipSync(Buffer.from(wire, "base64"));
  expect(new TextDecoder().decode(image.slice(0x8001, 0x8006))).toBe("CD001");
});
