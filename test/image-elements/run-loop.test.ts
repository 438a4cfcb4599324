// What keeps the agent running where there is no systemd: started again after a failure, never after success, and stopped with it.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const LOOP = resolve(
  import.meta.dir,
  "../../image-elements/dib/ironic-agent-ramdisk/static/usr/local/sbin/ironic-agent-run",
);
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "agent-run-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** The script with its absolute paths led into the test's directory, and an agent that is a script. */
function loopWith(agent: string) {
  const home = mkdtempSync(join(directory, "home-"));
  writeFileSync(
    join(home, "agent"),
    `#!/bin/sh\necho started >>${home}/starts\n${agent.replaceAll("HOME", home)}\n`,
  );
  chmodSync(join(home, "agent"), 0o755);
  const script = readFileSync(LOOP, "utf8")
    .replace("/usr/local/bin/ironic-python-agent", join(home, "agent"))
    .replace("/var/log/ironic-python-agent.log", join(home, "log"))
    .replace("/etc/.rescued", join(home, "rescued"))
    .replace("/etc/ipa-rescue-config/ipa-rescue-password", join(home, "password"))
    .replace("/usr/local/sbin/ironic-agent-rescue", join(home, "rescue"))
    .replace("/dev/console", join(home, "console"))
    .replace("sleep 10", "sleep 0.1");
  const child = Bun.spawn(["sh", "-c", script], { stdout: "ignore", stderr: "ignore" });
  const starts = () => {
    const file = join(home, "starts");
    return existsSync(file) ? readFileSync(file, "utf8").trim().split("\n").length : 0;
  };
  return { home, child, starts };
}

test("a failed agent is started again, one that ended with success is not", async () => {
  const { child, starts, home } = loopWith('[ "$(wc -l <HOME/starts)" -ge 3 ] || exit 1; echo done');
  expect(await child.exited).toBe(0);
  expect(starts()).toBe(3);
  expect(readFileSync(join(home, "log"), "utf8")).toBe("done\n");
});

test("nothing is started in a rescued machine", async () => {
  const { child, starts } = loopWith("touch HOME/rescued; exit 1");
  expect(await child.exited).toBe(0);
  expect(starts()).toBe(1);
});

test("an agent that ended with a rescue's password leaves the machine to the script that makes the user", async () => {
  const { child, home, starts } = loopWith(
    "printf '#!/bin/sh\\necho made\\n' >HOME/rescue; chmod +x HOME/rescue; touch HOME/password HOME/rescued",
  );
  expect(await child.exited).toBe(0);
  expect(starts()).toBe(1);
  expect(readFileSync(join(home, "console"), "utf8")).toBe("made\n");
});

test("SIGTERM reaches the agent, and the loop ends after it", async () => {
  const { child, home } = loopWith(
    'trap "echo told >HOME/told; exit 0" TERM; touch HOME/ready; while :; do sleep 0.05; done',
  );
  while (!existsSync(join(home, "ready"))) await Bun.sleep(20);
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
  expect(readFileSync(join(home, "told"), "utf8")).toBe("told\n");
});
