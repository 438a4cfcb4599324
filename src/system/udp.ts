// UDP: datagrams out and in. For metrics (statsd) and for multicast DNS; nobody else needs packets without a connection.

import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { errnoName } from "./files.ts";

export type UdpOptions = {
  readonly family: "IPv4" | "IPv6";
  /** Local address and port; without it any address and a free port. */
  readonly bind?: { readonly address: string; readonly port: number };
  /** Which way multicast goes out: an IPv4 address of the machine, or an IPv6 zone (`::%eth0`). */
  readonly multicastInterface?: string;
  /** A multicast group to listen to, on that interface. */
  readonly multicastGroup?: string;
  /** Routers that multicast may pass, plus one; the system's default is 1. */
  readonly multicastHops?: number;
  /** Other programs of this machine may use the same port, as those of multicast DNS do. */
  readonly shared?: boolean;
  readonly onDatagram?: (data: Uint8Array, from: { readonly address: string; readonly port: number }) => void;
};

export interface UdpSocket {
  /** The local port. */
  readonly port: number;
  /**
   * Resolves when the kernel has taken the datagram. ECONNREFUSED is about an earlier one: nobody listens there.
   * @throws Error naming the destination and the cause
   */
  send(data: Uint8Array | string, port: number, address: string): Promise<void>;
  /** Nothing is received any more when it resolves; a second call does nothing. */
  close(): Promise<void>;
}

/** @throws Error naming what could not be bound. */
export type OpenUdp = (options: UdpOptions) => Promise<UdpSocket>;

/** Real sockets. They do not keep the process alive. */
export const realOpenUdp: OpenUdp = async ({ family, bind, shared = false, onDatagram, ...multicast }) => {
  const type = family === "IPv4" ? "udp4" : "udp6";
  const socket = createSocket({ type, ipv6Only: family === "IPv6", reuseAddr: shared });
  const local = bind ?? { address: family === "IPv4" ? "0.0.0.0" : "::", port: 0 };
  await new Promise<void>((resolve, reject) => {
    socket.once("error", (error) => {
      const message = `cannot open UDP ${local.address} port ${local.port}: ${reason(error)}`;
      reject(new Error(message, { cause: error }));
    });
    socket.bind(local.port, local.address, () => {
      socket.removeAllListeners("error");
      resolve();
    });
  });
  // "Port unreachable" of an earlier datagram comes back as an error of the socket; UDP promises no delivery.
  socket.on("error", () => undefined);
  socket.unref();
  try {
    setMulticast(socket, multicast);
  } catch (error) {
    socket.close();
    throw new Error(`cannot use multicast on ${multicast.multicastInterface}: ${reason(error)}`, {
      cause: error,
    });
  }
  if (onDatagram !== undefined)
    socket.on("message", (data: Buffer, { address, port }: RemoteInfo) =>
      onDatagram(data, { address, port }),
    );
  let closed: Promise<void> | null = null;
  return {
    port: socket.address().port,
    send: (data, port, address) =>
      new Promise((resolve, reject) => {
        const failed = (error: unknown) =>
          reject(new Error(`cannot send to ${address} port ${port}: ${reason(error)}`, { cause: error }));
        try {
          socket.send(data, port, address, (error) => (error == null ? resolve() : failed(error)));
        } catch (error) {
          failed(error); // a closed socket, an impossible port
        }
      }),
    close() {
      closed ??= new Promise((resolve) => socket.close(() => resolve()));
      return closed;
    },
  };
};

function setMulticast(
  socket: Socket,
  { multicastInterface, multicastGroup, multicastHops }: Omit<UdpOptions, "family">,
): void {
  if (multicastInterface !== undefined) socket.setMulticastInterface(multicastInterface);
  if (multicastHops !== undefined) socket.setMulticastTTL(multicastHops);
  if (multicastGroup !== undefined) socket.addMembership(multicastGroup, multicastInterface);
}

function reason(error: unknown): string {
  return error instanceof Error ? errnoName(error) : String(error);
}
