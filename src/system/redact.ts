// The one place where secrets are taken out of what is logged or shown. Everything that reaches a sink passes here:
// members of known names at any depth, credentials in URLs, and secret query parameters in any text.
// Source of the names: control-plane specification 4.7 and DEV-19.

const MASK = "******";
const BULKY = "<...>";

/** Members whose value is secret. */
const SECRET_MEMBERS = new Set([
  "agent_token",
  "agent_secret_token",
  "rescue_password",
  "password",
  "ipmi_password",
  "image_server_password",
  "image_request_authorization",
  "pull_secret",
  "oci_pull_secret",
  "auth",
  "authorization",
  "private_key",
]);

/** Members whose value is large and holds secrets of the instance; the reference shows `<...>`, and so do we. */
const BULKY_MEMBERS = new Set(["configdrive", "system_logs"]);

/** The scheme's length is bounded, or a long word without a URL in it would take time in the square of its length. */
const URL_CREDENTIALS = /([a-z][a-z0-9+.-]{0,20}:\/\/)[^/\s"'@]+@/gi;
const SECRET_PARAMETER =
  /((?:agent_token|agent_secret_token|rescue_password|password|token|signature|temp_url_sig|x-amz-signature)=)[^&\s"'|]+/gi;

/** `text` without credentials in URLs and without values of secret parameters (`agent_token=…`). */
export function redactText(text: string): string {
  return text.replace(URL_CREDENTIALS, `$1${MASK}@`).replace(SECRET_PARAMETER, `$1${MASK}`);
}

/** A copy of a JSON-like value in which secrets are masked and bulky secrets are cut, at any depth. */
export function redactValue(value: unknown): unknown {
  if (typeof value === "string") return redactText(value);
  if (Array.isArray(value)) return value.map(redactValue);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => {
      const name = key.toLowerCase();
      if (member !== null && SECRET_MEMBERS.has(name)) return [key, MASK];
      if (member !== null && BULKY_MEMBERS.has(name)) return [key, BULKY];
      return [key, redactValue(member)];
    }),
  );
}
