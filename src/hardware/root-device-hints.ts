// Root device hints: how an operator says which of the disks the image goes to. Text is compared lower-cased
// and percent-encoded on both sides, so that values with blanks are one word of the expression language.
// Source: ironic-lib utils.py; hardware specification 3.3.

import type { Json, JsonObject } from "../json.ts";
import {
  type HintExpression,
  HintExpressionError,
  matchExpression,
  parseExpression,
} from "./hint-expression.ts";
import type { BlockDevice } from "./manager.ts";

const GIB = 2 ** 30;

const TRUE_WORDS = ["1", "t", "true", "on", "y", "yes"];
const FALSE_WORDS = ["0", "f", "false", "off", "n", "no"];

/** What each text hint is compared with; a device matches if one of its values does. */
const TEXT_HINTS: { readonly [hint: string]: (device: BlockDevice) => readonly (string | null)[] } = {
  name: (device) => [device.name],
  model: (device) => [device.model],
  vendor: (device) => [device.vendor],
  serial: (device) => device.all_serials,
  wwn: (device) => device.all_wwns,
  wwn_with_extension: (device) => [device.wwn_with_extension],
  wwn_vendor_extension: (device) => [device.wwn_vendor_extension],
  hctl: (device) => [device.hctl],
  by_path: (device) => [device.by_path],
  tran: (device) => [device.tran],
};

const VALID_HINTS = ["size", "rotational", ...Object.keys(TEXT_HINTS)];

/** The hints are wrong; the message names the hint and why. */
export class RootDeviceHintError extends Error {}

type Matcher = (device: BlockDevice) => boolean;

/**
 * The devices that satisfy all hints, in their order.
 * @throws RootDeviceHintError if a hint is invalid or cannot be compared with a device's value.
 */
export function findDevicesByHints(devices: readonly BlockDevice[], hints: JsonObject): BlockDevice[] {
  const matchers = parseHints(hints);
  return devices.filter((device) => matchers.every((matches) => matches(device)));
}

/** What a device has for each hint, beside name and size, for a person who has to mend the hints: `serial S1`. */
export function hintedValues(device: BlockDevice, hints: JsonObject): string[] {
  return Object.keys(hints).flatMap((hint) => {
    if (hint === "rotational") return [`rotational ${device.rotational}`];
    const valuesOf = hint === "name" ? undefined : TEXT_HINTS[hint];
    if (valuesOf === undefined) return [];
    // The long and the short form of a serial number are often the same.
    const known = [...new Set(valuesOf(device).filter((value) => value !== null))];
    return [`${hint} ${known.length > 0 ? known.join(" or ") : "none"}`];
  });
}

function parseHints(hints: JsonObject): Matcher[] {
  const unknown = Object.keys(hints).filter((name) => !VALID_HINTS.includes(name));
  if (unknown.length > 0) {
    throw new RootDeviceHintError(
      `the root device hints ${unknown.join(", ")} are invalid; valid hints are: ${VALID_HINTS.join(", ")}`,
    );
  }
  return Object.entries(hints).map(([name, value]) => {
    const matches = withContext(name, value, () => parseHint(name, value));
    return (device) => withContext(name, value, () => matches(device), device);
  });
}

function parseHint(name: string, value: Json): Matcher {
  if (name === "rotational") return parseRotational(value);
  if (name === "size") return parseSize(value);
  const valuesOf = TEXT_HINTS[name];
  if (typeof value !== "string" || valuesOf === undefined) {
    throw new HintExpressionError("it must be a string");
  }
  const normalized = normalize(value);
  if (normalized === null) throw new HintExpressionError("the expression is empty");
  const wanted = parseExpression(normalized);
  return (device) => {
    const known = valuesOf(device).filter((actual) => actual !== null);
    // A device without the value has the value "none", which a hint may ask for; an empty one never matches.
    return (known.length > 0 ? known : ["none"]).some((actual) => {
      const text = normalizeActual(actual);
      return text !== null && matchExpression(text, wanted);
    });
  };
}

/** Sizes are compared as GiB with fraction: 931 is not the size of a disk of 931.5 GiB. */
function parseSize(value: Json): Matcher {
  const text = pythonText(value).trim().toLowerCase();
  if (text === "") throw new HintExpressionError("the expression is empty");
  for (const part of splitExpression(text).values) {
    if (!/^[+-]?\d+(?:_\d+)*$/.test(part)) throw new HintExpressionError(`"${part}" is not an integer`);
    if (!/^\+?[\d_]*[1-9]/.test(part)) throw new HintExpressionError(`"${part}" is not positive`);
  }
  const { operator, values } = parseExpression(text);
  const wanted: HintExpression = { operator: operator === "" ? "==" : operator, values };
  return (device) => matchExpression(device.size / GIB, wanted);
}

function parseRotational(value: Json): Matcher {
  const word = pythonText(value).trim().toLowerCase();
  const wanted = TRUE_WORDS.includes(word);
  if (!wanted && !FALSE_WORDS.includes(word)) throw new HintExpressionError(`"${word}" is not a boolean`);
  return (device) => device.rotational === wanted;
}

/**
 * The operator and what stands between its occurrences; the whole text is one value if there is no operator.
 */
function splitExpression(text: string): HintExpression {
  const { operator } = parseExpression(text);
  if (operator === "") return { operator, values: [text] };
  const values = text.split(operator).filter((part) => part !== "");
  return { operator, values: values.map((part) => part.trim()) };
}

/** The expression with each value as one encoded word; null if it is empty. */
function normalize(expression: string): string | null {
  const text = expression.trim().toLowerCase();
  if (text === "") return null;
  const { operator, values } = splitExpression(text);
  return (operator + values.map((value) => ` ${percentEncode(value)} `).join(operator)).trim();
}

/**
 * A device's value goes through the same treatment, but one that only looks like half an expression is plain
 * text.
 */
function normalizeActual(actual: string): string | null {
  try {
    return normalize(actual);
  } catch (error) {
    if (error instanceof HintExpressionError) return percentEncode(actual.trim().toLowerCase());
    throw error;
  }
}

/** Everything but letters, digits and `_ . - ~ /`, byte by byte. */
function percentEncode(text: string): string {
  return Array.from(new TextEncoder().encode(text), (byte) => {
    const character = String.fromCharCode(byte);
    if (/[A-Za-z0-9_.\-~/]/.test(character)) return character;
    return `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }).join("");
}

/** How the reference turns a JSON value into the text it looks at. */
function pythonText(value: Json): string {
  return value === null ? "None" : typeof value === "object" ? JSON.stringify(value) : String(value);
}

function withContext<T>(name: string, value: Json, work: () => T, device?: BlockDevice): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof HintExpressionError)) throw error;
    const place = device === undefined ? "" : ` on ${device.name}`;
    throw new RootDeviceHintError(
      `the root device hint ${name} ${JSON.stringify(value)} cannot be used${place}: ${error.message}`,
      { cause: error },
    );
  }
}
