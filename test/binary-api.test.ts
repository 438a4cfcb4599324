// The API checklist once more (control-plane 11.21 to 11.49 and 11.66 to 11.69), against the compiled executable, over real sockets
// with TLS. It is never allowed to touch this machine: what it is asked to do only reads, or is refused.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { connect } from "node:tls";
import { EmbeddedConductor } from "./kit/conductor.ts";
import type { PowerControl } from "./kit/power.ts";
import { type AgentProcess, machineMacs, startAgentProcess } from "./support/agent-process.ts";
import { selfSigned } from "./support/certificate.ts";

const noPower: PowerControl = { on: async () => {}, off: async () => {}, state: async () => "power on" };
const WRONG = "f".repeat(43);
const NODE = { uuid: "6d1d8b1c-1c71-4a5b-9d0e-0a3f5d4e2c12", properties: {} };
const INVENTORY = { "poll.get_hardware_info": {} };

/** A step that gives back what it is asked to, or fails as it is asked to; and answers that are null, or somebody else's. */
const ECHO = `
  import { BlockDeviceError, defineStep, HardwareManager, IncompatibleHardwareMethodError } from "ironic-agent";
  export default class Echo extends HardwareManager {
    override readonly version = "1";
    evaluateHardwareSupport() { this.context.system.log.info("evaluated Echo"); return 3; }
    initialize() { this.context.system.log.info("initialized Echo"); }
    async getBmcAddress(): Promise<never> { throw new IncompatibleHardwareMethodError("not mine"); }
    async getBmcV6Address() { return null; }
    override getCleanSteps() {
      return [defineStep({ step: "echo", run: async (context, { result, fail, ask, ...rest }) => {
        if (ask !== undefined) return context.dispatch(ask as never);
        if (fail === "foreign") throw new RangeError("kaboom");
        if (fail !== undefined) throw new BlockDeviceError("kaboom");
        return result ?? rest;
      } })];
    }
  }`;

/** Below it, with a step of the same name that has the higher priority. */
const BELOW = `
  import { defineStep, HardwareManager } from "ironic-agent";
  export default class Below extends HardwareManager {
    override readonly version = "1";
    evaluateHardwareSupport() { this.context.system.log.info("evaluated Below"); return 2; }
    initialize() { this.context.system.log.info("initialized Below"); }
    async getBmcAddress() { return "192.0.2.9"; }
    async getBmcV6Address() { return "fd00::9"; }
    override getCleanSteps() { return [defineStep({ step: "echo", priority: 99, run: () => "below" })]; }
  }`;

type Answer = {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: the test looks into answers of every shape.
  readonly json: any;
};

let conductor: EmbeddedConductor;
let agent: AgentProcess;
let url: string;
let ca: string;
let token: string;
let heartbeats = 0;
let plugins: string;

beforeAll(async () => {
  plugins = await mkdtemp(`${tmpdir()}/binary-api-`);
  // By their names the lower one is loaded first.
  await writeFile(`${plugins}/2.ts`, ECHO);
  await writeFile(`${plugins}/1.ts`, BELOW);
  conductor = EmbeddedConductor.start();
  const node = conductor.enrol({ uuid: NODE.uuid, macs: await machineMacs() }, noPower);
  node.provisionState = "cleaning"; // heartbeats are stored and nothing is asked of the agent
  const first = Promise.withResolvers<{ callbackUrl: string; agentVerifyCa: string | null }>();
  conductor.observe((event) => {
    if (event.type !== "heartbeat") return;
    heartbeats++;
    first.resolve(event);
  });
  agent = await startAgentProcess("--api_url", conductor.url, "--hardware_manager_dir", plugins);
  const heartbeat = await Promise.race([
    first.promise,
    agent.exited.then((code) => Promise.reject(new Error(`the agent ended with ${code}:\n${agent.log()}`))),
  ]);
  url = heartbeat.callbackUrl;
  ca = heartbeat.agentVerifyCa ?? "";
  token = node.token ?? "";
}, 60_000);

afterAll(async () => {
  await agent?.[Symbol.asyncDispose]();
  await conductor?.[Symbol.asyncDispose]();
  await rm(plugins, { recursive: true });
});

async function ask(method: string, path: string, body?: string): Promise<Answer> {
  const response = await fetch(url + path, {
    method,
    redirect: "manual",
    ...(body === undefined ? {} : { body }),
    tls: { ca },
  });
  const text = await response.text();
  const json: unknown = text.startsWith("{") ? JSON.parse(text) : undefined;
  return { status: response.status, headers: response.headers, text, json };
}

const post = (name: unknown, params: unknown, query = "") =>
  ask("POST", `/v1/commands/?agent_token=${token}${query}`, JSON.stringify({ name, params }));
const commands = async () => (await ask("GET", "/v1/commands/")).json.commands as Answer["json"][];
const fault = ({ status, json }: Answer) => [status, json.faultstring];

const lastError = (process: AgentProcess) =>
  process
    .log()
    .split("\n")
    .findLast((line) => line.includes(" ERROR "));

/** No command runs any more. */
async function idle(): Promise<void> {
  const last = (await commands()).at(-1);
  if (last?.command_status === "RUNNING") await ask("GET", `/v1/commands/${last.id}?wait=true`);
}

describe("resources of the executable", () => {
  test("11.21 and 11.34: documents with links from the Host header; an empty list at first", async () => {
    expect(await commands()).toEqual([]);
    const root = await ask("GET", "/");
    expect(root.json.default_version.links[0]).toEqual({ href: `${url}/v1`, rel: "self" });
    expect(root.headers.get("content-type")).toBe("application/json");
    expect((await ask("GET", "/v1/")).json.commands).toEqual([
      { href: `${url}/v1/commands`, rel: "self" },
      { href: `${url}/commands`, rel: "bookmark" },
    ]);
    expect((await ask("GET", "/status")).json).toEqual((await ask("GET", "/v1/status")).json);
  });

  test("11.22: a missing slash, and too many, are 308 with the query kept", async () => {
    for (const [method, from, to] of [
      ["GET", "/v1", "/v1/"],
      ["POST", "/v1/commands?wait=true&agent_token=x", "/v1/commands/?wait=true&agent_token=x"],
      ["GET", "//v1//status", "/v1/status"],
    ] as const) {
      const answer = await ask(method, from);
      expect([answer.status, answer.headers.get("location")]).toEqual([308, url + to]);
    }
  });

  test("11.23 and 11.24: what is not there is 404, a wrong method 405; HEAD is GET without the body", async () => {
    for (const path of ["/v1/status/", `/v1/commands/${NODE.uuid}/`, "/v2/", "/V1/status", "/nonexistent"])
      expect([path, (await ask("GET", path)).status]).toEqual([path, 404]);
    const head = await ask("HEAD", "/");
    expect([head.status, head.text]).toEqual([200, ""]);
    expect(Date.parse(head.headers.get("date") ?? "")).toBeGreaterThan(0);
    const refused = await ask("POST", "/v1/status");
    expect([refused.status, refused.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
    expect((await ask("DELETE", "/v1/commands/")).headers.get("allow")).toBe("GET, POST, HEAD");
  });

  test("11.28: an unknown id", async () => {
    const answer = await ask("GET", "/v1/commands/nosuch");
    expect(fault(answer)).toEqual([404, "Not found: Command Result with id nosuch not found."]);
  });

  test("the OpenAPI document and the metrics are there", async () => {
    const { json } = await ask("GET", "/v1/openapi.json");
    expect(json.components.schemas["clean.execute_clean_step"]).toBeDefined();
    expect((await ask("GET", "/metrics")).text).toContain("ironic_python_agent");
  });
});

describe("tokens at the executable", () => {
  test("11.42: POST needs the right one, and says so before it looks at the body", async () => {
    for (const query of ["", "?agent_token=", `?agent_token=${WRONG}`]) {
      const answer = await ask("POST", `/v1/commands/${query}`, "{bad");
      expect(fault(answer)).toEqual([401, "401 Unauthorized: Token invalid."]);
    }
    expect((await post("standby.get_partition_uuids", {})).status).toBe(200);
    for (const path of ["/", "/v1/", "/v1/status"]) expect((await ask("GET", path)).status).toBe(200);
  });

  test("11.44: a wrong one on GET is refused and changes nothing", async () => {
    expect((await ask("GET", `/v1/commands/?agent_token=${WRONG}`)).status).toBe(401);
    expect((await ask("GET", "/v1/commands/")).status).toBe(200);
  });

  test("11.45: poll.set_node_info is for standalone agents", async () => {
    expect((await post("poll.set_node_info", { node_info: {} })).status).toBe(400);
  });
});

describe("bodies and names at the executable", () => {
  test("11.25 and 11.26: what is no command is 400, in the one form of errors", async () => {
    const path = `/v1/commands/?agent_token=${token}`;
    for (const body of [
      "",
      "{bad",
      "[]",
      "5",
      "null",
      '"name params"',
      '{"name": 5, "params": {}}',
      '{"name": "a.b", "params": []}',
    ]) {
      const answer = await ask("POST", path, body);
      expect([body, answer.status]).toEqual([body, 400]);
      expect(answer.json).toEqual({ faultcode: "Client", faultstring: expect.any(String) });
      expect(answer.headers.get("content-type")).toBe("application/json");
    }
  });

  test("11.27, 11.38 and 11.47: names, parameters, image information; nothing of it is recorded", async () => {
    const before = await commands();
    expect(fault(await post("nodot", {}))).toEqual([
      400,
      "Invalid command: Command name must be of the form <extension>.<name>",
    ]);
    expect(fault(await post("x.y", {}))).toEqual([404, "Not found: Extension with id x not found."]);
    expect(fault(await post("standby.nope", {}))).toEqual([400, "Invalid command: Unknown command: nope"]);
    const [status, text] = fault(await post("clean.execute_clean_step", {}));
    expect([status, text]).toEqual([
      400,
      expect.stringMatching(/^Invalid command parameters: 'step' is missing/),
    ]);
    expect(fault(await post("standby.prepare_image", { image_info: {} }))[1]).toStartWith(
      "Invalid command parameters: ",
    );
    expect(await commands()).toEqual(before);
    const ignored = await post("standby.get_partition_uuids", { colour: "red" });
    expect(ignored.json.command_status).toBe("SUCCEEDED");
  });
});

describe("commands of the executable", () => {
  test("11.29, 11.34 and 11.35: a synchronous one", async () => {
    const { status, json } = await post("standby.get_partition_uuids", {});
    expect(status).toBe(200);
    expect(Object.keys(json)).toEqual([
      "id",
      "command_name",
      "command_status",
      "command_error",
      "command_result",
    ]);
    expect(json).toMatchObject({
      command_name: "get_partition_uuids",
      command_status: "SUCCEEDED",
      command_error: null,
    });
    expect((await commands()).at(-1)).toEqual(json);
  });

  test("11.29 to 11.32: an asynchronous one runs, the agent is busy and answers everybody, wait waits", async () => {
    const flow = Array.from({ length: 10 }, () => INVENTORY);
    const waiting = post("flow.start_flow", { flow }, "&wait=TRUE");
    let running: Answer["json"] | undefined;
    while (running?.command_name !== "start_flow") running = (await commands()).at(-1);
    expect(running.command_status).toBe("RUNNING");
    for (const name of ["standby.sync", "x.y", "clean.execute_clean_step"])
      expect(fault(await post(name, {}))).toEqual([409, "Agent is busy: executing command start_flow"]);
    // Before the command has ended, as the next answer shows: nobody waits behind the one who waits.
    expect((await ask("GET", "/v1/status")).status).toBe(200);
    for (const word of ["1", "yes"])
      expect((await ask("GET", `/v1/commands/${running.id}?wait=${word}`)).json.command_status).toBe(
        "RUNNING",
      );
    const { json } = await waiting;
    expect(json).toMatchObject({ id: running.id, command_status: "SUCCEEDED", command_result: null });
  }, 60_000);

  test("11.33: one that comes during a synchronous command is executed after it", async () => {
    const [first, second] = await Promise.all([
      post("poll.get_hardware_info", {}),
      post("standby.get_partition_uuids", {}),
    ]);
    expect([first.json.command_status, second.json.command_status]).toEqual(["SUCCEEDED", "SUCCEEDED"]);
  });

  test("11.37 and 11.40: steps for a bare node; a version mismatch runs nothing", async () => {
    const steps = await post("clean.get_clean_steps", { node: NODE, ports: [] });
    expect(steps.json.command_status).toBe("SUCCEEDED");
    const params = { step: { step: "nosuch" }, node: NODE, ports: [], clean_version: { other: "9" } };
    const { json } = await post("clean.execute_clean_step", params, "&wait=true");
    expect(json).toMatchObject({
      command_status: "CLEAN_VERSION_MISMATCH",
      command_error: { type: "VersionMismatch", code: 409 },
      command_result: null,
    });
  });

  test("11.36, 11.38 and 11.41: a failure is a result, of a type that is never TypeError", async () => {
    const params = { step: { step: "nosuch" }, node: NODE, ports: [] };
    const { status, json } = await post("clean.execute_clean_step", params, "&wait=true");
    expect(status).toBe(200);
    expect(json.command_status).toBe("FAILED");
    expect(Object.keys(json.command_error)).toEqual(["type", "code", "message", "details"]);
    expect(json.command_error.type).not.toBe("TypeError");
    expect(json.command_error.details).toContain("nosuch");
    expect((await commands()).at(-1)).toEqual(json);
  });

  test("11.39, 11.75 and contract 10.31, 10.38: a step's result as it is, its arguments before the command's", async () => {
    const execute = async (args: object, others: object = {}) => {
      const params = { step: { interface: "deploy", step: "echo", args }, node: NODE, ports: [], ...others };
      return (await post("clean.execute_clean_step", params, "&wait=true")).json;
    };
    for (const result of [["out", "err"], "text", { a: null }, 0]) {
      const { command_status, command_result } = await execute({ result });
      expect(command_status).toBe("SUCCEEDED");
      expect(command_result).toEqual({
        clean_result: result,
        clean_step: { interface: "deploy", step: "echo", args: { result } },
      });
    }
    const { command_result } = await execute({ seconds: 5 }, { seconds: 60, agents: 2 });
    expect(command_result.clean_result).toEqual({ seconds: 5, agents: 2 });
  });

  test("11.76: an error of the API keeps its type, another becomes a CleaningError with its class and text", async () => {
    const fail = async (how: string) => {
      const params = { step: { step: "echo", args: { fail: how } }, node: NODE, ports: [] };
      return (await post("clean.execute_clean_step", params, "&wait=true")).json.command_error;
    };
    expect(await fail("of the API")).toEqual({
      type: "BlockDeviceError",
      code: 500,
      message: "Block device caused unknown error",
      details: "kaboom",
    });
    expect(await fail("foreign")).toMatchObject({
      type: "CleaningError",
      message: "Clean step failed",
      details: expect.stringContaining("Unexpected exception performing clean step echo. RangeError: kaboom"),
    });
  });

  test("11.70: managers are evaluated once each, and then initialized, the best suited first", () => {
    const said = agent.log().match(/\b(evaluated|initialized) (Echo|Below)\b/g);
    expect(said).toEqual(["evaluated Below", "evaluated Echo", "initialized Echo", "initialized Below"]);
  });

  test("11.71 and 11.72: null is an answer, incompatible passes the question on, nobody is an error", async () => {
    const execute = async (step: object) =>
      (await post("clean.execute_clean_step", { step, node: NODE, ports: [] }, "&wait=true")).json;
    const asked = async (ask: string) =>
      (await execute({ step: "echo", args: { ask } })).command_result.clean_result;
    expect(await asked("getBmcAddress")).toBe("192.0.2.9");
    expect(await asked("getBmcV6Address")).toBeNull();
    expect((await execute({ step: "nosuch" })).command_error).toMatchObject({
      type: "HardwareManagerMethodNotFound",
      details: "Could not find method: nosuch",
    });
  });

  test("11.73 and 11.74: of two steps of a name the better suited manager's counts; a class without steps is not listed", async () => {
    const { command_result } = (await post("clean.get_clean_steps", { node: NODE, ports: [] })).json;
    expect(command_result.clean_steps.Echo).toMatchObject([{ step: "echo", priority: 0 }]);
    expect(command_result.clean_steps).not.toHaveProperty("Below");
    expect(command_result.hardware_manager_version).toMatchObject({
      Echo: "1",
      Below: "1",
      generic_hardware_manager: "1.2",
    });
  });

  test("contract 10.32 and 10.33: all three lists have whole steps, and the same versions", async () => {
    const versions = [];
    for (const kind of ["clean", "deploy", "service"]) {
      const { command_result } = (await post(`${kind}.get_${kind}_steps`, { node: NODE, ports: [] })).json;
      versions.push(command_result.hardware_manager_version);
      for (const step of Object.values<Answer["json"]>(command_result[`${kind}_steps`]).flat())
        expect(step).toMatchObject({
          step: expect.any(String),
          interface: expect.any(String),
          priority: expect.any(Number),
          reboot_requested: expect.any(Boolean),
        });
    }
    expect(versions[1]).toEqual(versions[0]);
    expect(versions[2]).toEqual(versions[0]);
  });

  test("11.93 and contract 10.56: the logs are a tar.gz in base64", async () => {
    const started = performance.now();
    const { command_status, command_result } = (await post("log.collect_system_logs", {})).json;
    expect(command_status).toBe("SUCCEEDED");
    expect(performance.now() - started).toBeLessThan(60_000);
    const list = Bun.spawn(["tar", "-tz"], {
      stdin: Buffer.from(command_result.system_logs, "base64"),
      stdout: "pipe",
    });
    const members = (await new Response(list.stdout).text()).trimEnd().split("\n");
    expect(members).toEqual(expect.arrayContaining(["ps", "df", "mount", "lsblk", "dmesg"]));
    expect(agent.log()).not.toContain(command_result.system_logs.slice(0, 200));
  }, 90_000);

  test("contract 10.29: a body of 300 MiB, with a config drive three times, is taken", async () => {
    const configdrive = "A".repeat(100 * 1024 * 1024);
    const step = { step: "nosuch", args: { configdrive, image_info: { configdrive } } };
    const node = { ...NODE, instance_info: { configdrive } };
    const { json } = await post("clean.execute_clean_step", { step, node, ports: [] });
    expect(json.command_status).toBe("RUNNING");
    await idle();
    const last = (await commands()).at(-1);
    expect([last.id, last.command_status]).toEqual([json.id, "FAILED"]);
  }, 180_000);

  test("11.46: a flow with an unknown command is refused, a failing child ends it, children are not listed", async () => {
    const before = (await commands()).length;
    expect((await post("flow.start_flow", { flow: [{ "standby.nope": {} }] })).status).toBe(400);
    const child = { step: { step: "nosuch" }, node: NODE, ports: [] };
    const { json } = await post(
      "flow.start_flow",
      { flow: [{ "clean.execute_clean_step": child, ...INVENTORY }] },
      "&wait=true",
    );
    expect(json.command_error).toMatchObject({
      type: "CommandExecutionError",
      details: "clean.execute_clean_step was failed",
    });
    expect((await commands()).length).toBe(before + 1);
  });

  test("11.48: config drives and tokens are not in the log; requests are, one line each", async () => {
    const step = {
      step: "nosuch",
      args: { configdrive: "SECRETDRIVE", deep: [{ configdrive: "SECRETDRIVE" }] },
    };
    await post("clean.execute_clean_step", { step, node: NODE, ports: [] }, "&wait=true");
    expect(agent.log()).toContain("<...>");
    expect(agent.log()).not.toContain("SECRETDRIVE");
    expect(agent.log()).not.toContain(token);
    expect(agent.log()).toMatch(
      / INFO ironic_python_agent\.api \[-\] 127\.0\.0\.1 - POST \/v1\/commands\/\?agent_token=\*{6}&wait=true - 200 \(\d+\.\d\dms\)/,
    );
  });

  test("events of a command come over TLS, and end with it", async () => {
    await idle();
    const { json } = await post("flow.start_flow", { flow: [INVENTORY, INVENTORY] });
    const text = (await ask("GET", `/v1/commands/${json.id}/events`)).text;
    expect(text).toStartWith("retry: 2000\nevent: state\n");
    expect(text).toMatch(/event: log\nid: 1\ndata: \{"time": /);
    expect(text).toMatch(/event: state\nid: end\ndata: .*"command_status": "SUCCEEDED".*\n\n$/);
  }, 30_000);

  test("10.16 of the contract: ends of asynchronous commands led to heartbeats", async () => {
    // Not before a second has passed since the command came; the regular ones are a minute and a half apart.
    while (heartbeats <= 1) await Bun.sleep(20);
  }, 30_000);
});

describe("TLS of the executable", () => {
  const handshake = async (port: number, ...options: string[]) => {
    const child = Bun.spawn(
      ["openssl", "s_client", "-connect", `127.0.0.1:${port}`, "-ign_eof", ...options],
      {
        stdin: new TextEncoder().encode("GET /v1/status HTTP/1.0\r\n\r\n"),
        stdout: "pipe",
        stderr: "ignore",
      },
    );
    return (await new Response(child.stdout).text()).includes("HTTP/1.1 200");
  };

  test("11.66: the automatic certificate", async () => {
    const { x509, now } = await new Promise<{ x509: X509Certificate; now: number }>((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port: agent.port, ca }, () => {
        resolve({ x509: new X509Certificate(socket.getPeerCertificate(true).raw), now: Date.now() / 1000 });
        socket.destroy();
      });
      socket.on("error", reject);
    });
    expect(url).toBe(`https://127.0.0.1:${agent.port}`);
    expect(x509.subject).toBe(`CN=${hostname().slice(0, 64)}`);
    expect(x509.issuer).toBe(x509.subject);
    expect(x509.subjectAltName).toBe("IP Address:127.0.0.1");
    const seconds = (date: string) => Date.parse(date) / 1000;
    // Made within the last minutes, an hour in advance.
    expect(Math.abs(now - 3600 - seconds(x509.validFrom))).toBeLessThan(600);
    expect(seconds(x509.validTo) - seconds(x509.validFrom)).toBe(30 * 24 * 3600 + 3600);
    expect(x509.publicKey.asymmetricKeyType).toBe("ec");
    expect(ca).toStartWith(x509.toString());
  });

  test("11.69: key file 0600; 1.2 and 1.3 are spoken, 1.1 is not", async () => {
    expect((await stat("/run/ironic-python-agent/agent.key")).mode & 0o777).toBe(0o600);
    expect(await handshake(agent.port, "-tls1_2")).toBe(true);
    expect(await handshake(agent.port, "-tls1_3")).toBe(true);
    expect(await handshake(agent.port, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")).toBe(false);
  });

  test.each([
    ["an Ironic that ends at 1.67", "1.67", []],
    ["--noenable_auto_tls", "1.82", ["--noenable_auto_tls"]],
  ] as const)(
    "11.67: %s means plain HTTP and nothing to verify",
    async (_name, apiVersion, options) => {
      await using ironic = EmbeddedConductor.start({ settings: { apiVersion } });
      const node = ironic.enrol({ uuid: NODE.uuid, macs: await machineMacs() }, noPower);
      node.provisionState = "cleaning";
      const heard = Promise.withResolvers<{ callbackUrl: string; agentVerifyCa: string | null }>();
      ironic.observe((event) => {
        if (event.type === "heartbeat") heard.resolve(event);
      });
      await using plain = await startAgentProcess("--api_url", ironic.url, ...options);
      const { callbackUrl, agentVerifyCa } = await heard.promise;
      expect([callbackUrl, agentVerifyCa]).toEqual([`http://127.0.0.1:${plain.port}`, null]);
      expect((await fetch(`${callbackUrl}/v1/status`)).status).toBe(200);
    },
    60_000,
  );

  test("11.68: listen_tls without its files ends with 1, naming them", async () => {
    const standalone = ["--standalone", "--disk_wait_attempts", "0", "--listen_tls"];
    await using none = await startAgentProcess(...standalone);
    expect(await none.exited).toBe(1);
    expect(lastError(none)).toEndWith("listen_tls needs tls_cert_file");
    await using missing = await startAgentProcess(
      ...standalone,
      "--tls_cert_file",
      "/missing.pem",
      "--tls_key_file",
      "/k",
    );
    expect(await missing.exited).toBe(1);
    expect(lastError(missing)).toMatch(
      /tls_cert_file \(from command line --tls_cert_file\): reading \/missing\.pem: .*ENOENT/,
    );
  }, 60_000);

  test("11.68 and 11.43: with a client CA only its clients get in; standalone takes commands without a token", async () => {
    await using server = await selfSigned("127.0.0.1");
    await using client = await selfSigned("127.0.0.2");
    const configuration = `${server.certFile}.conf`;
    await Bun.write(configuration, `[ssl]\nca_file = ${client.certFile}\n`);
    await using own = await startAgentProcess(
      ...["--config-file", configuration, "--standalone", "--disk_wait_attempts", "0", "--listen_tls"],
      ...["--tls_cert_file", server.certFile, "--tls_key_file", server.keyFile],
    );
    while (!own.log().includes("Serving the API")) await Bun.sleep(10);
    expect(await handshake(own.port)).toBe(false);
    const shown = ["-cert", client.certFile, "-key", client.keyFile];
    expect(await handshake(own.port, ...shown)).toBe(true);
    const command = (query: string) =>
      fetch(`https://127.0.0.1:${own.port}/v1/commands/${query}`, {
        method: "POST",
        body: JSON.stringify({ name: "standby.get_partition_uuids", params: {} }),
        tls: { ca: server.cert, cert: client.cert, key: client.key },
      });
    expect((await command("")).status).toBe(200);
    expect((await command("?agent_token=")).status).toBe(401);
    expect(await own.stop()).toBe(0);
  }, 60_000);
});

describe("at the end", () => {
  test("11.44: once a reader had the right token, all need it", async () => {
    expect((await ask("GET", `/v1/commands/?agent_token=${token}`)).status).toBe(200);
    expect((await ask("GET", "/v1/commands/")).status).toBe(401);
  });

  test("the executable ends with 0, and its port is closed", async () => {
    expect(await agent.stop()).toBe(0);
    const refused = await fetch(url, { tls: { ca } }).then(
      () => false,
      () => true,
    );
    expect(refused).toBe(true);
  });
});
