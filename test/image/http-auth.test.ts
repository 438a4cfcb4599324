import { expect, test } from "bun:test";
import { ImageDownloadError } from "../../src/errors.ts";
import { imageAuthorization, type ServerCredentials } from "../../src/image/http-auth.ts";
import type { ImageAuth } from "../../src/image/image-info.ts";

const NONE: ImageAuth = { strategy: null, user: null, password: null, authorization: null };
const OFF: ServerCredentials = { strategy: "noauth", user: null, password: null };
const base64 = (text: string) => Buffer.from(text).toString("base64");

test("a public image needs none", () => {
  expect(imageAuthorization("img", NONE, OFF)).toBeNull();
  expect(imageAuthorization("img", { ...NONE, user: "u", password: "p" }, OFF)).toBeNull();
});

// deploy 11.22
test("the complete header wins, then the image's credentials, then the options'", () => {
  const image: ImageAuth = {
    strategy: "http_basic",
    user: "u",
    password: "p",
    authorization: base64("Bearer x"),
  };
  const options: ServerCredentials = { strategy: "http_basic", user: "o", password: "q" };
  expect(imageAuthorization("img", image, options)).toBe("Bearer x");
  expect(imageAuthorization("img", { ...image, authorization: null }, options)).toBe(
    `Basic ${base64("u:p")}`,
  );
  expect(imageAuthorization("img", NONE, options)).toBe(`Basic ${base64("o:q")}`);
});

test("the two sources are not mixed: what is missing is named", () => {
  const ask = () =>
    imageAuthorization("img", { ...NONE, strategy: "http_basic", user: "u" }, { ...OFF, password: "q" });
  const error = thrownBy(ask);
  expect(error).toBeInstanceOf(ImageDownloadError);
  expect((error as ImageDownloadError).reason).toBe(
    "Missing ['image_server_password'] fields from HTTP(S) basic auth config",
  );
});

test("a header that would break the request is refused", () => {
  for (const authorization of ["", "!!!", base64("Bearer x\r\nX: y"), base64("\u0000")])
    expect(() => imageAuthorization("img", { ...NONE, authorization }, OFF)).toThrow(
      "complete Authorization header",
    );
});

function thrownBy(work: () => unknown): unknown {
  try {
    work();
    return null;
  } catch (thrown) {
    return thrown;
  }
}
