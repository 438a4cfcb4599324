// What plug-ins may answer, as schemas, and the check with words an author can act on. Somebody else wrote the plug-in, perhaps in another
// language, so nothing it says is believed before it was looked at.

import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Value, type ValueError } from "@sinclair/typebox/value";
import { HardwareManagerConfigurationError } from "../../errors.ts";
import { isJsonObject, type Json } from "../../json.ts";
import { wantedWords } from "../../schema-words.ts";

const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()], { default: null });
const text = Type.String();
const maybeText = nullable(text);
const maybeNumber = nullable(Type.Number());

export const anyJson = Type.Unsafe<Json>(Type.Any());
export const textOrNull = Type.Union([text, Type.Null()]);
export const nothing = Type.Unsafe<void>(Type.Any());

/** Names of steps and methods: what is also a word in a URL, a log line and a shell. */
export const NAME_PATTERN = "^[A-Za-z][A-Za-z0-9_]{0,99}$";

const lldpTlvs = Type.Array(Type.Tuple([Type.Integer(), text]));
export const lldpData = Type.Record(Type.String(), lldpTlvs);

export const networkInterface = Type.Object({
  name: text,
  mac_address: text,
  ipv4_address: maybeText,
  ipv6_address: maybeText,
  has_carrier: Type.Boolean({ default: false }),
  lldp: nullable(lldpTlvs),
  vendor: maybeText,
  product: maybeText,
  client_id: maybeText,
  biosdevname: maybeText,
  speed_mbps: maybeNumber,
  pci_address: maybeText,
  driver: maybeText,
});

export const cpu = Type.Object({
  model_name: maybeText,
  frequency: maybeText,
  count: Type.Integer({ minimum: 0 }),
  architecture: maybeText,
  flags: Type.Array(text, { default: [] }),
  socket_count: Type.Integer({ minimum: 0, default: 1 }),
});

export const memory = Type.Object({ total: maybeNumber, physical_mb: maybeNumber });

export const systemVendor = Type.Object({
  product_name: Type.String({ default: "" }),
  serial_number: Type.String({ default: "" }),
  manufacturer: Type.String({ default: "" }),
  firmware: Type.Object(
    {
      vendor: Type.String({ default: "" }),
      version: Type.String({ default: "" }),
      build_date: Type.String({ default: "" }),
    },
    { default: {} },
  ),
});

export const bootInfo = Type.Object({
  current_boot_mode: Type.Union([Type.Literal("uefi"), Type.Literal("bios")]),
  pxe_interface: maybeText,
});

const inventoryDiskFields = {
  name: text,
  model: maybeText,
  size: Type.Integer({ minimum: 0 }),
  rotational: Type.Boolean({ default: false }),
  wwn: maybeText,
  serial: maybeText,
  vendor: maybeText,
  wwn_with_extension: maybeText,
  wwn_vendor_extension: maybeText,
  hctl: maybeText,
  by_path: maybeText,
  logical_sectors: maybeNumber,
  physical_sectors: maybeNumber,
  tran: maybeText,
};

export const blockDevice = Type.Object({
  ...inventoryDiskFields,
  uuid: maybeText,
  partuuid: maybeText,
  all_serials: Type.Array(textOrNull, { default: [] }),
  all_wwns: Type.Array(textOrNull, { default: [] }),
});

export const usbDevice = Type.Object({ product: text, vendor: text, handle: text });

/** More members are welcome: the inventory is where a vendor's manager tells what no other can see. */
export const inventory = Type.Object({
  interfaces: Type.Array(networkInterface),
  cpu,
  disks: Type.Array(Type.Object(inventoryDiskFields)),
  memory,
  bmc_address: maybeText,
  bmc_v6address: maybeText,
  system_vendor: systemVendor,
  boot: bootInfo,
  hostname: text,
});

export const systemLogs = Type.Object({
  outputs: Type.Record(Type.String(), text, { default: {} }),
  files: Type.Array(Type.String({ pattern: "^/" }), { default: [] }),
});

/** A step as a plug-in lists it: what Ironic sees of it, and how long it may take. */
export const pluginStep = Type.Object({
  step: Type.String({ pattern: NAME_PATTERN }),
  priority: Type.Integer({ minimum: 0, default: 0 }),
  interface: Type.String({ pattern: "^[a-z][a-z_]*$", default: "deploy" }),
  reboot_requested: Type.Boolean({ default: false }),
  abortable: Type.Optional(Type.Boolean()),
  argsinfo: Type.Optional(
    Type.Record(Type.String(), Type.Object({ description: text, required: Type.Optional(Type.Boolean()) })),
  ),
  /** Seconds; without it the step may take as long as it likes. */
  timeout: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
});
export type ListedStep = Static<typeof pluginStep>;

export const pluginSteps = Type.Array(pluginStep);

/** What the process of a TypeScript plug-in says when it has loaded it. */
export const moduleDescription = Type.Object({
  className: text,
  name: Type.String({ minLength: 1 }),
  version: Type.String({ minLength: 1 }),
  methods: Type.Array(Type.String({ pattern: NAME_PATTERN })),
  initializes: Type.Boolean(),
});

/** What an executable plug-in answers to `describe`. */
export const programDescription = Type.Object({
  protocol: Type.Literal(1),
  name: Type.String({ pattern: NAME_PATTERN }),
  version: Type.String({ minLength: 1, default: "1.0" }),
  support: Type.Integer(),
  steps: Type.Object(
    {
      clean: Type.Array(pluginStep, { default: [] }),
      deploy: Type.Array(pluginStep, { default: [] }),
      service: Type.Array(pluginStep, { default: [] }),
    },
    { default: {}, additionalProperties: false },
  ),
  methods: Type.Array(Type.String({ pattern: NAME_PATTERN }), { default: [] }),
  initialize: Type.Boolean({ default: false }),
});

/**
 * `value` with what it leaves out filled in from the schema's defaults.
 * @throws HardwareManagerConfigurationError naming `who` (the plug-in and what it was asked) and each member that is wrong
 */
export function checked<S extends TSchema>(schema: S, value: unknown, who: string): Static<S> {
  const filled = withDefaults(schema, jsonCopy(value, who));
  if (Value.Check(schema, filled)) return filled;
  const complaints = new Map<string, string>();
  for (const error of Value.Errors(schema, filled)) {
    // A missing member is reported twice, as missing and as of the wrong type: the first word counts.
    if (!complaints.has(error.path)) complaints.set(error.path, complaint(error));
    if (complaints.size === MOST_COMPLAINTS) break;
  }
  throw new HardwareManagerConfigurationError(`${who}: ${[...complaints.values()].join("; ")}`);
}

const MOST_COMPLAINTS = 5;

/** Fills in missing members only; TypeBox's own Value.Default also turns an object into a list where the default is one. */
function withDefaults(schema: TSchema, value: unknown): unknown {
  if (value === undefined) return "default" in schema ? withDefaults(schema, schema.default) : undefined;
  if (Array.isArray(schema.anyOf)) return value === null ? null : withDefaults(schema.anyOf[0], value);
  if (Array.isArray(value))
    return isSchema(schema.items) ? value.map((item) => withDefaults(schema.items, item)) : value;
  if (!isJsonObject(value) || !isJsonObject(schema.properties)) return value;
  const properties = Object.entries(schema.properties as Record<string, TSchema>);
  const filled = properties.map(([name, member]) => [name, withDefaults(member, value[name])] as const);
  return { ...value, ...Object.fromEntries(filled.filter(([, member]) => member !== undefined)) };
}

function isSchema(value: unknown): value is TSchema {
  return isJsonObject(value);
}

/** A copy without anything that is not JSON. */
function jsonCopy(value: unknown, who: string): unknown {
  try {
    return JSON.parse(JSON.stringify(value ?? null) ?? "null");
  } catch (error) {
    throw new HardwareManagerConfigurationError(
      `${who}: the answer is nothing JSON can hold: ${error instanceof Error ? error.message : error}`,
    );
  }
}

function complaint({ path, schema, value }: ValueError): string {
  const name = path === "" ? "the answer" : `"${memberName(path)}"`;
  if (value === undefined) return `${name} is missing`;
  return `${name} must be ${wantedWords(schema)}, not ${shown(value)}`;
}

/** `/steps/clean/0/priority` → `steps.clean[0].priority`. */
function memberName(path: string): string {
  return path
    .slice(1)
    .split("/")
    .map((part, index) => (/^\d+$/.test(part) ? `[${part}]` : index === 0 ? part : `.${part}`))
    .join("");
}

function shown(value: unknown): string {
  const json = JSON.stringify(value) ?? String(value);
  return json.length > 60 ? `${json.slice(0, 60)}…` : json;
}
