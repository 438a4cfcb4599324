// The packets of multicast DNS that finding a service takes: one kind of question, and what is of use in answers. The encoding
// itself is the library dns-packet's. Sources: RFC 6762, RFC 6763; control-plane specification 2.9 for what is asked.

import { type Answer, type DecodedPacket, decode, encode } from "dns-packet";

export type ServiceQuestion = {
  /** As in `baremetal._openstack._tcp.local`. */
  readonly instance: string;
  /** Host whose addresses are wanted too, once an answer has named it. */
  readonly host: string | null;
  /** Ask for the answer to come to the asker alone. */
  readonly unicastReply: boolean;
};

/** What an answer tells. Names are in lower case and without a dot at the end. */
export type ServiceRecord =
  | { readonly kind: "service"; readonly name: string; readonly target: string; readonly port: number }
  | { readonly kind: "address"; readonly name: string; readonly address: string }
  | { readonly kind: "text"; readonly name: string; readonly entries: readonly string[] };

const QUESTION_TYPES = ["SRV", "TXT", "A", "AAAA"] as const;
/** Bytes in front of the first question, and those of its type and class behind a question's name. */
const HEADER = 12;
const TYPE_AND_CLASS = 4;
/** The highest bit of a question's class, for which the library has no name. */
const UNICAST_REPLY = 0x80;

export function encodeQuestion({ instance, host, unicastReply }: ServiceQuestion): Uint8Array {
  const ofInstance = QUESTION_TYPES.map((type) => ({ type, name: instance, class: "IN" as const }));
  const ofHost =
    host === null ? [] : (["A", "AAAA"] as const).map((type) => ({ type, name: host, class: "IN" as const }));
  const packet = encode({ type: "query", id: 0, flags: 0, questions: [...ofInstance, ...ofHost] });
  if (unicastReply)
    for (let at = HEADER; at < packet.length; ) {
      // Names are written label by label, each behind its length, up to an empty one.
      while (packet[at] !== 0) at += (packet[at] ?? 0) + 1;
      at += 1 + TYPE_AND_CLASS;
      packet[at - 2] = (packet[at - 2] ?? 0) | UNICAST_REPLY;
    }
  return packet;
}

/** The records of an answer; null for a question and for everything that is no packet. */
export function decodeAnswer(data: Uint8Array): ServiceRecord[] | null {
  let packet: DecodedPacket;
  try {
    packet = decode(Buffer.from(data));
  } catch {
    // Anybody on the network may send anything to this port.
    return null;
  }
  if (packet.type !== "response") return null;
  return [...(packet.answers ?? []), ...(packet.additionals ?? [])].flatMap(serviceRecord);
}

function serviceRecord(record: Answer): ServiceRecord[] {
  // A time to live of 0 takes a record back.
  if (!("ttl" in record) || record.ttl === 0) return [];
  const name = plainName(record.name);
  switch (record.type) {
    case "SRV":
      return [{ kind: "service", name, target: plainName(record.data.target), port: record.data.port }];
    case "A":
    case "AAAA":
      return [{ kind: "address", name, address: record.data }];
    case "TXT":
      return [{ kind: "text", name, entries: [record.data].flat().map((entry) => entry.toString()) }];
    default:
      return [];
  }
}

function plainName(name: string): string {
  return name.replace(/\.$/, "").toLowerCase();
}
