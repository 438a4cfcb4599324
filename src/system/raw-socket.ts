// Ethernet frames of one protocol, straight from the network cards: packet sockets, which the runtime does
// not have. The sockets do not block; waiting is looking at all of them every few milliseconds, which is
// precise enough for protocols that speak every half minute and needs no thread.

import type { Clock } from "./clock.ts";
import { cString, type LibC, openLibC, structure } from "./libc.ts";

const AF_PACKET = 17;
const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0o4000 | 0o2000000;
const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_MR_PROMISC = 1;
const POLLIN = 1;

/** Bytes of struct sockaddr_ll, packet_mreq, pollfd. */
const ADDRESS_SIZE = 20;
const MEMBERSHIP_SIZE = 16;
const POLL_ENTRY_SIZE = 8;

/** Bytes of a frame that are kept; the largest standard frame has 1518. */
const FRAME_LIMIT = 1600;
/** Seconds between two looks. */
const POLL_INTERVAL = 0.05;

/** What an interface gave: a frame, Ethernet header included, or the reason why it cannot give one. */
export type Received =
  | { readonly name: string; readonly frame: Uint8Array }
  | { readonly name: string; readonly error: string };

/** Listens on several interfaces at once, each until it has given one frame or failed. Disposal ends it. */
export interface FrameCapture extends Disposable {
  /** Interfaces that have given nothing yet. */
  readonly waiting: readonly string[];
  /**
   * What the first of them to be ready gave, and all that are ready with it; [] when `seconds` have passed.
   */
  next(seconds: number, signal?: AbortSignal): Promise<readonly Received[]>;
}

/**
 * Begins to listen on all `names` for frames of one EtherType, with the cards in promiscuous mode: frames to
 * group addresses that no program joined arrive, too.
 * @throws FrameCaptureError if one of them cannot be listened on
 */
export type CaptureFrames = (names: readonly string[], etherType: number) => FrameCapture;

export class FrameCaptureError extends Error {}

export function createCaptureFrames(clock: Clock): CaptureFrames {
  return (names, etherType) => new PacketSockets(clock, names, etherType);
}

class PacketSockets implements FrameCapture {
  readonly #clock: Clock;
  readonly #libc: LibC = openLibC();
  readonly #descriptors = new Map<string, number>();

  constructor(clock: Clock, names: readonly string[], etherType: number) {
    this.#clock = clock;
    try {
      for (const name of new Set(names)) this.#open(name, etherType);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  get waiting(): readonly string[] {
    return [...this.#descriptors.keys()];
  }

  async next(seconds: number, signal?: AbortSignal): Promise<readonly Received[]> {
    const deadline = this.#clock.monotonic() + seconds;
    for (;;) {
      signal?.throwIfAborted();
      const received = this.#ready().map((name) => this.#receive(name));
      const left = deadline - this.#clock.monotonic();
      if (received.length > 0 || left <= 0 || this.#descriptors.size === 0) return received;
      await this.#clock.sleep(Math.min(POLL_INTERVAL, left), signal);
    }
  }

  [Symbol.dispose](): void {
    // The kernel ends the promiscuous mode it was asked for together with the socket.
    for (const descriptor of this.#descriptors.values()) this.#libc.close(descriptor);
    this.#descriptors.clear();
    this.#libc[Symbol.dispose]();
  }

  #open(name: string, etherType: number): void {
    const libc = this.#libc;
    const index = libc.if_nametoindex(cString(name));
    if (index === 0) throw this.#failure(`finding the network interface ${name}`);
    // Without a protocol until it is bound: else frames of all interfaces would come in between.
    const descriptor = libc.socket(AF_PACKET, SOCK_RAW_NONBLOCK_CLOEXEC, 0);
    if (descriptor < 0) throw this.#failure(`opening a packet socket for ${name}`);
    this.#descriptors.set(name, descriptor);
    const membership = structure(MEMBERSHIP_SIZE);
    membership.members.setInt32(0, index, true);
    membership.members.setUint16(4, PACKET_MR_PROMISC, true);
    if (libc.setsockopt(descriptor, SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership.bytes, MEMBERSHIP_SIZE) < 0)
      throw this.#failure(`putting ${name} into promiscuous mode`);
    const address = structure(ADDRESS_SIZE);
    address.members.setUint16(0, AF_PACKET, true);
    address.members.setUint16(2, etherType, false);
    address.members.setInt32(4, index, true);
    if (libc.bind(descriptor, address.bytes, ADDRESS_SIZE) < 0)
      throw this.#failure(`binding a packet socket to ${name}`);
  }

  /** Interfaces with a frame or an error to fetch. */
  #ready(): string[] {
    const descriptors = [...this.#descriptors];
    const entries = structure(Math.max(1, descriptors.length) * POLL_ENTRY_SIZE);
    for (const [position, [, descriptor]] of descriptors.entries()) {
      entries.members.setInt32(position * POLL_ENTRY_SIZE, descriptor, true);
      entries.members.setInt16(position * POLL_ENTRY_SIZE + 4, POLLIN, true);
    }
    // An interrupted call tells nothing; the next look does.
    if (this.#libc.poll(entries.bytes, descriptors.length, 0) <= 0) return [];
    return descriptors
      .filter((_, position) => entries.members.getInt16(position * POLL_ENTRY_SIZE + 6, true) !== 0)
      .map(([name]) => name);
  }

  /** Takes one frame and ends the listening there. */
  #receive(name: string): Received {
    const descriptor = this.#descriptors.get(name) ?? -1;
    const buffer = new Uint8Array(FRAME_LIMIT);
    const size = Number(this.#libc.recv(descriptor, buffer, FRAME_LIMIT, 0));
    const error = size < 0 ? this.#libc.lastError() : null;
    this.#descriptors.delete(name);
    this.#libc.close(descriptor);
    return error === null ? { name, frame: buffer.slice(0, size) } : { name, error };
  }

  #failure(action: string): FrameCaptureError {
    return new FrameCaptureError(`${action}: ${this.#libc.lastError()}`);
  }
}
