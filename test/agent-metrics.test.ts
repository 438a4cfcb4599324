// Metrics of a whole agent, over real UDP: what a statsd server hears from it. control-plane 9.6, DEV-23.

import { afterEach, describe, expect, test } from "bun:test";
import { realOpenUdp, type UdpSocket } from "../src/system/udp.ts";
import { accepted, agentRig, post, served, TOKEN } from "./support/agent-rig.ts";

const { startIronic, startAgent, cleanUp } = agentRig();
const sockets: UdpSocket[] = [];
afterEach(async () => {
  await cleanUp();
  for (const socket of sockets.splice(0)) await socket.close();
});

/** Remembers datagrams, and waits for one. */
async function statsd() {
  const heard: string[] = [];
  let arrived = Promise.withResolvers<void>();
  const socket = await realOpenUdp({
    family: "IPv4",
    bind: { address: "127.0.0.1", port: 0 },
    onDatagram(data) {
      heard.push(new TextDecoder().decode(data));
      arrived.resolve();
      arrived = Promise.withResolvers();
    },
  });
  sockets.push(socket);
  const hears = async (pattern: RegExp): Promise<string> => {
    for (;;) {
      const found = heard.find((datagram) => pattern.test(datagram));
      if (found !== undefined) return found;
      await arrived.promise;
    }
  };
  return { port: socket.port, heard, hears };
}

describe("statsd", () => {
  test("is told of the API's handlers in the reference's form, from the options alone (control-plane 11.97)", async () => {
    const server = await statsd();
    const running = await startAgent({
      standalone: true,
      "metrics.backend": "statsd",
      "metrics.global_prefix": "gp",
      "metrics_statsd.statsd_host": "127.0.0.1",
      "metrics_statsd.statsd_port": server.port,
    });
    await served(running);
    await fetch(`http://127.0.0.1:${running.port}/v1/status`);
    expect(await server.hears(/get_status/)).toMatch(
      /^gp\.ironic_python_agent\.api\.app\.get_status:[0-9]+\.[0-9]+\|ms$/,
    );
  });

  test("is switched on by Ironic's answer to the lookup (control-plane 11.64)", async () => {
    const server = await statsd();
    const { ironic, url } = await startIronic({
      config: {
        metrics: {
          backend: "statsd",
          prepend_host: false,
          prepend_uuid: false,
          prepend_host_reverse: true,
          global_prefix: "dc1",
        },
        metrics_statsd: { statsd_host: "127.0.0.1", statsd_port: server.port },
      },
    });
    const running = await startAgent({ api_url: url, enable_auto_tls: false });
    await ironic.heard(1);
    expect(await server.hears(/heartbeat/)).toMatch(
      /^dc1\.ironic_python_agent\.heartbeat:[0-9]+\.[0-9]+\|ms$/,
    );
    const commands = `http://127.0.0.1:${running.port}/v1/commands/?agent_token=${TOKEN}`;
    await post(commands, "standby.get_partition_uuids");
    await server.hears(/^dc1\.ironic_python_agent\.api\.app\.run_command:/);
    await server.hears(/^dc1\.ironic_python_agent\.commands\.standby\.get_partition_uuids:/);
  });

  test("hears nothing with the backend noop, and GET /metrics has the numbers all the same", async () => {
    const server = await statsd();
    const { ironic, url } = await startIronic();
    const running = await startAgent({
      api_url: url,
      enable_auto_tls: false,
      "metrics_statsd.statsd_host": "127.0.0.1",
      "metrics_statsd.statsd_port": server.port,
    });
    await ironic.heard(1);
    await accepted(running, 1);
    const answer = await fetch(`http://127.0.0.1:${running.port}/metrics`);
    expect(await answer.text()).toContain("ironic_python_agent_heartbeat_seconds_count 1\n");
    // Datagrams on loopback arrive in order: what the agent had sent would be here before this one.
    const own = await realOpenUdp({ family: "IPv4" });
    sockets.push(own);
    await own.send("end", server.port, "127.0.0.1");
    await server.hears(/^end$/);
    expect(server.heard).toEqual(["end"]);
  });
});
