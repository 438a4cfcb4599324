// Real datagrams on loopback.

import { afterEach, describe, expect, test } from "bun:test";
import { realOpenUdp, type UdpSocket } from "../../src/system/udp.ts";
import { rejection } from "../support/rejection.ts";

const sockets: UdpSocket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) await socket.close();
});

type Received = { text: string; from: { address: string; port: number } };

/** A socket, and the next datagram it gets. */
async function receiver(family: "IPv4" | "IPv6", address: string) {
  const next = Promise.withResolvers<Received>();
  const socket = await realOpenUdp({
    family,
    bind: { address, port: 0 },
    onDatagram: (data, from) => next.resolve({ text: new TextDecoder().decode(data), from }),
  });
  sockets.push(socket);
  return { socket, received: next.promise };
}

async function sender(family: "IPv4" | "IPv6") {
  const socket = await realOpenUdp({ family });
  sockets.push(socket);
  return socket;
}

describe("UDP", () => {
  test.each([
    ["IPv4", "127.0.0.1"],
    ["IPv6", "::1"],
  ] as const)("%s: what is sent arrives whole, with its sender's address", async (family, address) => {
    const { socket, received } = await receiver(family, address);
    const other = await sender(family);
    await other.send("ünicode", socket.port, address);
    expect(await received).toEqual({ text: "ünicode", from: { address, port: other.port } });
  });

  test("a port that is taken is an error with its name", async () => {
    const { socket } = await receiver("IPv4", "127.0.0.1");
    const again = realOpenUdp({ family: "IPv4", bind: { address: "127.0.0.1", port: socket.port } });
    expect(await rejection(again)).toMatchObject({
      message: `cannot open UDP 127.0.0.1 port ${socket.port}: EADDRINUSE`,
    });
  });

  test("what cannot be sent is an error with its destination; nobody listening is none", async () => {
    const socket = await sender("IPv4");
    const unsent = async (text: string, port: number) => rejection(socket.send(text, port, "127.0.0.1"));
    expect(await unsent("x".repeat(70_000), 9)).toMatchObject({
      message: expect.stringMatching(/^cannot send to 127\.0\.0\.1 port 9: EMSGSIZE/),
    });
    const { socket: gone } = await receiver("IPv4", "127.0.0.1");
    await gone.close();
    // The kernel may tell with one datagram what became of the one before; the socket goes on working.
    for (let i = 0; i < 4; i++)
      await socket.send("anybody?", gone.port, "127.0.0.1").catch((error: Error) => {
        expect(error.message).toBe(`cannot send to 127.0.0.1 port ${gone.port}: ECONNREFUSED`);
      });
    const { socket: there, received } = await receiver("IPv4", "127.0.0.1");
    await socket.send("hello", there.port, "127.0.0.1");
    expect((await received).text).toBe("hello");
  });

  test("closing twice is fine, and sending afterwards an error", async () => {
    const socket = await sender("IPv4");
    await socket.close();
    await socket.close();
    expect(await rejection(socket.send("x", 9, "127.0.0.1"))).toBeInstanceOf(Error);
  });
});
