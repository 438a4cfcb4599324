// Asks the networks of this machine for an OpenStack service by multicast DNS, and puts together what is answered.
// Source: control-plane specification 2.9 (packets, attempts, times); RFC 6762 for the rest.

import { errorText } from "../errors.ts";
import type { NetworkAddress } from "../system/network-addresses.ts";
import type { System } from "../system/system.ts";
import type { UdpOptions, UdpSocket } from "../system/udp.ts";
import { decodeAnswer, encodeQuestion, type ServiceRecord } from "./mdns-packet.ts";

export type FoundService = {
  /** Host that offers it, as the answer names it. */
  readonly target: string;
  readonly port: number;
  /** Of that host, in the order they were told. */
  readonly addresses: readonly string[];
  /** The text record: names in lower case. */
  readonly text: ReadonlyMap<string, string>;
};

export type Search = {
  readonly attempts: number;
  /** Names or addresses of interfaces to ask on; empty means all but the loop. */
  readonly interfaces: readonly string[];
};

const PORT = 5353;
const GROUPS = { IPv4: "224.0.0.251", IPv6: "ff02::fb" } as const;
/** What RFC 6762 wants packets to carry, so that none from outside the link is believed. */
const HOPS = 255;

/** Addresses, and services, that are remembered: whoever floods the network fills no memory. */
const MOST = 64;

/** Seconds after the beginning of an attempt at which the question is sent. */
const SENDING_TIMES = [0, 1];
const ATTEMPT_TIME = 3;
/** Seconds more before each further attempt. */
const PAUSE_STEP = 0.1;

/** Null when nobody answers. @throws the signal's reason */
export async function findService(
  system: System,
  service: string,
  { attempts, interfaces }: Search,
  signal: AbortSignal,
): Promise<FoundService | null> {
  const answers = new Answers(`${service}._openstack._tcp.local`);
  const sockets = await openSockets(system, interfaces, (data) => answers.add(data));
  const done = AbortSignal.any([signal, answers.complete]);
  const pause = async (seconds: number) => {
    // Woken early, either because all is known or because nobody wants to know any more.
    await system.clock.sleep(seconds, done).catch(() => signal.throwIfAborted());
  };
  try {
    for (let attempt = 1; attempt <= attempts; attempt++) {
      if (attempt > 1) await pause(PAUSE_STEP * (attempt - 1));
      let elapsed = 0;
      for (const [index, time] of [...SENDING_TIMES, ATTEMPT_TIME].entries()) {
        await pause(time - elapsed);
        elapsed = time;
        if (answers.complete.aborted) return answers.service;
        if (time < ATTEMPT_TIME) await sockets.ask(answers.question(attempt === 1 && index === 0));
      }
      if (answers.service !== null) return answers.service;
      system.log.debug(`No answer about the service ${service}, attempt ${attempt} of ${attempts}`);
    }
    return null;
  } finally {
    await sockets.close();
  }
}

class Answers {
  readonly #instance: string;
  readonly #services: { target: string; port: number }[] = [];
  readonly #addresses: { name: string; address: string }[] = [];
  readonly #complete = new AbortController();
  #text: ReadonlyMap<string, string> | null = null;

  constructor(instance: string) {
    this.#instance = instance;
  }

  /** Aborted when service, address and text are known. */
  get complete(): AbortSignal {
    return this.#complete.signal;
  }

  /** What can be used so far: service and address. */
  get service(): FoundService | null {
    for (const { target, port } of this.#services) {
      const addresses = this.#addressesOf(target);
      if (addresses.length > 0) return { target, port, addresses, text: this.#text ?? new Map() };
    }
    return null;
  }

  question(first: boolean): Uint8Array {
    const host = this.service === null ? (this.#services[0]?.target ?? null) : null;
    return encodeQuestion({ instance: this.#instance, host, unicastReply: first });
  }

  add(data: Uint8Array): void {
    for (const record of decodeAnswer(data) ?? []) this.#addRecord(record);
    if (this.#text !== null && this.service !== null) this.#complete.abort();
  }

  #addRecord(record: ServiceRecord): void {
    if (record.kind === "address") remember(this.#addresses, record);
    else if (record.name !== this.#instance) return;
    else if (record.kind === "service") remember(this.#services, record);
    else this.#text ??= parseEntries(record.entries);
  }

  #addressesOf(target: string): string[] {
    const found = this.#addresses.filter(({ name }) => name === target || name === this.#instance);
    return [...new Set(found.map(({ address }) => address))];
  }
}

function remember<T>(known: T[], one: T): void {
  if (known.length < MOST) known.push(one);
}

/** `name=value`; of equal names the first counts (RFC 6763), one without a value means nothing here. */
function parseEntries(entries: readonly string[]): ReadonlyMap<string, string> {
  const text = new Map<string, string>();
  for (const entry of entries) {
    const equals = entry.indexOf("=");
    const name = entry.slice(0, equals).toLowerCase();
    if (equals > 0 && !text.has(name)) text.set(name, entry.slice(equals + 1));
  }
  return text;
}

type Sockets = { readonly ask: (question: Uint8Array) => Promise<void>; readonly close: () => Promise<void> };

/** One socket for each network and family. Those that cannot be opened are left out. */
async function openSockets(
  system: System,
  interfaces: readonly string[],
  receive: (data: Uint8Array) => void,
): Promise<Sockets> {
  const { log } = system;
  const opened: { socket: UdpSocket; destination: string; place: string }[] = [];
  for (const address of wantedAddresses(system.networkAddresses(), interfaces)) {
    const zone = address.family === "IPv6" ? `%${address.interface}` : "";
    const place = `${address.interface} (${address.family})`;
    try {
      const socket = await openSocket(system, address, zone, receive);
      opened.push({ socket, place, destination: `${GROUPS[address.family]}${zone}` });
    } catch (error) {
      log.debug(`Multicast DNS cannot ask on ${place}: ${errorText(error)}`);
    }
  }
  if (opened.length === 0) log.warning("There is no network on which multicast DNS could ask");
  return {
    ask: async (question) => {
      await Promise.all(
        opened.map(({ socket, destination, place }) =>
          socket
            .send(question, PORT, destination)
            .catch((error) => log.debug(`Multicast DNS cannot ask on ${place}: ${errorText(error)}`)),
        ),
      );
    },
    close: async () => {
      await Promise.all(opened.map(({ socket }) => socket.close()));
    },
  };
}

/**
 * From the port of multicast DNS itself, because some servers answer nobody else. Where another program keeps it to itself, any
 * port will do for those that follow the RFC.
 */
async function openSocket(
  system: System,
  { family, address }: NetworkAddress,
  zone: string,
  receive: (data: Uint8Array) => void,
): Promise<UdpSocket> {
  const options: UdpOptions = {
    family,
    multicastInterface: family === "IPv4" ? address : `::${zone}`,
    multicastHops: HOPS,
    onDatagram: (data, from) => {
      if (from.port === PORT) receive(data);
    },
  };
  const any = family === "IPv4" ? "0.0.0.0" : "::";
  try {
    return await system.openUdp({
      ...options,
      bind: { address: any, port: PORT },
      shared: true,
      multicastGroup: GROUPS[family],
    });
  } catch (error) {
    system.log.debug(`Multicast DNS asks from another port: ${errorText(error)}`);
    return system.openUdp(options);
  }
}

/** One address for each network and family. */
function wantedAddresses(all: readonly NetworkAddress[], interfaces: readonly string[]): NetworkAddress[] {
  const seen = new Set<string>();
  return all.filter((address) => {
    const named = interfaces.includes(address.interface) || interfaces.includes(address.address);
    const key = `${address.interface} ${address.family}`;
    if (!(interfaces.length === 0 ? !address.loopback : named) || seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}
