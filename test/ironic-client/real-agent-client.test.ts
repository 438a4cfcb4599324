// Ironic's own client of agents (release 21.4, Debian's package python3-ironic) across a renewal of the certificate. The test is left
// out where Ironic is not installed (npm run test:ironic installs it); tls-certificate.test.ts asks Python's requests everywhere.

import { expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { Config } from "../../src/config/config.ts";
import { chooseApiTls } from "../../src/ironic/api-tls.ts";
import { realClock } from "../../src/system/clock.ts";
import { realHttpListener } from "../../src/system/http-server.ts";
import { apiFixture, TOKEN } from "../routes/fixture.ts";

const installed = Bun.spawnSync([
  "/usr/bin/python3",
  "-c",
  "import ironic.drivers.modules.agent_client",
]).success;

/** Asks once for each line of input, always with the same client and its kept connections; answers with a line. */
const CONDUCTOR = `
import sys
from ironic.drivers.modules import agent_client
class Node:
    uuid = "1be26c0b-03f2-4d2e-ae87-c02d7f33c123"
    driver_info = {}
    driver_internal_info = {"agent_url": sys.argv[1], "agent_verify_ca": sys.argv[2], "agent_secret_token": sys.argv[3]}
    def save(self): pass
node, client = Node(), agent_client.AgentClient()
for line in sys.stdin:
    before = len(client.get_commands_status(node))
    answer = client._command(node=node, method="standby.get_partition_uuids", params={}, wait=True)
    print(answer["command_status"], len(client.get_commands_status(node)) - before, flush=True)
`;

test.skipIf(!installed)(
  "the real AgentClient goes on as if nothing had happened",
  async () => {
    const directory = await mkdtemp(`${tmpdir()}/agent-client-`);
    const api = await apiFixture({ clock: realClock, config: { standalone: false }, token: TOKEN });
    const tls = await chooseApiTls({ ...api.system, clock: realClock }, Config.of({}), {
      ironicMinor: 82,
      host: "127.0.0.1",
    });
    await writeFile(`${directory}/agent.pem`, tls.verifyCa ?? "");
    const server = await realHttpListener({
      host: "127.0.0.1",
      port: 0,
      tls: tls.server,
      replaceable: true,
      maxRequestBody: 1e6,
      handle: api.api,
    });
    const conductor = Bun.spawn(
      [
        "/usr/bin/python3",
        "-c",
        CONDUCTOR,
        `https://127.0.0.1:${server.port}`,
        `${directory}/agent.pem`,
        TOKEN,
      ],
      { stdin: "pipe", stdout: "pipe", stderr: "pipe" },
    );
    const complaints = new Response(conductor.stderr).text();
    const answers = conductor.stdout.getReader();
    try {
      for (let renewal = 0; renewal < 3; renewal++) {
        conductor.stdin.write("\n");
        conductor.stdin.flush();
        let line = "";
        while (!line.endsWith("\n")) {
          const { value } = await answers.read();
          if (value === undefined) throw new Error(await complaints);
          line += new TextDecoder().decode(value);
        }
        expect(line).toBe("SUCCEEDED 1\n");
        server.replaceTls((await tls.renew?.()) ?? { cert: "", key: "" }, 0.1);
      }
    } finally {
      conductor.stdin.end();
      await conductor.exited;
      await server.stop(0);
      await rm(directory, { recursive: true });
    }
  },
  120_000,
);
