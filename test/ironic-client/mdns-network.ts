// Runs in a network namespace of its own: a server that answers multicast DNS and the agent's real search for it, over real
// sockets. Started by mdns-discovery.test.ts with the server's records as JSON; prints what was found as JSON.

import { createSocket } from "node:dgram";
import { type Answer, decode, encode } from "dns-packet";
import { findService } from "../../src/ironic/mdns-query.ts";
import { createSystem } from "../../src/system/real.ts";

type Order = {
  readonly family: "IPv4" | "IPv6";
  /** Records of the answer. */
  readonly answers: Answer[];
  /** Questions that stay unanswered. */
  readonly deaf: number;
  /** Where the answers go: to the asker alone or to everybody. */
  readonly to: "asker" | "everybody";
};

const order: Order = JSON.parse(process.argv[2] ?? "");
const PORT = 5353;
const [group, own] = order.family === "IPv4" ? ["224.0.0.251", "192.0.2.2"] : ["ff02::fb", "::%eth0"];

const questions: { types: string[]; names: string[]; unicastReply: boolean; port: number; hex: string }[] =
  [];
const server = createSocket({
  type: order.family === "IPv4" ? "udp4" : "udp6",
  ipv6Only: order.family === "IPv6",
  reuseAddr: true,
});
server.on("message", (data, { address, port }) => {
  const packet = decode(data);
  if (packet.type !== "query") return;
  const asked = packet.questions ?? [];
  questions.push({
    types: asked.map(({ type }) => type),
    names: asked.map(({ name }) => name),
    unicastReply: asked.every((question) => question.class !== "IN"),
    port,
    hex: data.toString("hex"),
  });
  if (questions.length <= order.deaf) return;
  const answer = encode({ type: "response", id: 0, flags: 0x0400, answers: order.answers });
  if (order.to === "asker") server.send(answer, port, address);
  else server.send(answer, PORT, group);
});
await new Promise<void>((resolve) => server.bind(PORT, () => resolve()));
server.addMembership(group, own);
server.setMulticastInterface(own);

const system = createSystem({ name: "test", debug: false, json: false, file: "/dev/null", stream: "stderr" });
const search = { attempts: 2, interfaces: [] };
const found = await findService(system, "baremetal", search, new AbortController().signal);
console.log(
  JSON.stringify({ found: found && { ...found, text: Object.fromEntries(found.text) }, questions }),
);
server.close();
process.exit(0);
