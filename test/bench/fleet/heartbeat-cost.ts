// What one heartbeat costs the agent in processor time, with a server in a process of its own: over HTTP, over HTTPS on a
// connection that is kept, and over HTTPS with a new connection for each, as in the field, where minutes lie between two.

import { Config } from "../../../src/config/config.ts";
import { IronicApi } from "../../../src/ironic/api-client.ts";
import { Heartbeater } from "../../../src/ironic/heartbeat.ts";
import { AgentToken } from "../../../src/ironic/token.ts";
import { NO_METRICS } from "../../../src/metrics/metrics.ts";
import { type Clock, realClock } from "../../../src/system/clock.ts";
import { realFiles } from "../../../src/system/files.ts";
import { realHttpClient } from "../../../src/system/http-client.ts";
import { selfSigned } from "../../support/certificate.ts";
import { recordedSystem } from "../../support/recorded-system.ts";
import type { Figure } from "./run.ts";

const BEATS = 500;

export async function heartbeatCost(): Promise<Figure[]> {
  await using identity = await selfSigned("127.0.0.1");
  const figures: Figure[] = [];
  for (const [what, scheme, keepAlive] of [
    ["a heartbeat, HTTP", "http", true],
    ["a heartbeat, HTTPS, same connection", "https", true],
    ["a heartbeat, HTTPS, new connection", "https", false],
  ] as const) {
    const files = { cert: identity.certFile, key: identity.keyFile };
    await using server = await Server.start({ tls: scheme === "https" ? files : null, keepAlive });
    const url = `${scheme}://127.0.0.1:${server.port}`;
    await beat(url, identity.certFile, 50); // warms up
    figures.push([what, `${(await beat(url, identity.certFile, BEATS)).toFixed(2)} ms of processor time`]);
  }
  return figures;
}

/** Processor milliseconds for each of so many heartbeats, one after the other. */
async function beat(url: string, cafile: string, count: number): Promise<number> {
  const enough = Promise.withResolvers<void>();
  let left = count;
  const system = {
    ...recordedSystem(),
    files: realFiles,
    http: realHttpClient,
    // No pauses between heartbeats.
    clock: { ...realClock, sleep: async () => undefined } satisfies Clock,
  };
  const api = await IronicApi.create(system, Config.of({ api_url: url, cafile }));
  if (api === null) throw new Error("no API URL");
  const heartbeater = new Heartbeater({
    api,
    clock: { ...system.clock, uniform: () => 0, monotonic: () => 0 },
    log: {
      ...system.log,
      debug: () => {
        if (--left === 0) enough.resolve();
      },
      error: (message, context) => enough.reject(new Error(`${message}: ${context}`)),
    },
    metrics: NO_METRICS,
    token: new AgentToken("t".repeat(43)),
    nodeUuid: crypto.randomUUID(),
    callbackUrl: "https://192.0.2.7:9999",
    agentVersion: "1.2.3",
    verifyCa: "-----BEGIN CERTIFICATE-----\n".padEnd(800, "x"),
    heartbeatTimeout: 300,
  });
  const before = process.cpuUsage();
  heartbeater.start();
  await enough.promise;
  const { user, system: kernel } = process.cpuUsage(before);
  await heartbeater.stop();
  return (user + kernel) / 1000 / count;
}

type ServerOptions = {
  readonly tls: { readonly cert: string; readonly key: string } | null;
  readonly keepAlive: boolean;
};

/** Ironic's answers, in a process of its own, so that its time is not counted. */
class Server implements AsyncDisposable {
  readonly port: number;
  readonly #child: Bun.Subprocess;

  private constructor(port: number, child: Bun.Subprocess) {
    this.port = port;
    this.#child = child;
  }

  static async start(options: ServerOptions): Promise<Server> {
    const port = Promise.withResolvers<number>();
    const child = Bun.spawn(
      [process.execPath, `${import.meta.dir}/heartbeat-server.ts`, JSON.stringify(options)],
      { ipc: (message: number) => port.resolve(message), stdout: "inherit", stderr: "inherit" },
    );
    return new Server(await port.promise, child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill();
    await this.#child.exited;
  }
}
