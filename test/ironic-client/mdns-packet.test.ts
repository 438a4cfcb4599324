// The packets of multicast DNS. Control-plane acceptance 90 (the questions).

import { describe, expect, test } from "bun:test";
import { type Answer, decode, encode } from "dns-packet";
import fc from "fast-check";
import { decodeAnswer, encodeQuestion } from "../../src/ironic/mdns-packet.ts";

const INSTANCE = "baremetal._openstack._tcp.local";
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
/** `label` as in a packet. */
const name = INSTANCE.split(".")
  .map((label) => hex(Buffer.from([label.length])) + hex(Buffer.from(label)))
  .join("")
  .concat("00");

describe("questions", () => {
  test("control-plane 11.90: SRV, TXT, A and AAAA of the instance, id 0, first with the bit for a unicast reply", () => {
    const question = (classOf: string) =>
      `00000000000400000000 0000 ${name}0021${classOf} ${name}0010${classOf} ${name}0001${classOf} ${name}001c${classOf}`;
    const encoded = (unicastReply: boolean) =>
      hex(encodeQuestion({ instance: INSTANCE, host: null, unicastReply }));
    expect(encoded(true)).toBe(question("8001").replaceAll(" ", ""));
    expect(encoded(false)).toBe(question("0001").replaceAll(" ", ""));
  });

  test("a host that an answer has named is asked for too", () => {
    const packet = decode(
      Buffer.from(encodeQuestion({ instance: INSTANCE, host: "ironic.local", unicastReply: false })),
    );
    expect(packet.questions?.slice(4).map(({ type, name: asked }) => [type, asked])).toEqual([
      ["A", "ironic.local"],
      ["AAAA", "ironic.local"],
    ]);
  });
});

describe("answers", () => {
  const answer = (answers: Answer[], additionals: Answer[] = []) =>
    decodeAnswer(encode({ type: "response", id: 0, flags: 0, answers, additionals }));

  test("services, addresses and texts, wherever they stand, in lower case and without a dot at the end", () => {
    const service: Answer = {
      type: "SRV",
      name: "Baremetal._OpenStack._tcp.local.",
      ttl: 120,
      data: { target: "Ironic.Local.", port: 6385 },
    };
    const text: Answer = { type: "TXT", name: INSTANCE, ttl: 120, data: ["path=/x", "naïve=é"] };
    const addresses: Answer[] = [
      { type: "A", name: "ironic.local", ttl: 120, data: "192.0.2.9" },
      { type: "AAAA", name: "ironic.local", ttl: 120, data: "2001:db8::9" },
    ];
    expect(answer([service, text], addresses)).toEqual([
      { kind: "service", name: INSTANCE, target: "ironic.local", port: 6385 },
      { kind: "text", name: INSTANCE, entries: ["path=/x", "naïve=é"] },
      { kind: "address", name: "ironic.local", address: "192.0.2.9" },
      { kind: "address", name: "ironic.local", address: "2001:db8::9" },
    ]);
  });

  test("records that are taken back, and kinds that are of no use, are left out", () => {
    expect(answer([{ type: "A", name: "x.local", ttl: 0, data: "192.0.2.9" }])).toEqual([]);
    expect(answer([{ type: "PTR", name: "_openstack._tcp.local", ttl: 120, data: INSTANCE }])).toEqual([]);
  });

  test("a question is no answer", () => {
    expect(decodeAnswer(encodeQuestion({ instance: INSTANCE, host: null, unicastReply: false }))).toBeNull();
  });

  test("any bytes are read or refused, and any damage to a real answer", () => {
    const real = encode({
      type: "response",
      answers: [
        { type: "SRV", name: INSTANCE, ttl: 120, data: { target: "ironic.local", port: 6385 } },
        { type: "TXT", name: INSTANCE, ttl: 120, data: ["path=/x", "protocol=http"] },
        { type: "AAAA", name: "ironic.local", ttl: 120, data: "2001:db8::9" },
      ],
    });
    const damaged = fc
      .array(fc.tuple(fc.nat(real.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
      .map((damages) => {
        const bytes = Uint8Array.from(real);
        for (const [at, value] of damages) bytes[at] = value;
        return bytes;
      });
    const cut = fc.nat(real.length).map((length) => Uint8Array.from(real.subarray(0, length)));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 600 }), damaged, cut), (bytes) => {
        for (const record of decodeAnswer(bytes) ?? [])
          expect(record.kind).toMatch(/^(service|address|text)$/);
      }),
      { numRuns: 2000 },
    );
  });
});
