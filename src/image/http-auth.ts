// The Authorization header for image servers. Three sources, never mixed: a complete header that came with the image, basic
// credentials that came with it, basic credentials from the options. Source: deploy specification 2.4.

import { ImageDownloadError } from "../errors.ts";
import type { ImageAuth } from "./image-info.ts";

/** Credentials from the options image_server_*. */
export type ServerCredentials = {
  readonly strategy: string;
  readonly user: string | null;
  readonly password: string | null;
};

/**
 * The header's value, or null if the image is public.
 * @throws ImageDownloadError if basic credentials are demanded and incomplete, or the header is malformed
 */
export function imageAuthorization(
  imageId: string,
  auth: ImageAuth,
  configured: ServerCredentials,
): string | null {
  if (auth.authorization !== null) return decodeHeader(imageId, auth.authorization);
  if (auth.strategy === "http_basic") return basicHeader(imageId, auth.user, auth.password);
  if (configured.strategy === "http_basic") return basicHeader(imageId, configured.user, configured.password);
  return null;
}

/** `Basic …` for user and password as they stand in a URL (percent-encoded); null if there is no user. */
export function authorizationInUrl(url: URL): string | null {
  if (url.username === "") return null;
  return basicValue(decodeURIComponent(url.username), decodeURIComponent(url.password));
}

function basicHeader(imageId: string, user: string | null, password: string | null): string {
  if (user !== null && password !== null) return basicValue(user, password);
  const missing = [
    ...(user === null ? ["'image_server_user'"] : []),
    ...(password === null ? ["'image_server_password'"] : []),
  ];
  throw new ImageDownloadError(
    imageId,
    `Missing [${missing.join(", ")}] fields from HTTP(S) basic auth config`,
  );
}

function basicValue(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
}

function decodeHeader(imageId: string, encoded: string): string {
  const value = Buffer.from(encoded, "base64").toString("utf8").trim();
  const printable = value !== "" && [...value].every((char) => char >= " " && char !== "\x7f");
  if (!printable || !/^[A-Za-z0-9+/_=\s-]+$/.test(encoded))
    throw new ImageDownloadError(
      imageId,
      "'image_request_authorization' must be the base64 form of a complete Authorization header value",
    );
  return value;
}
