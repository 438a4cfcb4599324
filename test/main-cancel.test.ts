// The agent's process is told to end while a command has a program running that does not want to: the process ends with 0 and takes the
// program with it (control-plane 11.16, DEV-3). The program is df, replaced in a mount namespace of the process's own.

import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { freePort } from "./support/test-machine.ts";

const IN_NAMESPACE = 'mount --bind "$1" "$(command -v df)" && shift && exec "$@"';

test.each(["SIGTERM", "SIGINT"] as const)(
  "%s in the middle of a command",
  async (signal) => {
    const directory = await mkdtemp(`${tmpdir()}/cancel-`);
    try {
      const pidFile = `${directory}/pid`;
      const stubborn = `#!/bin/sh\ntrap '' TERM INT\necho $$ > ${pidFile}.new && mv ${pidFile}.new ${pidFile}\nwhile :; do sleep 1; done\n`;
      await writeFile(`${directory}/df`, stubborn, { mode: 0o755 });
      const port = await freePort();
      const argv = ["--standalone", "--listen_host=127.0.0.1", `--listen_port=${port}`];
      const namespace = ["unshare", "--mount", "--propagation", "private", "sh", "-c", IN_NAMESPACE, "sh"];
      const child = Bun.spawn([...namespace, `${directory}/df`, process.execPath, "src/main.ts", ...argv], {
        env: { PATH: process.env.PATH, HOME: directory },
        stdin: "ignore",
        stdout: "ignore",
        stderr: "inherit",
      });
      const url = `http://127.0.0.1:${port}/v1`;
      const served = () =>
        fetch(`${url}/status`).then(
          () => true,
          () => false,
        );
      while (!(await served())) {
        expect(child.exitCode).toBeNull();
        await Bun.sleep(10);
      }
      const waiting = fetch(`${url}/commands/`, {
        method: "POST",
        body: JSON.stringify({ name: "log.collect_system_logs", params: {} }),
      });
      while (!existsSync(pidFile)) await Bun.sleep(10);
      const pid = Number(readFileSync(pidFile, "utf8"));
      child.kill(signal);
      expect(await (await waiting).json()).toMatchObject({
        command_status: "FAILED",
        command_error: { details: "aborted because the agent is shutting down" },
      });
      expect(await child.exited).toBe(0);
      expect(existsSync(`/proc/${pid}/status`)).toBe(false);
    } finally {
      await rm(directory, { recursive: true });
    }
  },
  20_000,
);
