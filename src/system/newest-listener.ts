// Several listening sockets on one port, of which the youngest gets every new connection: how a server is replaced
// without losing one. Closing a socket resets the connections in its queue, and without help the kernel spreads new ones over
// all sockets of the port, so there would always be some. With this rule the older socket runs dry first.
// The kernel's side: SO_REUSEPORT groups, whose members are numbered in the order in which they began to listen, and a classic
// BPF program that picks the number (socket(7), SO_ATTACH_REUSEPORT_CBPF).

import { ptr } from "bun:ffi";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { openLibC } from "./libc.ts";

const SOL_SOCKET = 1;
const SO_ATTACH_REUSEPORT_CBPF = 51;
/** `BPF_RET | BPF_K`: answer with a constant. */
const RETURN_CONSTANT = 0x06;
/**
 * Of two members the second is the younger. A single one has no number 1, and then the kernel chooses as if there were no
 * program; when the first leaves, the second takes its number.
 */
const SECOND_MEMBER = 1;
/** TCP_LISTEN, as /proc/net/tcp writes it. */
const LISTENING = "0A";

/**
 * Sets the rule for the sockets of this process that listen on `port`, those to come included. Each must be opened with
 * SO_REUSEPORT, and never more than two at a time.
 * @throws Error when the kernel refuses
 */
export function preferNewestListener(port: number): void {
  const socket = listeningSocket(port);
  if (socket === null) throw new Error(`this process has no socket that listens on port ${port}`);
  using libc = openLibC();
  // struct sock_filter { u16 code; u8 jt; u8 jf; u32 k }, struct sock_fprog { u16 len; struct sock_filter *filter }
  const filter = new DataView(new ArrayBuffer(8));
  filter.setUint16(0, RETURN_CONSTANT, true);
  filter.setUint32(4, SECOND_MEMBER, true);
  const program = new DataView(new ArrayBuffer(16));
  program.setUint16(0, 1, true);
  program.setBigUint64(8, BigInt(ptr(filter)), true);
  if (libc.setsockopt(socket, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, ptr(program), program.byteLength) !== 0)
    throw new Error(`SO_ATTACH_REUSEPORT_CBPF: ${libc.lastError()}`);
}

/** Descriptor of a socket of this process that listens on `port`: the runtime does not tell its own. */
function listeningSocket(port: number): number | null {
  const inodes = new Set(
    ["/proc/self/net/tcp", "/proc/self/net/tcp6"].flatMap((table) => listeners(table, port)),
  );
  for (const descriptor of readdirSync("/proc/self/fd")) {
    const inode = /^socket:\[(\d+)\]$/.exec(linkTarget(`/proc/self/fd/${descriptor}`))?.[1];
    if (inode !== undefined && inodes.has(inode)) return Number(descriptor);
  }
  return null;
}

/** Inodes of the listening sockets on `port`, of whatever process. */
function listeners(table: string, port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return readTable(table)
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => local?.endsWith(suffix) && state === LISTENING)
    .flatMap(([, , , , , , , , , inode]) => inode ?? []);
}

function readTable(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // a kernel without IPv6 has no table for it
  }
}

function linkTarget(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ""; // the descriptor of the directory listing itself is gone by now
  }
}
