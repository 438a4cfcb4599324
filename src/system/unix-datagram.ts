// Datagrams to a socket in the file system, which is how the journal and syslog take records. The runtime has streams there
// only, so this is the C library's sendto. It never waits: a log service that hangs must not hang the agent.

import { cString, openLibC } from "./libc.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
/** Bytes of sun_path, its final zero included. */
const LONGEST_PATH = 108;

export interface DatagramSender {
  /** Null when the kernel took it, else why it did not, in words. */
  send(data: Uint8Array): string | null;
}

/** Every datagram finds the path anew, so the service behind it may be restarted. @throws Error */
export function unixDatagramSender(path: string): DatagramSender {
  const address = unixAddress(path);
  const libc = openLibC();
  const socket = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) throw new Error(`cannot open a socket for ${path}: ${libc.lastError()}`);
  return {
    send(data) {
      const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
      const sent = libc.sendto(socket, data, data.length, flags, address, address.length);
      return sent === data.length ? null : libc.lastError();
    },
  };
}

/** `struct sockaddr_un`. @throws Error when the path does not fit into one. */
export function unixAddress(path: string): Uint8Array {
  const text = cString(path);
  if (text.length > LONGEST_PATH) throw new Error(`${path} is too long for a socket`);
  const address = new Uint8Array(2 + text.length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(text, 2);
  return address;
}
