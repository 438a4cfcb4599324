// The search for a service: over a real network (a namespace with a server in it), and against a recorded one for times and
// odd answers. Control-plane specification 2.9, acceptance 90.

import { describe, expect, test } from "bun:test";
import { type Answer, encode } from "dns-packet";
import { findService } from "../../src/ironic/mdns-query.ts";
import type { NetworkAddress } from "../../src/system/network-addresses.ts";
import type { OpenUdp, UdpOptions } from "../../src/system/udp.ts";
import { type Recording, recordedSystem } from "../support/recorded-system.ts";
import { rejection } from "../support/rejection.ts";

const INSTANCE = "baremetal._openstack._tcp.local";
const service = (target: string, port = 6385): Answer => ({
  type: "SRV",
  name: INSTANCE,
  ttl: 120,
  data: { target, port },
});
const address = (name: string, data: string): Answer => ({ type: "A", name, ttl: 120, data });
const text = (...entries: string[]): Answer => ({ type: "TXT", name: INSTANCE, ttl: 120, data: entries });

/** Runs mdns-network.ts in a network namespace of its own. */
async function onNetwork(order: {
  family: "IPv4" | "IPv6";
  deaf: number;
  to: "asker" | "everybody";
  answers: Answer[];
}) {
  const directory = import.meta.dir;
  const child = Bun.spawn(
    [
      "unshare",
      "--net",
      "--",
      "sh",
      `${directory}/mdns-network.sh`,
      process.execPath,
      `${directory}/mdns-network.ts`,
    ].concat(JSON.stringify(order)),
    { stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  );
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(errors);
  return JSON.parse(output);
}

describe("on a real network", () => {
  for (const family of ["IPv4", "IPv6"] as const)
    test(`${family}: asks from the port of multicast DNS, and takes an answer that goes to everybody`, async () => {
      const { found, questions } = await onNetwork({
        family,
        deaf: 1,
        to: "everybody",
        answers: [
          service("ironic.local"),
          address("ironic.local", "192.0.2.9"),
          text("path=/x", "protocol=http"),
        ],
      });
      expect(found).toEqual({
        target: "ironic.local",
        port: 6385,
        addresses: ["192.0.2.9"],
        text: { path: "/x", protocol: "http" },
      });
      expect(questions).toMatchObject([
        { types: ["SRV", "TXT", "A", "AAAA"], unicastReply: true, port: 5353 },
        { types: ["SRV", "TXT", "A", "AAAA"], unicastReply: false, port: 5353 },
      ]);
    }, 30_000);

  test("takes an answer that goes to the asker alone", async () => {
    const answers = [service(INSTANCE), address(INSTANCE, "192.0.2.9"), text()];
    const { found } = await onNetwork({ family: "IPv4", deaf: 0, to: "asker", answers });
    expect(found).toMatchObject({ target: INSTANCE, addresses: ["192.0.2.9"], text: {} });
  }, 30_000);
});

const ETH0: NetworkAddress = { interface: "eth0", family: "IPv4", address: "192.0.2.2", loopback: false };

/** A network on which every question gets the next of `answers`, from `port`. */
function network(
  answers: (Answer[] | null)[],
  { port = 5353, ...recording }: Recording & { port?: number } = {},
) {
  const opened: UdpOptions[] = [];
  const sent: string[] = [];
  const openUdp: OpenUdp = async (options) => {
    opened.push(options);
    return {
      port: 5353,
      send: async (_, to, group) => {
        sent.push(`${group} ${to}`);
        const next = answers.shift();
        if (next)
          options.onDatagram?.(encode({ type: "response", answers: next }), { address: "192.0.2.9", port });
      },
      close: async () => {},
    };
  };
  return { system: recordedSystem({ openUdp, networkAddresses: [ETH0], ...recording }), opened, sent };
}

const search = (system: ReturnType<typeof recordedSystem>, attempts = 3, interfaces: string[] = []) =>
  findService(system, "baremetal", { attempts, interfaces }, new AbortController().signal);

describe("a search", () => {
  test("gives up after so many attempts of 3 seconds, with pauses that grow by a tenth", async () => {
    const { system, sent } = network([]);
    expect(await search(system)).toBeNull();
    expect(system.clock.monotonic()).toBeCloseTo(3 * 3 + 0.1 + 0.2);
    expect(sent).toEqual(Array(6).fill("224.0.0.251 5353"));
  });

  test("puts together what comes in several answers, and asks for the host that was named", async () => {
    const { system } = network([
      [service("ironic.local")],
      [address("ironic.local", "192.0.2.9"), text("a=1")],
    ]);
    expect(await search(system)).toMatchObject({ addresses: ["192.0.2.9"], text: new Map([["a", "1"]]) });
  });

  test("is content without a text at the end of an attempt", async () => {
    const { system } = network([[service("ironic.local"), address("ironic.local", "192.0.2.9")]]);
    expect(await search(system, 1)).toMatchObject({ port: 6385, text: new Map() });
  });

  test("believes neither other services nor what does not come from the port of multicast DNS", async () => {
    const whole = [service("ironic.local"), address("ironic.local", "192.0.2.9"), text()];
    expect(await search(network([whole], { port: 40_000 }).system, 1)).toBeNull();
    const other = whole.map((record) => ({ ...record, name: "other._openstack._tcp.local" }) as Answer);
    expect(await search(network([other]).system, 1)).toBeNull();
  });

  test("of equal names in the text the first counts, in any case of letters; what has no value is nothing", async () => {
    const { system } = network([
      [service("i.local"), address("i.local", "192.0.2.9"), text("Path=/a", "path=/b", "flag", "=x", "e=")],
    ]);
    expect((await search(system))?.text).toEqual(
      new Map([
        ["path", "/a"],
        ["e", ""],
      ]),
    );
  });

  test("asks on all networks but the loop, or on those that are named by name or by address", async () => {
    const networkAddresses: NetworkAddress[] = [
      { interface: "lo", family: "IPv4", address: "127.0.0.1", loopback: true },
      ETH0,
      { interface: "eth0", family: "IPv4", address: "192.0.2.3", loopback: false },
      { interface: "eth1", family: "IPv6", address: "fe80::1", loopback: false },
    ];
    const asked = async (interfaces: string[]) => {
      const { system, sent, opened } = network([], { networkAddresses });
      await search(system, 1, interfaces);
      return [...new Set(sent)].concat(opened.map(({ multicastInterface }) => multicastInterface ?? ""));
    };
    expect(await asked([])).toEqual(["224.0.0.251 5353", "ff02::fb%eth1 5353", "192.0.2.2", "::%eth1"]);
    expect(await asked(["eth1"])).toEqual(["ff02::fb%eth1 5353", "::%eth1"]);
    expect(await asked(["192.0.2.3"])).toEqual(["224.0.0.251 5353", "192.0.2.3"]);
    expect(await asked(["lo"])).toEqual(["224.0.0.251 5353", "127.0.0.1"]);
  });

  test("asks from another port where that of multicast DNS is kept by somebody else", async () => {
    const { system, opened } = network([]);
    const openUdp: OpenUdp = async (options) => {
      if (options.bind !== undefined) throw new Error("cannot open UDP 0.0.0.0 port 5353: EADDRINUSE");
      return system.openUdp(options);
    };
    await findService(
      { ...system, openUdp },
      "baremetal",
      { attempts: 1, interfaces: [] },
      new AbortController().signal,
    );
    expect(opened.map(({ bind }) => bind)).toEqual([undefined]);
  });

  test("without any network it says so and finds nothing", async () => {
    const { system } = network([], { networkAddresses: [] });
    expect(await search(system, 1)).toBeNull();
    expect(system.records.map(({ level }) => level)).toContain("WARNING");
  });

  test("ends when it is told to", async () => {
    const { system } = network([]);
    const reason = new Error("stop");
    expect(
      await rejection(
        findService(system, "baremetal", { attempts: 3, interfaces: [] }, AbortSignal.abort(reason)),
      ),
    ).toBe(reason);
  });
});
