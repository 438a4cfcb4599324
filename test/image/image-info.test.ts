import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { InvalidCommandParamsError } from "../../src/errors.ts";
import { parseImageInfo } from "../../src/image/image-info.ts";
import type { Json, JsonObject } from "../../src/json.ts";

const VALID: JsonObject = { id: "img.raw", urls: ["http://10.0.0.1/img.raw"], checksum: "a".repeat(64) };

function details(image: Json, md5Enabled = true): string {
  try {
    parseImageInfo(image, { md5Enabled });
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidCommandParamsError);
    return (error as InvalidCommandParamsError).details;
  }
  return "accepted";
}

const NO_CHECKSUM =
  "Image checksum is not available, either the 'checksum' field or the 'os_hash_algo' and 'os_hash_value' " +
  "fields pair must be set for image verification.";

// deploy 11.1
describe("the reference's checks, in its order", () => {
  const cases: [string, JsonObject, string][] = [
    ["nothing", {}, "Image is missing 'id' field."],
    ["id only", { id: "x" }, "Image is missing 'urls' field."],
    [
      "urls is a text",
      { id: "x", urls: "http://a/" },
      "Image 'urls' must be a list with at least one element.",
    ],
    ["urls is empty", { id: "x", urls: [] }, "Image 'urls' must be a list with at least one element."],
    ["checksum is empty", { ...VALID, checksum: "" }, "Image 'checksum' must be a non-empty string."],
    ["checksum is a number", { ...VALID, checksum: 5 }, "Image 'checksum' must be a non-empty string."],
    [
      "value without algo",
      { ...VALID, os_hash_value: "ab" },
      "Image 'os_hash_algo' must be a non-empty string.",
    ],
    [
      "algo without value",
      { ...VALID, os_hash_algo: "sha256" },
      "Image 'os_hash_value' must be a non-empty string.",
    ],
    ["no checksum", { id: "x", urls: ["http://a/"] }, NO_CHECKSUM],
    ["null checksum", { id: "x", urls: ["http://a/"], checksum: null }, NO_CHECKSUM],
  ];
  test.each(cases)("%s", (_, image, expected) => expect(details(image)).toBe(expected));

  // deploy 11.2
  test("an MD5 digest counts only where MD5 is permitted; a URL or a longer one always", () => {
    const md5 = { ...VALID, checksum: "a".repeat(32) };
    expect(details(md5, true)).toBe("accepted");
    expect(details(md5, false)).toBe(NO_CHECKSUM);
    expect(details({ ...md5, checksum: "http://a/s" }, false)).toBe("accepted");
    expect(details({ ...md5, checksum: "a".repeat(64) }, false)).toBe("accepted");
    expect(details({ ...md5, checksum: null, os_hash_algo: "sha256", os_hash_value: "ab" }, false)).toBe(
      "accepted",
    );
  });
});

describe("what the reference dies on later", () => {
  // deploy 11.3
  test.each([".", "..", "../x", "a/b", "a\0b", "", "x".repeat(256), "é".repeat(128)])("id %p", (id) =>
    expect(details({ ...VALID, id })).toStartWith("Image 'id' must be a file name"),
  );

  // deploy 11.4
  test.each(["file:///etc/passwd", "ftp://a/b", "http://", "img.raw", 7])("URL %p", (url) =>
    expect(details({ ...VALID, urls: ["http://a/", url] })).toBe(
      "Image 'urls' must hold http:// or https:// URLs only.",
    ),
  );

  test("proxies that are no map of strings", () => {
    for (const proxies of ["http://p", ["x"], { http: 8080 }])
      expect(details({ ...VALID, proxies })).toBe("Image 'proxies' must map URL schemes to proxy URLs.");
  });

  // deploy 11.6
  test("a partition image: sizes may be text, and the rest has defaults", () => {
    const partition = (more: JsonObject) =>
      parseImageInfo({ ...VALID, image_type: "partition", ...more }, { md5Enabled: true }).partition;
    expect(partition({ root_mb: 5120, swap_mb: "1024", ephemeral_mb: 100, ephemeral_format: null })).toEqual({
      rootMiB: 5120,
      swapMiB: 1024,
      ephemeralMiB: 100,
      ephemeralFormat: "ext4",
      preserveEphemeral: false,
      bootMode: null,
      label: null,
      netboot: false,
    });
    expect(
      partition({ root_mb: 1, deploy_boot_mode: "UEFI", disk_label: "gpt", boot_option: "netboot" }),
    ).toMatchObject({ bootMode: "uefi", label: "gpt", netboot: true });
  });

  test.each([
    [{}, "Image 'root_mb' must be the size of the root partition in MiB"],
    [{ root_mb: 0 }, "Image 'root_mb' must be the size of the root partition in MiB"],
    [{ root_mb: 1.5 }, "Image 'root_mb' must be a whole number of MiB"],
    [{ root_mb: 10, swap_mb: -1 }, "Image 'swap_mb' must be a whole number of MiB"],
    [{ root_mb: 10, ephemeral_mb: "1 GB" }, "Image 'ephemeral_mb' must be a whole number of MiB"],
    [{ root_mb: 10, ephemeral_format: "-V" }, "Image 'ephemeral_format' must be the name of a file system"],
    [{ root_mb: 10, preserve_ephemeral: "yes" }, "Image 'preserve_ephemeral' must be true or false"],
  ])("a partition image with %p", (more, text) =>
    expect(details({ ...VALID, image_type: "partition", ...more })).toStartWith(text),
  );

  // contract 10.48; the layouts are in test/steps/write-partition-image.test.ts
  test("only the one word makes a partition image", () => {
    expect(details({ ...VALID, image_type: "whole-disk-image" })).toBe("accepted");
    expect(details({ ...VALID, image_type: "partition", urls: [] })).toContain("'urls' must be a list");
  });
});

test("a full image_info as a conductor sends it", () => {
  const image = parseImageInfo(
    {
      ...VALID,
      disk_format: "QCOW2",
      container_format: null,
      stream_raw_images: true,
      os_hash_algo: "sha256",
      os_hash_value: "40aa",
      proxies: { http: "http://proxy:3128" },
      no_proxy: "10.0.0.1",
      node_uuid: "2289732a",
      image_server_auth_strategy: "http_basic",
      image_server_user: "u",
      image_server_password: "p",
      some_future_key: { x: 1 },
    },
    { md5Enabled: false },
  );
  expect(image).toEqual({
    id: "img.raw",
    urls: ["http://10.0.0.1/img.raw"],
    checksum: "a".repeat(64),
    osHash: { algorithm: "sha256", value: "40aa" },
    diskFormat: "qcow2",
    streamRawImages: true,
    proxies: { http: "http://proxy:3128" },
    noProxy: "10.0.0.1",
    nodeUuid: "2289732a",
    configDrive: null,
    auth: { strategy: "http_basic", user: "u", password: "p", authorization: null },
    partition: null,
  });
});

test("defaults", () => {
  const image = parseImageInfo(VALID, { md5Enabled: true });
  expect(image).toMatchObject({ diskFormat: null, streamRawImages: false, nodeUuid: "local", osHash: null });
});

test("whatever comes, the only error is InvalidCommandParamsError", () => {
  fc.assert(
    fc.property(
      fc.jsonValue(),
      fc.dictionary(fc.constantFrom(...FIELDS), fc.jsonValue()),
      (value, fields) => {
        details(value as Json);
        details({ ...VALID, ...(fields as JsonObject) });
      },
    ),
  );
});

const FIELDS = [
  "id",
  "urls",
  "checksum",
  "os_hash_algo",
  "os_hash_value",
  "proxies",
  "disk_format",
  "no_proxy",
];
