// The executable verifies Ironic with the CA store of the system it runs on, when no cafile is set: an operator's own CA, added to
// the ramdisk in the usual way, must be enough. A mount namespace gives the process a store of its own.

import { expect, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { certificateAuthority } from "./support/certificate-authority.ts";
import { freePort } from "./support/test-machine.ts";

const BINARY = `${import.meta.dir}/../dist/ironic-python-agent-linux-${process.arch}`;
/** Debian's; the runtime knows those of the other distributions. */
const STORE = "/etc/ssl/certs/ca-certificates.crt";

test("an Ironic whose certificate is signed by a CA of the system's store is trusted", async () => {
  await using authority = await certificateAuthority();
  const identity = await authority.issue("ironic", { altName: "IP:127.0.0.1" });
  const home = await mkdtemp(join(tmpdir(), "binary-ca-"));
  const store = join(home, "store.crt");
  await writeFile(store, `${await readFile(STORE, "utf8")}\n${authority.cert}`);
  const asked = Promise.withResolvers<string>();
  await using ironic = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    tls: { cert: identity.cert, key: identity.key },
    fetch(request) {
      asked.resolve(new URL(request.url).pathname);
      return new Response(null, { status: 503 });
    },
  });
  const port = String(await freePort());
  const agent = Bun.spawn(
    ["unshare", "--mount", "sh", "-c", `mount --bind "$0" ${STORE} && exec "$@"`, store, BINARY].concat(
      ["--api_url", `https://127.0.0.1:${ironic.port}`],
      ["--listen_host", "127.0.0.1", "--listen_port", port],
      ["--disk_wait_attempts", "0"],
    ),
    {
      env: { PATH: process.env.PATH, HOME: home },
      cwd: home,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    },
  );
  const log = new Response(agent.stdout).text();
  const ended = agent.exited.then(async (code) => {
    throw new Error(`the agent ended with ${code}:\n${await log}`);
  });
  try {
    expect(await Promise.race([asked.promise, ended])).toBe("/");
  } finally {
    // What happens to the race's loser is no concern of the test any more.
    ended.catch(() => undefined);
    agent.kill();
    await agent.exited;
    await rm(home, { recursive: true, force: true });
  }
});
