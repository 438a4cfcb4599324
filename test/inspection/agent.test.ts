// The inspection in the agent's start-up sequence: real servers on loopback play the inspection service and Ironic.

import { afterEach, describe, expect, test } from "bun:test";
import type { OptionValues } from "../../src/config/options.ts";
import type { JsonObject } from "../../src/json.ts";
import { agentRig, served, UUID } from "../support/agent-rig.ts";
import { freePort, testMachine } from "../support/test-machine.ts";

const { startIronic, startAgent, cleanUp } = agentRig();
const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  await cleanUp();
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

function startInspector(answer: () => Response) {
  const posted: JsonObject[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      posted.push((await request.json()) as JsonObject);
      return answer();
    },
  });
  cleanups.push(() => server.stop(true));
  return { posted, url: `http://127.0.0.1:${server.port}/v1/continue` };
}

/** A machine that remembers the URLs it asked, and in which waits are short. */
function machine() {
  const system = testMachine({ hurry: 200 });
  const asked: string[] = [];
  const http: typeof system.http = (request) => {
    asked.push(request.url);
    return system.http(request);
  };
  return { asked, system: { ...system, http } };
}

async function agentWith(values: Partial<OptionValues>) {
  const { ironic, url } = await startIronic();
  const { asked, system } = machine();
  const options = { api_url: url, enable_auto_tls: false, inspection_collectors: ["default"], ...values };
  const running = await startAgent(options, { system });
  const lookups = () => asked.filter((address) => address.includes("/v1/lookup"));
  return { ironic, running, asked, lookups };
}

describe("an agent that inspects", () => {
  // control-plane 11.82
  test("posts before it looks its node up, and looks up the node it was told", async () => {
    const inspector = startInspector(() => Response.json({ uuid: UUID }));
    const { ironic, asked, lookups } = await agentWith({ inspection_callback_url: inspector.url });
    await ironic.heard(1);
    expect(inspector.posted).toHaveLength(1);
    expect(inspector.posted[0]).toMatchObject({ error: null });
    expect(asked.indexOf(inspector.url)).toBeLessThan(asked.indexOf(lookups()[0]!));
    expect(new URL(lookups()[0]!).searchParams.get("node_uuid")).toBe(UUID);
  });

  // control-plane 11.80, 11.81
  test("looks up without a node when a collector failed, or the data were refused", async () => {
    const refusing = startInspector(() => new Response("", { status: 400 }));
    const taking = startInspector(() => Response.json({ uuid: UUID }));
    for (const [inspector, collectors] of [
      [refusing, ["default"]],
      [taking, ["default", "usb-devices"]],
    ] as const) {
      const { ironic, lookups } = await agentWith({
        inspection_callback_url: inspector.url,
        inspection_collectors: [...collectors],
      });
      await ironic.heard(1);
      expect(inspector.posted).toHaveLength(1);
      expect(new URL(lookups()[0]!).searchParams.has("node_uuid")).toBe(false);
    }
  });

  // control-plane 11.81
  test("ends with 1 after five attempts that reached nobody, and never asks Ironic", async () => {
    const nobody = `http://127.0.0.1:${await freePort()}/v1/continue`;
    const { running, asked, lookups } = await agentWith({ inspection_callback_url: nobody });
    expect(await running.ended).toBe(1);
    expect(asked.filter((address) => address === nobody)).toHaveLength(5);
    expect(lookups()).toEqual([]);
  });

  // contract 10.64
  test("with only the inspection's URL posts, looks nothing up, and stays", async () => {
    const inspector = startInspector(() => Response.json({ uuid: UUID }));
    const { asked, system } = machine();
    const running = await startAgent(
      { inspection_callback_url: inspector.url, inspection_collectors: ["default"] },
      { system },
    );
    await served(running);
    expect(inspector.posted).toHaveLength(1);
    expect(asked).toEqual([inspector.url]);
    expect((await fetch(`http://127.0.0.1:${running.port}/v1/status`)).status).toBe(200);
  });

  test("does not when it is standalone", async () => {
    const inspector = startInspector(() => Response.json({}));
    const { system } = machine();
    const running = await startAgent(
      { standalone: true, inspection_callback_url: inspector.url, inspection_collectors: ["default"] },
      { system },
    );
    await served(running);
    expect(inspector.posted).toEqual([]);
  });
});
