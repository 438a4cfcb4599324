// Outputs of `ip route get` recorded with iproute2 6.1.0 between two network namespaces joined by a veth pair.

import { describe, expect, test } from "bun:test";
import { Config } from "../../src/config/config.ts";
import { HardwareManagerMethodNotFound, LookupAgentIPError } from "../../src/errors.ts";
import { callbackUrl, findAdvertisedHost, parseRouteSource } from "../../src/ironic/advertise-address.ts";
import { type RecordedProgram, type Recording, recordedSystem } from "../support/recorded-system.ts";
import { rejection, thrower } from "../support/rejection.ts";

const V4 = { stdout: "192.0.2.1 dev c1 src 192.0.2.7 uid 0 \n    cache \n" };
const V6 = { stdout: "2001:db8::1 from :: dev c1 proto kernel src 2001:db8::7 metric 256 pref medium\n" };
const LINK_LOCAL_V6 = {
  stdout: "fe80::1 from :: dev c1 proto kernel src fe80::789f:c5ff:fe79:274d metric 256 pref medium\n",
};
const LINK_LOCAL_V4 = {
  stdout: "192.0.2.200 via 169.254.0.1 dev c1 src 169.254.3.4 uid 0 \n    cache \n",
};
const NO_ROUTE = { exitCode: 2, stderr: "RTNETLINK answers: Network is unreachable\n" };

const noInterface = async () => {
  throw new Error("not asked for");
};

function find(
  config: Parameters<typeof Config.of>[0],
  recording: Recording,
  urls = ["http://192.0.2.1:6385"],
  interfaceAddress: (name: string) => Promise<string | null> = noInterface,
) {
  const system = recordedSystem(recording);
  const host = findAdvertisedHost(
    system,
    Config.of(config ?? {}),
    async () => urls,
    interfaceAddress,
    new AbortController().signal,
  );
  return { system, host };
}

const route = (address: string, answer: RecordedProgram) => ({
  [`ip route get ${address}`]: answer,
});

describe("the advertised address", () => {
  test("of an interface that is not there: says which, and by which option", async () => {
    const { host } = find({ network_interface: "nope0", ip_lookup_attempts: 1 }, {}, undefined, async () => {
      throw new HardwareManagerMethodNotFound("get_interface_info");
    });
    expect(String(await rejection(host))).toContain(
      "there is no network interface nope0 (network_interface).",
    );
  });

  test("is the configured host as it is, and nothing is asked", async () => {
    const { system, host } = find({ advertise_host: "Agent.example.com" }, {});
    expect(await host).toBe("Agent.example.com");
    expect(system.calls).toEqual([]);
    expect(await find({ advertise_host: "[2001:db8::7]" }, {}).host).toBe("2001:db8::7");
  });

  test("is the source of the route to Ironic", async () => {
    expect(await find({}, { programs: route("192.0.2.1", V4) }).host).toBe("192.0.2.7");
    const v6 = find({}, { programs: route("2001:db8::1", V6) }, ["http://[2001:db8::1]:6385"]);
    expect(await v6.host).toBe("2001:db8::7");
  });

  test("is found for a name whose first address cannot be reached", async () => {
    const programs = { ...route("2001:db8::1", NO_ROUTE), ...route("192.0.2.1", V4) };
    const hosts = { "ironic.example.com": ["2001:db8::1", "192.0.2.1"] };
    const { host } = find({}, { programs, hosts }, ["https://ironic.example.com"]);
    expect(await host).toBe("192.0.2.7");
  });

  test("comes from the next API URL when the first leads nowhere", async () => {
    const { host } = find({}, { programs: route("192.0.2.1", V4) }, ["http://nosuch", "http://192.0.2.1"]);
    expect(await host).toBe("192.0.2.7");
  });

  test("is tried again until there is a route", async () => {
    const answers = [NO_ROUTE, LINK_LOCAL_V4, V4];
    const { system, host } = find({}, { programs: route("192.0.2.1", () => answers.shift()!) });
    expect(await host).toBe("192.0.2.7");
    expect(system.sleeps).toEqual([10, 10]);
  });

  // control-plane 11.60, DEV-1
  test("is never link-local; giving up says why and what to do", async () => {
    const { system, host } = find(
      { ip_lookup_attempts: 3, ip_lookup_sleep: 2 },
      { programs: route("fe80::1", LINK_LOCAL_V6) },
      ["http://[fe80::1]:6385"],
    );
    const error = await host.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(LookupAgentIPError);
    expect((error as LookupAgentIPError).details).toContain("link-local");
    expect((error as LookupAgentIPError).details).toContain("ipa-advertise-host");
    expect(system.sleeps).toEqual([2, 2]);
  });

  // control-plane 11.60
  test("is that of the configured interface, once it has one", async () => {
    const addresses = [null, "192.0.2.8"];
    const asked: string[] = [];
    const { host, system } = find({ network_interface: "eth1" }, {}, undefined, async (name) => {
      asked.push(name);
      return addresses.shift() ?? null;
    });
    expect(await host).toBe("192.0.2.8");
    expect(asked).toEqual(["eth1", "eth1"]);
    expect(system.calls).toEqual([]);
  });

  test("an interface that never gets one is an error with its name", async () => {
    const { host } = find(
      { network_interface: "eth9", ip_lookup_attempts: 2 },
      {},
      undefined,
      async () => null,
    );
    expect(await thrower(host)).toThrow("eth9");
  });
});

test("route output without a source has none", () => {
  expect(parseRouteSource("")).toBeNull();
  expect(parseRouteSource("unreachable 192.0.2.1\n    cache src 192.0.2.9\n")).toBeNull();
});

// control-plane 11.59; contract 10.13
test("callback URLs: IPv6 in brackets, names in lower case, the port always there, no slash at the end", () => {
  expect(callbackUrl("https", "192.0.2.7", 9999)).toBe("https://192.0.2.7:9999");
  expect(callbackUrl("http", "2001:db8::7", 80)).toBe("http://[2001:db8::7]:80");
  expect(callbackUrl("http", "Agent.Example.com", 80)).toBe("http://agent.example.com:80");
});
