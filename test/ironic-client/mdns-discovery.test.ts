// What an answer of multicast DNS means for the configuration. Control-plane specification 2.9, acceptance 90.

import { describe, expect, test } from "bun:test";
import { type Answer, encode } from "dns-packet";
import fc from "fast-check";
import { Config } from "../../src/config/config.ts";
import { ServiceLookupFailure } from "../../src/errors.ts";
import { discoverInspection, discoverIronic, serviceUrl } from "../../src/ironic/mdns-discovery.ts";
import type { OpenUdp } from "../../src/system/udp.ts";
import { type RecordedProgram, recordedSystem } from "../support/recorded-system.ts";
import { rejection } from "../support/rejection.ts";

type Server = { target?: string; port?: number; addresses?: string[]; text?: string[]; service?: string };

const route: RecordedProgram = (argv) => ({
  stdout: `${argv.at(-1)} via 192.0.2.1 dev eth0 src 192.0.2.2 uid 0\n`,
});

function machine(server: Server | null, ip: RecordedProgram = route) {
  const {
    target = "ironic.local",
    port = 6385,
    addresses = ["192.0.2.9"],
    text = [],
    service = "baremetal",
  } = server ?? {};
  const name = `${service}._openstack._tcp.local`;
  const answers: Answer[] = [
    { type: "SRV", name, ttl: 120, data: { target, port } },
    ...addresses.map(
      (data): Answer => ({ type: data.includes(":") ? "AAAA" : "A", name: target, ttl: 120, data }),
    ),
    { type: "TXT", name, ttl: 120, data: text },
  ];
  const openUdp: OpenUdp = async ({ onDatagram }) => ({
    port: 5353,
    send: async () => {
      if (server !== null)
        onDatagram?.(encode({ type: "response", answers }), { address: "192.0.2.9", port: 5353 });
    },
    close: async () => {},
  });
  return recordedSystem({
    openUdp,
    networkAddresses: [{ interface: "eth0", family: "IPv4", address: "192.0.2.2", loopback: false }],
    programs: { ip },
  });
}

async function ironicUrl(server: Server, ip?: RecordedProgram): Promise<string | null> {
  const config = Config.of({ api_url: "mdns" });
  await discoverIronic(machine(server, ip), config, new AbortController().signal);
  return config.get("api_url");
}

const warnings = (system: ReturnType<typeof recordedSystem>) =>
  system.records.filter(({ level }) => level === "WARNING").map(({ message }) => message);

describe("when it is asked", () => {
  const found = async (values: Parameters<typeof Config.of>[0], server: Server | null = {}) => {
    const config = Config.of(values);
    const system = machine(server);
    await discoverIronic(system, config, new AbortController().signal);
    return { url: config.get("api_url"), origin: config.origin("api_url"), warnings: warnings(system) };
  };

  test("for mdns, and without a URL only if use_mdns says so", async () => {
    expect(await found({ api_url: "mdns" })).toMatchObject({
      url: "https://192.0.2.9:6385",
      origin: "multicast DNS",
    });
    expect((await found({ api_url: "MDNS" })).url).toBe("https://192.0.2.9:6385");
    expect((await found({ "mdns.use_mdns": true })).url).toBe("https://192.0.2.9:6385");
    expect((await found({})).url).toBeNull();
    expect((await found({ "mdns.use_mdns": true, api_url: "http://given" })).url).toBe("http://given");
  });

  test("finding nothing is an error if mdns was asked for, and a warning otherwise", async () => {
    const error = await rejection(found({ api_url: "mdns" }, null));
    expect(error).toBeInstanceOf(ServiceLookupFailure);
    expect((error as ServiceLookupFailure).serialize()).toMatchObject({
      type: "ServiceLookupFailure",
      code: 500,
      message: "Cannot find baremetal service through multicast",
    });
    const implicit = await found({ "mdns.use_mdns": true }, null);
    expect([implicit.url, implicit.warnings.length]).toEqual([null, 1]);
  });

  test("for the inspection service, whose URL gets its path", async () => {
    const config = Config.of({ inspection_callback_url: "mdns" });
    const system = machine({
      service: "baremetal-introspection",
      port: 5050,
      text: ["protocol=http", "path=/a/"],
    });
    await discoverInspection(system, config, new AbortController().signal);
    expect(config.get("inspection_callback_url")).toBe("http://192.0.2.9:5050/a/v1/continue");
    const given = Config.of({ inspection_callback_url: "http://given/v1/continue" });
    await discoverInspection(machine(null), given, new AbortController().signal);
    expect(given.get("inspection_callback_url")).toBe("http://given/v1/continue");
  });
});

describe("the URL", () => {
  test("control-plane 11.90: protocol and path are honoured; the port decides about the protocol otherwise", async () => {
    expect(await ironicUrl({ text: ["protocol=http", "path=/baremetal"] })).toBe(
      "http://192.0.2.9:6385/baremetal",
    );
    expect(await ironicUrl({ port: 80 })).toBe("http://192.0.2.9:80");
    expect(await ironicUrl({ port: 443 })).toBe("https://192.0.2.9:443");
    expect(await ironicUrl({ text: ["path=baremetal/"] })).toBe("https://192.0.2.9:6385/baremetal");
  });

  test("a name of the local network becomes its address, another one stays", async () => {
    expect(await ironicUrl({ addresses: ["2001:db8::9"] })).toBe("https://[2001:db8::9]:6385");
    expect(await ironicUrl({ target: "ironic.example.org" })).toBe("https://ironic.example.org:6385");
  });

  test("the first address with a route is taken, the loop never, and one without a route with a warning", async () => {
    const addresses = ["127.0.0.1", "::1", "198.51.100.1", "192.0.2.9"];
    const routes: RecordedProgram = (argv) =>
      argv.at(-1) === "192.0.2.9" ? { stdout: "192.0.2.9 dev eth0 src 192.0.2.2\n" } : { exitCode: 2 };
    expect(await ironicUrl({ addresses }, routes)).toBe("https://192.0.2.9:6385");
    expect(await ironicUrl({ addresses }, { exitCode: 2 })).toBe("https://198.51.100.1:6385");
    const error = await rejection(ironicUrl({ addresses: ["127.0.0.1"] }));
    expect(error).toBeInstanceOf(ServiceLookupFailure);
  });

  test("an answer that makes no URL is refused", async () => {
    for (const server of [{ text: ["protocol=ftp"] }, { target: "a b.example" }, { text: ["path=/a b?c"] }])
      expect(await rejection(ironicUrl(server))).toBeInstanceOf(ServiceLookupFailure);
  });

  test("whatever is answered makes a URL of that host, or none", () => {
    const entries = fc.dictionary(fc.constantFrom("protocol", "path", "x"), fc.string());
    const target = fc.oneof(fc.string(), fc.constantFrom("ironic.local", "ironic.example"));
    fc.assert(
      fc.property(entries, target, fc.nat(65_535), (text, host, port) => {
        const service = { target: host, port, addresses: ["192.0.2.9"], text: new Map(Object.entries(text)) };
        let url: string;
        try {
          url = serviceUrl("baremetal", service, "192.0.2.9");
        } catch (error) {
          expect(error).toBeInstanceOf(ServiceLookupFailure);
          return;
        }
        const { protocol, hostname, username, search, hash } = new URL(url);
        expect(["http:", "https:"]).toContain(protocol);
        expect([username, search, hash]).toEqual(["", "", ""]);
        if (host.endsWith(".local")) expect(hostname).toBe("192.0.2.9");
      }),
    );
  });
});

describe("overrides", () => {
  async function answered(text: string[], allowed?: string[]) {
    const config = Config.of({
      api_url: "mdns",
      ...(allowed === undefined ? {} : { "mdns.allowed_overrides": allowed }),
    });
    const system = machine({ text });
    await discoverIronic(system, config, new AbortController().signal);
    return { config, warnings: warnings(system), debugSwitches: system.debugSwitches };
  }

  test("control-plane 11.90: ipa_ntp_server is applied and ipa_insecure refused by default, unknown ones are warned of", async () => {
    const { config, warnings: said } = await answered([
      "ipa_ntp_server=ntp.example",
      "ipa_insecure=1",
      "ipa_nonsense=1",
      "nonsense=1",
      "path=/x",
      "protocol=http",
    ]);
    expect([config.get("ntp_server"), config.origin("ntp_server")]).toEqual(["ntp.example", "multicast DNS"]);
    expect(config.get("insecure")).toBe(false);
    expect(said.map((line) => /sets (\S+), which is ignored: (.*)/.exec(line)?.slice(1))).toEqual([
      ["ipa_insecure", "it is not in [mdns] allowed_overrides"],
      ["ipa_nonsense", "there is no such option"],
      ["nonsense", "it does not begin with ipa_"],
    ]);
  });

  test("the list of allowed ones may be another one, or empty", async () => {
    expect((await answered(["ipa_insecure=1"], ["insecure"])).config.get("insecure")).toBe(true);
    const none = await answered(["ipa_ntp_server=ntp.example"], []);
    expect([none.config.get("ntp_server"), none.warnings.length]).toEqual([null, 1]);
  });

  test("a bad value is warned of; options of groups and secrets are never taken", async () => {
    const { config, warnings: said } = await answered(
      ["ipa_lookup_timeout=soon", `ipa_agent_token=${"t".repeat(40)}`, "ipa_mdns.use_mdns=1"],
      ["lookup_timeout", "agent_token", "mdns.use_mdns"],
    );
    expect([config.get("lookup_timeout"), config.get("agent_token")]).toEqual([300, null]);
    expect(said.length).toBe(3);
    expect(said[0]).toBe(
      'The answer of multicast DNS sets lookup_timeout to "soon", which is ignored: expected a whole number from 0',
    );
    expect(said.join()).not.toContain("ttt");
  });

  test("debug takes effect on the log at once", async () => {
    expect((await answered(["ipa_debug=true"], ["debug"])).debugSwitches).toEqual([true]);
    expect((await answered(["ipa_debug=true"])).debugSwitches).toEqual([]);
  });

  test("whatever the text says, nothing fails", async () => {
    const entry = fc.oneof(
      fc.string({ maxLength: 60 }),
      fc
        .tuple(
          fc.constantFrom("ipa_ntp_server", "ipa_debug", "ipa_", "ipa_constructor"),
          fc.string({ maxLength: 40 }),
        )
        .map((pair) => pair.join("=")),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 8 }), async (text) => {
        const usable = text.filter((line) => !/^(protocol|path)=/i.test(line));
        expect((await answered(usable, ["ntp_server", "debug"])).config.get("api_url")).toBe(
          "https://192.0.2.9:6385",
        );
      }),
    );
  });
});
