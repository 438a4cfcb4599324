// The one place where secrets are taken out of what is logged or shown. Everything that reaches a sink passes here:
// members of known names at any depth, credentials in URLs, and secret query parameters in any text.
// Source of the names: control-plane specification 4.7 and DEV-19.

const MASK = "******";
const BULKY = "<...>";

/**
 * Members, parameters, options and headers of these names are secret, whatever stands in front of them (`redfish_password`).
 * The second line are names by which drivers of Ironic keep secrets of BMCs in a node's driver_info.
 */
const SECRET_NAME =
  "[a-z0-9_-]{0,40}(?:token|password|passwd|secret|signature|authorization|private_key" +
  "|snmp_community(?:_read|_write)?|auth_key|priv_key|hex_kg_key|key_contents)|auth|temp_url_sig";

const SECRET_MEMBER = new RegExp(`^(?:${SECRET_NAME})$`, "i");

/** Members whose value is large and holds secrets of the instance; the reference shows `<...>`, and so do we. */
const BULKY_MEMBERS = new Set(["configdrive", "system_logs"]);

// What a name or a scheme may have in front is bounded, or a long word would take time in the square of its length.

/** Up to the last `@` of the authority: a password may hold one. */
const URL_CREDENTIALS = /([a-z][a-z0-9+.-]{0,20}:\/\/)[^/\s"'?#]+@/gi;
/** `agent_token=…` in a query, an assignment or an option. */
const ASSIGNED = new RegExp(`\\b((?:${SECRET_NAME})=)[^&\\s"'|]+`, "gi");
/** `"agent_token": "…"`: JSON quoted in a text, and JSON quoted in a string of JSON. */
const QUOTED = new RegExp(
  `((?<q>\\\\{0,8}["'])(?:${SECRET_NAME})\\k<q>\\s*:\\s*\\k<q>)(?:(?!\\k<q>).)*`,
  "gis",
);
const QUOTED_BULK = /((?<q>\\{0,8}["'])(?:configdrive|system_logs)\k<q>\s*:\s*\k<q>)(?:(?!\k<q>).)*/gis;
/** `Authorization: Basic …`, `X-Auth-Token: …`: a header to the end of its line. */
const HEADER = new RegExp(`^([ \\t]{0,20}(?:${SECRET_NAME}|cookie|set-cookie):\\s*)[^\\r\\n]+`, "gim");
const INLINE_HEADER = /\b((?:authorization|x-auth-token):\s*)(?:(?:basic|bearer|digest)\s+)?[^\s,;"']+/gi;
/** `--agent_token …`: an option and its value as two words. */
const OPTION = new RegExp(`(--(?:${SECRET_NAME})\\s+)[^\\s-]\\S*`, "gi");

/** `text` without credentials in URLs and without values that stand behind a secret name, in any usual notation. */
export function redactText(text: string): string {
  return text
    .replace(URL_CREDENTIALS, `$1${MASK}@`)
    .replace(QUOTED, `$1${MASK}`)
    .replace(QUOTED_BULK, `$1${BULKY}`)
    .replace(HEADER, `$1${MASK}`)
    .replace(INLINE_HEADER, `$1${MASK}`)
    .replace(ASSIGNED, `$1${MASK}`)
    .replace(OPTION, `$1${MASK}`);
}

/** A copy of a JSON-like value in which secrets are masked and bulky secrets are cut, at any depth. */
export function redactValue(value: unknown): unknown {
  if (typeof value === "string") return redactText(value);
  if (Array.isArray(value)) return value.map(redactValue);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => {
      const name = key.toLowerCase();
      if (member !== null && typeof member !== "boolean" && SECRET_MEMBER.test(name)) return [key, MASK];
      if (member !== null && BULKY_MEMBERS.has(name)) return [key, BULKY];
      return [key, redactValue(member)];
    }),
  );
}
