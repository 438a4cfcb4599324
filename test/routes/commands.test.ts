import { describe, expect, test } from "bun:test";
import { step } from "../extensions/fixture.ts";
import { apiFixture, commands, fault, TOKEN } from "./fixture.ts";

const MISSING = { code: 400, text: "400 Bad Request: Missing or invalid name or params" };
const SYNC = "standby.get_partition_uuids";

describe("bodies (control-plane 11.26, contract 10.22)", () => {
  test.each([
    "{}",
    "[]",
    "5",
    "true",
    "null",
    '"name params"',
    '["name", "params"]',
    '{"name": "a.b"}',
    '{"params": {}}',
    '{"name": 5, "params": {}}',
    '{"name": null, "params": {}}',
    '{"name": "a.b", "params": []}',
    '{"name": "a.b", "params": null}',
    '{"name": "a.b", "params": "{}"}',
    '{"__proto__": {"name": "a.b", "params": {}}}',
  ])("%s lacks a name or parameters", async (body) => {
    const { request, registry } = await apiFixture();
    expect(fault(await request("POST", "/v1/commands/", body))).toEqual(MISSING);
    expect(registry.results()).toEqual([]);
  });

  test.each(["", "{bad", '{"name": "a.b", "params": {}} trailing', "\ufeff\ufeff{}", "NaN"])(
    "%p is no JSON",
    async (body) => {
      const { request } = await apiFixture();
      const { code, text } = fault(await request("POST", "/v1/commands/", body));
      expect(code).toBe(400);
      expect(text).toStartWith("400 Bad Request: Failed to decode JSON object: ");
    },
  );

  test("no body at all", async () => {
    const { request } = await apiFixture();
    expect(fault(await request("POST", "/v1/commands/")).code).toBe(400);
  });

  test("text that is not UTF-8", async () => {
    const { request } = await apiFixture();
    const bytes = new TextEncoder().encode('{"name": "a.b", "params": {"x": "?"}}');
    bytes[bytes.indexOf(0x3f)] = 0xff;
    const { code, text } = fault(await request("POST", "/v1/commands/", bytes));
    expect(code).toBe(400);
    expect(text).toStartWith("400 Bad Request: Failed to decode JSON object: ");
  });

  test("nesting deeper than any command could mean is refused, whatever the shape", async () => {
    const { request } = await apiFixture();
    for (const [open, close] of [
      ["[", "]"],
      ['{"a":', "}"],
    ] as const) {
      const nested = (depth: number) =>
        `{"name": "${SYNC}", "params": {"x": ${open.repeat(depth)}0${close.repeat(depth)}}}`;
      expect(fault(await request("POST", "/v1/commands/", nested(200_000)))).toEqual({
        code: 400,
        text: "400 Bad Request: Failed to decode JSON object: more than 500 levels deep",
      });
      expect((await request("POST", "/v1/commands/", nested(400))).status).toBe(200);
    }
  });

  test("the Content-Type means nothing, and neither do other members", async () => {
    const { api } = await apiFixture();
    const body = JSON.stringify({ name: SYNC, params: {}, extra: [1], wait: true });
    for (const type of [
      "application/json",
      "text/plain",
      "application/x-www-form-urlencoded",
      "multipart/form-data",
      "",
    ]) {
      const headers = { "Content-Type": type };
      const response = await api(
        new Request("http://agent.test:9999/v1/commands/", { method: "POST", headers, body }),
        null,
      );
      expect(response.status).toBe(200);
    }
  });

  test("a declared length over 512 MiB is refused unread", async () => {
    const { api } = await apiFixture();
    const body = new ReadableStream(
      { pull: () => expect.unreachable("read the body") },
      { highWaterMark: 0 },
    );
    const headers = { "Content-Length": String(512 * 1024 * 1024 + 1) };
    const response = await api(
      new Request("http://agent.test:9999/v1/commands/", { method: "POST", headers, body }),
      null,
    );
    expect(response.status).toBe(413);
    expect(response.headers.get("connection")).toBe("close");
    expect(await response.json()).toEqual({
      faultcode: "Client",
      faultstring: "413 Request Entity Too Large: The data value transmitted exceeds the capacity limit.",
    });
  });

  test("so is a chunked body as soon as it gets there", async () => {
    const { request } = await apiFixture();
    const chunk = new Uint8Array(64 * 1024 * 1024).fill(0x20);
    let sent = 0;
    const endless = new ReadableStream({
      pull(controller) {
        sent += chunk.length;
        controller.enqueue(chunk);
      },
    });
    expect(fault(await request("POST", "/v1/commands/", endless)).code).toBe(413);
    expect(sent).toBeLessThan(700 * 1024 * 1024);
  });

  test("a body that breaks off is the client's fault", async () => {
    const { request, system } = await apiFixture();
    const broken = new ReadableStream({
      pull(controller) {
        controller.error(new Error("connection reset"));
      },
    });
    const { code, text } = fault(await request("POST", "/v1/commands/", broken));
    expect(code).toBe(400);
    expect(text).toContain("connection reset");
    expect(system.records.filter(({ level }) => level === "ERROR")).toEqual([]);
  });
});

describe("answers to commands (control-plane 11.27 to 11.29, 11.34 to 11.38, contract 10.23 to 10.28)", () => {
  test("a synchronous command, with all keys in order and no parameters", async () => {
    const { post, get } = await apiFixture();
    const answer = await post(SYNC, {});
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toBe("application/json");
    expect(answer.text).toBe(
      `{"id": "${answer.json.id}", "command_name": "get_partition_uuids", "command_status": "SUCCEEDED", ` +
        `"command_error": null, "command_result": {}}`,
    );
    expect((await get("/v1/commands/")).json).toEqual({ commands: [answer.json] });
    expect((await get(`/v1/commands/${answer.json.id}`)).json).toEqual(answer.json);
    expect((await get(`/commands/${answer.json.id}`)).json).toEqual(answer.json);
  });

  test.each([
    ["nodot", 400, "Invalid command: Command name must be of the form <extension>.<name>"],
    ["", 400, "Invalid command: Command name must be of the form <extension>.<name>"],
    ["x.y", 404, "Not found: Extension with id x not found."],
    ["standby.nope", 400, "Invalid command: Unknown command: nope"],
    [
      "clean.execute_clean_step",
      400,
      "Invalid command parameters: 'step' is missing; 'node' is missing; 'ports' is missing",
    ],
    ["poll.set_node_info", 400, "Invalid command parameters: 'node_info' is missing"],
    ["nosuch.command", 404, "Not found: Extension with id nosuch not found."],
  ])("%p: %d %s, and nothing in the list", async (name, code, text) => {
    const { post, registry } = await apiFixture();
    expect(fault(await post(name, {}))).toEqual({ code, text });
    expect(registry.results()).toEqual([]);
  });

  test("contract 10.30: a repeated POST finds the first one running, once in the list", async () => {
    const { post, get, gate } = await apiFixture();
    const first = await post("test.hold", {}, "?wait=false");
    expect(first.json.command_status).toBe("RUNNING");
    const second = await post("test.hold", {}, "?wait=false");
    expect(fault(second)).toEqual({ code: 409, text: "Agent is busy: executing command hold" });
    expect(second.json.faultcode).toBe("Client");
    expect(commands(await get("/v1/commands/"))).toEqual([first.json]);
    gate.open();
  });

  test("a failed command is no HTTP error", async () => {
    const { post } = await apiFixture();
    const { status, json } = await post("test.broken_sync", {});
    expect(status).toBe(200);
    expect(json).toMatchObject({ command_name: "broken_sync", command_status: "FAILED" });
    expect(json.command_error.type).toBe("CommandExecutionError");
  });

  test("progress is shown on a RUNNING command, after its other keys", async () => {
    const { post, get, gate } = await apiFixture();
    const { json } = await post("test.hold", {});
    await gate.begun;
    gate.report?.({ phase: "writing", done: 1048576, total: null, unit: "byte", rate: 0.5 });
    expect((await get(`/v1/commands/${json.id}`)).text).toEndWith(
      '"command_result": null, "command_progress": {"phase": "writing", "done": 1048576, "total": null, ' +
        '"unit": "byte", "rate": 0.5}}',
    );
    gate.open();
  });

  // contract 10.26
  test("no refusal but that of a busy agent says that the agent is busy, and none names the token", async () => {
    const { post } = await apiFixture();
    for (const name of ["standby.agent is busy", "AGENT IS BUSY.x", "standby.agent_token", "Agent_Token.x"]) {
      const answer = await post(name, {});
      expect(answer.text).not.toMatch(/agent is busy|agent_token/i);
    }
  });
});

describe("waiting (control-plane 11.30, 11.31, 11.33, contract 10.25)", () => {
  test.each(["true", "True", "TRUE", "tRuE"])("wait=%s waits, and blocks nobody meanwhile", async (word) => {
    const { post, get, gate } = await apiFixture();
    let answered = false;
    const waiting = post("test.hold", {}, `?wait=${word}`).then((answer) => {
      answered = true;
      return answer;
    });
    await gate.begun;
    expect((await get("/v1/status")).status).toBe(200);
    const [running] = commands(await get("/v1/commands/"));
    expect(running?.command_status).toBe("RUNNING");
    const joined = get(`/v1/commands/${running?.id}?wait=${word}`);
    expect(answered).toBe(false);
    gate.open("over");
    expect((await waiting).json.command_result).toEqual({ result: "hold: over" });
    expect((await joined).json).toEqual((await waiting).json);
  });

  test.each(["?wait=1", "?wait=yes", "?wait=", "?wait", "?wait=false&wait=true", ""])(
    "%p does not",
    async (query) => {
      const { post, get, gate } = await apiFixture();
      const { json } = await post("test.hold", {}, query);
      expect(json.command_status).toBe("RUNNING");
      expect((await get(`/v1/commands/${json.id}${query}`)).json.command_status).toBe("RUNNING");
      gate.open();
    },
  );

  test("a synchronous command under way delays no reading", async () => {
    const { post, get, gate } = await apiFixture();
    const first = post("test.hold_sync", {});
    await gate.begun;
    const second = post("test.echo_sync", { value: 2 });
    expect((await get("/v1/status")).status).toBe(200);
    expect(commands(await get("/v1/commands/"))).toEqual([]);
    gate.open(1);
    expect((await first).json.command_result).toBe(1);
    expect((await second).json.command_result).toBe(2);
  });

  test("waiting for what has ended returns at once", async () => {
    const { post, get } = await apiFixture();
    const { json } = await post("test.echo_sync", { value: 1 }, "?wait=true");
    expect((await get(`/v1/commands/${json.id}?wait=true`)).json).toEqual(json);
  });
});

describe("a conversation as a conductor has it (contract 10.21, 10.35, 10.38, 10.41)", () => {
  test("steps, a step that runs, and its end in the list", async () => {
    const end = Promise.withResolvers<void>();
    const writeImage = step("write_image", async (_context, args) => {
      await end.promise;
      return { wrote: args.image_info ?? null };
    });
    const api = await apiFixture({ config: { standalone: false }, token: TOKEN, steps: [writeImage] });
    const auth = `&agent_token=${TOKEN}`;
    const node = { uuid: "5f1ae6cc-0d76-4d6c-b2d4-6a9b5c3f0001", instance_info: {} };
    expect(commands(await api.get("/v1/commands/"))).toEqual([]);
    const steps = await api.post("deploy.get_deploy_steps", { node, ports: [] }, `?wait=true${auth}`);
    const { deploy_steps, hardware_manager_version } = steps.json.command_result;
    expect(deploy_steps.TestHardwareManager[0]).toMatchObject({
      interface: "deploy",
      step: "write_image",
      priority: 0,
    });
    const started = await api.post(
      "deploy.execute_deploy_step",
      {
        step: {
          interface: "deploy",
          step: "write_image",
          args: { image_info: { id: "debian" }, configdrive: null },
        },
        node,
        ports: [],
        deploy_version: hardware_manager_version,
      },
      `?wait=false${auth}`,
    );
    expect(started.json).toMatchObject({ command_name: "execute_deploy_step", command_status: "RUNNING" });
    end.resolve();
    await api.registry.wait(started.json.id);
    const list = commands(await api.get("/v1/commands/"));
    expect(list.map(({ command_name, command_status }) => [command_name, command_status])).toEqual([
      ["get_deploy_steps", "SUCCEEDED"],
      ["execute_deploy_step", "SUCCEEDED"],
    ]);
    expect(list.at(-1)?.command_result).toMatchObject({
      deploy_result: { wrote: { id: "debian" } },
      deploy_step: { interface: "deploy", step: "write_image" },
    });
  });
});
