// A datagram socket in the file system that keeps what it gets: stands in for the journal and for syslog.

import { openLibC } from "../../src/system/libc.ts";
import { unixAddress } from "../../src/system/unix-datagram.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;

export function receiveUnixDatagrams(path: string) {
  const libc = openLibC();
  const socket = libc.socket(AF_UNIX, SOCK_DGRAM, 0);
  const address = unixAddress(path);
  if (socket < 0 || libc.bind(socket, address, address.length) !== 0)
    throw new Error(`cannot listen at ${path}: ${libc.lastError()}`);
  return {
    /** The next datagram; null when there is none. A sent datagram is there at once. */
    next(): Uint8Array | null {
      const buffer = new Uint8Array(256 * 1024);
      const length = Number(libc.recv(socket, buffer, buffer.length, MSG_DONTWAIT));
      return length < 0 ? null : buffer.subarray(0, length);
    },
    [Symbol.dispose]() {
      libc.close(socket);
    },
  };
}
