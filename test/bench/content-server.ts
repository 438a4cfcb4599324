// A process of its own that serves incompressible content of any length over loopback, as fast as the socket takes it.
// Written on a plain socket because the runtime's HTTP server answers a generated body without Content-Length.
//
//   bun run test/bench/content-server.ts        prints its port; GET /<bytes> answers that many bytes

import { createServer, type Socket } from "node:net";

const BLOCK = Buffer.alloc(4 * 1024 * 1024);
for (let at = 0; at < BLOCK.length; at += 65_536) crypto.getRandomValues(BLOCK.subarray(at, at + 65_536));

async function send(socket: Socket, length: number): Promise<void> {
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n`);
  for (let left = length; left > 0; ) {
    const size = Math.min(left, BLOCK.length);
    left -= size;
    if (!socket.write(BLOCK.subarray(0, size))) await drained(socket);
    if (socket.destroyed) return;
  }
  socket.end();
}

/** Until the socket takes more, or is gone. */
function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      socket.off("drain", go).off("close", go);
      resolve();
    };
    socket.on("drain", go).on("close", go);
  });
}

const server = createServer((socket) => {
  socket.on("error", () => socket.destroy()); // a client that goes away mid-body is its own business
  socket.once("data", (head) => {
    const length = /^GET \/(\d+) /.exec(head.toString("latin1"))?.[1];
    if (length === undefined) socket.end("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    else void send(socket, Number(length));
  });
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  if (typeof address === "object" && address !== null) console.log(address.port);
});
