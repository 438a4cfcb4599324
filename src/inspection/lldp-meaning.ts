// What a neighbour's TLVs say, in words. Keys and forms are those of Ironic's own parser (its hook
// parsed-lldp), so that both can be read by the same programs; of its names only the physical ones (PHY
// capabilities, MAU type) are missing. Values that are cut off or of another form than IEEE 802.1AB's are
// left out.

import { canonicalIpv6 } from "../hardware/ip-address.ts";
import type { LldpTlvs } from "../hardware/lldp.ts";
import type { Json, JsonObject } from "../json.ts";

const CHASSIS_ID = 1;
const PORT_ID = 2;
const TEXTS: Readonly<Record<number, string>> = {
  4: "switch_port_description",
  5: "switch_system_name",
  6: "switch_system_description",
};
const CAPABILITIES = 7;
const MANAGEMENT_ADDRESS = 8;
const ORGANIZATION_SPECIFIC = 127;

/** Subtypes of identifiers: MAC address, network address. All others are text. */
const CHASSIS_FORMS = { mac: 4, network: 5 };
const PORT_FORMS = { mac: 3, network: 4 };

const ADDRESS_IPV4 = 1;
const ADDRESS_IPV6 = 2;

/** By bit; the first, "other", is not told. */
const CAPABILITY_NAMES = [
  null,
  "Repeater",
  "Bridge",
  "WLAN",
  "Router",
  "Telephone",
  "DOCSIS cable device",
  "Station only",
  "C-Vlan",
  "S-Vlan",
  "TPMR",
];

/** Organization and subtype: IEEE 802.1 (0080c2) and IEEE 802.3 (00120f). */
const PORT_VLAN = "0080c201";
const PROTOCOL_VLAN = "0080c202";
const VLAN_NAME = "0080c203";
const PROTOCOL_IDENTITY = "0080c204";
const MANAGEMENT_VLAN = "0080c206";
const LINK_AGGREGATION = new Set(["0080c207", "00120f03"]);
const AUTONEGOTIATION = "00120f01";
const MTU = "00120f04";

export function describeNeighbour(tlvs: LldpTlvs): JsonObject {
  const facts: JsonObject = {};
  for (const [type, hex] of tlvs) {
    const value = Uint8Array.fromHex(hex);
    const text = TEXTS[type];
    if (text !== undefined) set(facts, text, decode(value));
    else if (type === CHASSIS_ID) set(facts, "switch_chassis_id", identifier(value, CHASSIS_FORMS));
    else if (type === PORT_ID) set(facts, "switch_port_id", identifier(value, PORT_FORMS));
    else if (type === CAPABILITIES && value.length >= 4) {
      set(facts, "switch_capabilities_support", capabilities(word(value, 0)));
      set(facts, "switch_capabilities_enabled", capabilities(word(value, 2)));
    } else if (type === MANAGEMENT_ADDRESS) {
      append(facts, "switch_mgmt_addresses", managementAddress(value));
    } else if (type === ORGANIZATION_SPECIFIC) {
      describeExtension(facts, hex.slice(0, 8), value.subarray(4));
    }
  }
  return facts;
}

function describeExtension(facts: JsonObject, kind: string, value: Uint8Array): void {
  if (kind === PORT_VLAN && value.length >= 2) {
    set(facts, "switch_port_untagged_vlan_id", word(value, 0));
  } else if (kind === PROTOCOL_VLAN && value.length >= 3) {
    const flags = value[0] ?? 0;
    set(facts, "switch_port_protocol_vlan_enabled", (flags & 4) !== 0);
    set(facts, "switch_port_protocol_vlan_support", (flags & 2) !== 0);
    append(facts, "switch_port_protocol_vlan_ids", word(value, 1));
  } else if (kind === VLAN_NAME && value.length >= 3) {
    const name = decode(value.subarray(3, 3 + (value[2] ?? 0)));
    append(facts, "switch_port_vlans", { name, id: word(value, 0) });
  } else if (kind === PROTOCOL_IDENTITY && value.length >= 1) {
    append(facts, "switch_protocol_identities", value.subarray(1, 1 + (value[0] ?? 0)).toHex());
  } else if (kind === MANAGEMENT_VLAN && value.length >= 2) {
    set(facts, "switch_port_management_vlan_id", word(value, 0));
  } else if (LINK_AGGREGATION.has(kind) && value.length >= 5) {
    const status = value[0] ?? 0;
    set(facts, "switch_port_link_aggregation_enabled", (status & 2) !== 0);
    set(facts, "switch_port_link_aggregation_support", (status & 1) !== 0);
    set(facts, "switch_port_link_aggregation_id", new DataView(value.buffer, value.byteOffset).getUint32(1));
  } else if (kind === AUTONEGOTIATION && value.length >= 5) {
    const status = value[0] ?? 0;
    set(facts, "switch_port_autonegotiation_enabled", (status & 2) !== 0);
    set(facts, "switch_port_autonegotiation_support", (status & 1) !== 0);
  } else if (kind === MTU && value.length >= 2) {
    set(facts, "switch_port_mtu", word(value, 0));
  }
}

/** A subtype and the identifier. */
function identifier(value: Uint8Array, forms: { mac: number; network: number }): string | null {
  const [subtype] = value;
  const id = value.subarray(1);
  if (subtype === undefined || id.length === 0) return null;
  if (subtype === forms.mac) return mac(id);
  return subtype === forms.network ? address(id[0], id.subarray(1)) : decode(id);
}

/** Length, family, address; what follows concerns SNMP. */
function managementAddress(value: Uint8Array): string | null {
  const length = value[0] ?? 0;
  return length < 2 || value.length < 1 + length ? null : address(value[1], value.subarray(2, 1 + length));
}

/** MAC addresses have the family 6. */
function address(family: number | undefined, bytes: Uint8Array): string | null {
  if (family === ADDRESS_IPV4) return bytes.length === 4 ? bytes.join(".") : null;
  if (family !== ADDRESS_IPV6) return mac(bytes);
  const groups = bytes.toHex().match(/.{4}/g) ?? [];
  return bytes.length === 16 ? canonicalIpv6(groups.join(":")) : null;
}

function mac(bytes: Uint8Array): string | null {
  return bytes.length === 6 ? (bytes.toHex().match(/../g) ?? []).join(":") : null;
}

function capabilities(bits: number): string[] {
  return CAPABILITY_NAMES.filter((name, bit) => name !== null && ((bits >> bit) & 1) !== 0) as string[];
}

function word(value: Uint8Array, offset: number): number {
  return ((value[offset] ?? 0) << 8) | (value[offset + 1] ?? 0);
}

function decode(value: Uint8Array): string {
  return new TextDecoder().decode(value);
}

/** The first of several counts. */
function set(facts: JsonObject, key: string, value: Json): void {
  if (value !== null && value !== "" && !Object.hasOwn(facts, key)) facts[key] = value;
}

function append(facts: JsonObject, key: string, value: Json): void {
  const list = facts[key];
  if (value !== null) facts[key] = [...(Array.isArray(list) ? list : []), value];
}
