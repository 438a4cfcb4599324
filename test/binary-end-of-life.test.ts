// How the compiled executable goes away (control-plane 11.91, 11.92, 11.95 and 11.99, contract 10.55). It gets an /etc of its own, a copy
// that only it sees, for what a rescue leaves there.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { type AgentProcess, spawnAgentProcess, startAgentProcess } from "./support/agent-process.ts";
import {
  accepted,
  isHeartbeat,
  isLookup,
  type ScriptedIronic,
  scriptedIronic,
} from "./support/scripted-ironic.ts";

const noMounts = process.getuid?.() !== 0 || Bun.which("unshare") === null;
const TOKEN = "t".repeat(43);
const PASSWORD = "p455w0rd";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(`${tmpdir()}/end-of-life-`);
});
afterAll(() => rm(directory, { recursive: true }));

/** A copy of /etc, and the words that put it in the place of the real one for whatever follows them. */
async function privateEtc(): Promise<{ etc: string; inside: string[] }> {
  const etc = `${directory}/${crypto.randomUUID()}`;
  await cp("/etc", etc, { recursive: true, verbatimSymlinks: true });
  const inside = ["unshare", "--mount", "sh", "-ec", 'mount --bind "$0" /etc; exec "$@"', etc];
  return { etc, inside };
}

function ironic(): ScriptedIronic {
  return scriptedIronic({
    answer(request) {
      if (isHeartbeat(request)) return accepted();
      if (!isLookup(request)) return null;
      const config = { heartbeat_timeout: 1, agent_token: TOKEN };
      return Response.json({ node: { uuid: "6d1d8b1c-1c71-4a5b-9d0e-0a3f5d4e2c15" }, config });
    },
  });
}

type Commanded = {
  readonly agent: AgentProcess;
  readonly etc: string;
  readonly service: ScriptedIronic;
  /** The command's result. */
  // biome-ignore lint/suspicious/noExplicitAny: the tests look into answers of every shape.
  readonly command: (name: string, params: object) => Promise<any>;
};

async function withAgent(rescuable: boolean, work: (commanded: Commanded) => Promise<void>): Promise<void> {
  const { etc, inside } = await privateEtc();
  if (rescuable) await mkdir(`${etc}/ipa-rescue-config`, { recursive: true });
  await using service = ironic();
  await using agent = await spawnAgentProcess({ inside }, "--api_url", service.url);
  const first = service.first(isHeartbeat);
  const end = agent.exited.then((code) => Promise.reject(new Error(`ended with ${code}:\n${agent.log()}`)));
  const { callback_url, agent_verify_ca: ca } = (await Promise.race([first, end])).body;
  end.catch(() => {});
  const command = async (name: string, params: object) => {
    const url = `${callback_url}/v1/commands/?wait=false&agent_token=${TOKEN}`;
    const answer = await fetch(url, { method: "POST", body: JSON.stringify({ name, params }), tls: { ca } });
    return answer.json();
  };
  await work({ agent, etc, service, command });
}

describe.skipIf(noMounts)("rescue", () => {
  test.each([
    ["clear text", { rescue_password: PASSWORD }, /^\$6\$[^$]{16}\$[^$\n]{86}$/],
    ["a hash", { rescue_password: "$5$salt$hash", hashed: true }, /^\$5\$salt\$hash$/],
  ])(
    "11.91, 11.92 and contract 10.55: %s is stored, answered, and everything ends with 0",
    async (_, params, stored) => {
      await withAgent(true, async ({ agent, etc, service, command }) => {
        expect(await command("rescue.finalize_rescue", params)).toMatchObject({
          command_name: "finalize_rescue",
          command_status: "SUCCEEDED",
          command_error: null,
          command_result: null,
        });
        expect(await agent.exited).toBe(0);
        const file = `${etc}/ipa-rescue-config/ipa-rescue-password`;
        expect(await readFile(file, "utf8")).toMatch(stored);
        expect((await stat(file)).mode & 0o777).toBe(0o600);
        expect(existsSync(`${etc}/.rescued`)).toBe(true);
        const beats = service.received.length;
        await Bun.sleep(1500);
        expect(service.received.length).toBe(beats);
        // 11.20
        expect(agent.log()).not.toContain(PASSWORD);
        expect(existsSync("/etc/.rescued")).toBe(false);
      });
    },
    60_000,
  );

  test("11.92: a ramdisk that cannot be rescued says so, and its API stays", async () => {
    await withAgent(false, async ({ agent, command }) => {
      const { command_status, command_error } = await command("rescue.finalize_rescue", {
        rescue_password: PASSWORD,
      });
      expect([command_status, command_error.type]).toEqual(["FAILED", "CommandExecutionError"]);
      expect(command_error.details).toContain("/etc/ipa-rescue-config");
      expect(await command("standby.get_partition_uuids", {})).toMatchObject({ command_status: "SUCCEEDED" });
      expect(await agent.stop()).toBe(0);
    });
  }, 60_000);

  test("11.99: on a rescued machine it serves nothing, asks for nothing, and does not end", async () => {
    const { etc, inside } = await privateEtc();
    await writeFile(`${etc}/.rescued`, "");
    await using service = ironic();
    await using agent = await spawnAgentProcess({ inside }, "--api_url", service.url);
    while (!agent.log().includes("/etc/.rescued")) await Bun.sleep(10);
    await Bun.sleep(1000);
    const refused = await fetch(`http://127.0.0.1:${agent.port}/v1/status`).then(
      () => false,
      () => true,
    );
    expect(refused).toBe(true);
    expect(service.received).toEqual([]);
    expect(await agent.stop()).toBe(0);
  }, 60_000);
});

test("11.95: a time server with shell characters is refused, and no program is given it", async () => {
  const hostile = "127.0.0.1; touch /tmp/owned";
  await using agent = await startAgentProcess(
    ...["--standalone", "--disk_wait_attempts", "0", "--ntp_server", hostile, "--fail_if_clock_not_set"],
  );
  expect(await agent.exited).toBe(1);
  expect(agent.log()).toContain("127.0.0.1; touch /tmp/owned");
  expect(agent.log()).not.toMatch(/ran .*(chron|ntpdate|touch)/);
  expect(existsSync("/tmp/owned")).toBe(false);
}, 60_000);
