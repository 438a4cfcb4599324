// What goes over the wire to a statsd server, on real sockets. control-plane 9.6 and 11.97.

import { afterEach, describe, expect, test } from "bun:test";
import { Config } from "../../src/config/config.ts";
import type { OptionValues } from "../../src/config/options.ts";
import { AgentMetrics, metricPrefix } from "../../src/metrics/agent-metrics.ts";
import { StatsdClient, statsdLines } from "../../src/metrics/statsd.ts";
import { realOpenUdp, type UdpSocket } from "../../src/system/udp.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { type Recording, recordedSystem } from "../support/recorded-system.ts";

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A statsd server that remembers what it was sent. */
async function statsd(family: "IPv4" | "IPv6" = "IPv4", address = "127.0.0.1") {
  const datagrams: string[] = [];
  let arrived = Promise.withResolvers<void>();
  const socket: UdpSocket = await realOpenUdp({
    family,
    bind: { address, port: 0 },
    onDatagram(data) {
      datagrams.push(new TextDecoder().decode(data));
      arrived.resolve();
      arrived = Promise.withResolvers();
    },
  });
  cleanups.push(() => socket.close());
  /** The first `count` datagrams, in the order of their arrival. */
  const received = async (count: number) => {
    while (datagrams.length < count) await arrived.promise;
    return datagrams.slice(0, count);
  };
  return { port: socket.port, received, datagrams };
}

function machine(recording: Recording = {}) {
  const clock = new ManualClock();
  const system = { ...recordedSystem(recording), openUdp: realOpenUdp, clock };
  return { clock, system };
}

async function agentMetrics(values: Partial<OptionValues>, recording: Recording = {}, nodeUuid?: string) {
  const { system, clock } = machine(recording);
  const metrics = new AgentMetrics(system, Config.of(values));
  await metrics.configure(nodeUuid);
  cleanups.push(() => metrics.stop());
  return { metrics, system, clock };
}

const toStatsd = (port: number): Partial<OptionValues> => ({
  "metrics.backend": "statsd",
  "metrics_statsd.statsd_host": "127.0.0.1",
  "metrics_statsd.statsd_port": port,
});

describe("datagrams", () => {
  test("one for each measurement, as name:value|type", async () => {
    const server = await statsd();
    const { metrics } = await agentMetrics({ ...toStatsd(server.port), "metrics.global_prefix": "gp" });
    metrics.timer("ironic_python_agent.api.app.run_command").record(0.39088);
    metrics.counter("errors").increment();
    metrics.gauge("load").set(0.25);
    expect((await server.received(3)).sort()).toEqual([
      "gp.errors:1|c",
      "gp.ironic_python_agent.api.app.run_command:390.880|ms",
      "gp.load:0.250000|g",
    ]);
  });

  test("never have exponents, and set negative gauges by way of zero, because a sign means a change", () => {
    expect(statsdLines("t", "timer", 1e-9)).toEqual(["t:0.000|ms"]);
    expect(statsdLines("c", "counter", 123456789012)).toEqual(["c:123456789012|c"]);
    expect(statsdLines("g", "gauge", -3)).toEqual(["g:0|g", "g:-3|g"]);
    expect(statsdLines("g", "gauge", 1e-7)).toEqual(["g:0.000000|g"]);
  });

  test("go to IPv4 first, and to IPv6 where there is nothing else", async () => {
    const four = await statsd();
    const hosts = { "metrics.example": ["::1", "127.0.0.1"], "six.example": ["::1"] };
    const options = { ...toStatsd(four.port), "metrics_statsd.statsd_host": "metrics.example" };
    (await agentMetrics(options, { hosts })).metrics.counter("a").increment();
    expect(await four.received(1)).toEqual(["a:1|c"]);

    const six = await statsd("IPv6", "::1");
    const other = { ...toStatsd(six.port), "metrics_statsd.statsd_host": "six.example" };
    (await agentMetrics(other, { hosts })).metrics.counter("b").increment();
    expect(await six.received(1)).toEqual(["b:1|c"]);
  });
});

describe("the prefix", () => {
  const host = "agent7.rack2.example.com";
  const uuid = "1be26c0b-03f2-4d2e-ae87-c02d7f33c123";
  const prefix = (values: Partial<OptionValues>, node: string | null = uuid) =>
    metricPrefix(Config.of(values), host, node);

  test("is empty unless options say otherwise", () => {
    expect(prefix({})).toBe("");
    expect(prefix({ "metrics.global_prefix": "" })).toBe("");
  });

  test("holds what is asked for, in Ironic's order", () => {
    expect(prefix({ "metrics.global_prefix": "dc1" })).toBe("dc1.");
    expect(prefix({ "metrics.prepend_host": true })).toBe("com.example.rack2.agent7.");
    expect(prefix({ "metrics.prepend_host": true, "metrics.prepend_host_reverse": false })).toBe(`${host}.`);
    const all = {
      "metrics.global_prefix": "dc1",
      "metrics.prepend_host": true,
      "metrics.prepend_uuid": true,
    };
    expect(prefix(all)).toBe(`dc1.${uuid}.com.example.rack2.agent7.`);
    expect(prefix({ "metrics.prepend_uuid": true }, null)).toBe("");
  });
});

describe("switching", () => {
  test.each(["noop", "collector"] as const)("%s sends nothing and still counts", async (backend) => {
    const server = await statsd();
    const { metrics } = await agentMetrics({ ...toStatsd(server.port), "metrics.backend": backend });
    metrics.counter("silent").increment();
    // What was sent later arrives later: the first datagram of somebody else proves that none came before.
    (await agentMetrics(toStatsd(server.port))).metrics.counter("loud").increment();
    expect(await server.received(1)).toEqual(["loud:1|c"]);
    expect([...metrics.series()]).toMatchObject([{ name: "silent", value: 1 }]);
  });

  // control-plane 11.64
  test("the options may change on the way, as the lookup answer changes them", async () => {
    const server = await statsd();
    const { system } = machine();
    const config = Config.of();
    const metrics = new AgentMetrics(system, config);
    cleanups.push(() => metrics.stop());
    await metrics.configure();
    const counter = metrics.counter("beats");
    counter.increment();
    config.override("metrics.backend", "statsd", "lookup answer");
    config.override("metrics_statsd.statsd_host", "127.0.0.1", "lookup answer");
    config.override("metrics_statsd.statsd_port", server.port, "lookup answer");
    config.override("metrics.prepend_uuid", true, "lookup answer");
    await metrics.configure("node-1");
    counter.increment();
    expect(await server.received(1)).toEqual(["node-1.beats:1|c"]);
    expect([...metrics.series()]).toMatchObject([{ name: "beats", value: 2 }]);
  });
});

describe("a server that is not there", () => {
  test("costs a warning now and then, and nothing else", async () => {
    const { metrics, system, clock } = await agentMetrics({
      ...toStatsd(9),
      "metrics_statsd.statsd_host": "no.example",
    });
    for (let minute = 0; minute < 25; minute++) {
      for (let i = 0; i < 3; i++) metrics.counter("lost").increment();
      await clock.advance(60);
    }
    const warnings = system.records.filter(({ level }) => level === "WARNING");
    expect(warnings.length).toBe(3);
    for (const { message } of warnings)
      expect(message).toContain("statsd at no.example port 9: cannot resolve the host name no.example");
  });

  test("is looked for again after a minute, not at each measurement", async () => {
    const server = await statsd();
    const hosts: Record<string, string[]> = {};
    const lookups: string[] = [];
    const { system, clock } = machine({ hosts });
    const counting = {
      ...system,
      resolveHost: (name: string) => {
        lookups.push(name);
        return system.resolveHost(name);
      },
    };
    const client = new StatsdClient(counting, system.log, {
      host: "late.example",
      port: server.port,
      prefix: "",
    });
    cleanups.push(() => client.close());
    for (let second = 0; second < 59; second++) {
      client.send("counter", "lost", 1);
      await clock.advance(1);
    }
    expect(lookups.length).toBe(1);
    hosts["late.example"] = ["127.0.0.1"];
    await clock.advance(2);
    client.send("counter", "found", 1);
    expect(await server.received(1)).toEqual(["found:1|c"]);
    expect(lookups.length).toBe(2);
  });

  test("while its name takes long to resolve, only so many measurements wait", async () => {
    const server = await statsd();
    const name = Promise.withResolvers<string[]>();
    const { system } = machine();
    const client = new StatsdClient({ ...system, resolveHost: () => name.promise }, system.log, {
      host: "slow.example",
      port: server.port,
      prefix: "",
    });
    cleanups.push(() => client.close());
    for (let i = 0; i < 1000; i++) client.send("counter", "c", i);
    name.resolve(["127.0.0.1"]);
    const sent = await server.received(100);
    expect(new Set(sent).size).toBe(100);
    client.send("gauge", "last", 1);
    expect((await server.received(101))[100]).toBe("last:1|g");
  });
});
