// The ramdisk from Tiny Core, built from a stand-in for its mirror and booted: what the manual promises of tinyipa.

import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { check } from "../ironic/check.ts";
import { outsideNamespace } from "../rig/namespace.ts";
import { run } from "../rig/programs.ts";
import type { Stage } from "./dib.ts";
import { networkBootParameters, RamdiskMachine } from "./ramdisk-machine.ts";
import { standInMirror } from "./stand-in-mirror.ts";

const ROOT = join(import.meta.dir, "../..");
const MINUTE = 60_000;
const HEARTBEAT_TIMEOUT_MS = 8 * MINUTE;
const RESTART_SECONDS = 5;

export const TINYIPA_PARTS = {
  same: "two builds are the same to the last bit",
  operate:
    "BIOS: SSH with a key, logs and a shell on the console, the agent started again and by hand, a rescue",
  deploy: "a deployment by the demo, BIOS",
};

interface Image {
  kernel: string;
  initrd: string;
}

/** Builds and boots. Throws at the first thing that is not as promised. */
export async function testTinyipa(stage: Stage): Promise<void> {
  const wanted = (part: keyof typeof TINYIPA_PARTS) => stage.parts.length === 0 || stage.parts.includes(part);
  const home = stage.images ?? stage.directory;
  const key = join(home, "id_ed25519");
  if (!(await Bun.file(key).exists())) await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key]);
  const image = await built(stage, "tinyipa", home, key, stage.images !== null);
  if (wanted("same")) {
    const again = await built(stage, "again", home, key, false);
    check(await same(image.initrd, again.initrd), "two builds are the same", again.initrd);
    stage.say("a second build is the same to the last bit");
  }
  if (wanted("operate")) await operated(stage, image, key);
  if (wanted("deploy")) await deployed(stage, image);
}

/** `make` in image-elements/tinyipa, outside of the rig's network. */
async function built(
  stage: Stage,
  name: string,
  home: string,
  key: string,
  finished: boolean,
): Promise<Image> {
  const output = join(home, name);
  if (!finished) {
    const mirror = await standInMirror({ report: stage.say });
    await mkdir(output, { recursive: true });
    const directory = join(ROOT, "image-elements/tinyipa");
    const started = performance.now();
    await run(outsideNamespace(["make", "-C", directory]), {
      name: "make",
      env: {
        TINYCORE_MIRROR_URL: mirror,
        OUTPUT: output,
        AUTHORIZE_SSH: "true",
        SSH_PUBLIC_KEY: `${key}.pub`,
      },
      logFile: join(stage.directory, `${name}.log`),
      timeoutMs: 30 * MINUTE,
    });
    const size = (Bun.file(join(output, "tinyipa.gz")).size / 1e6).toFixed(0);
    stage.say(`${name}: built in ${((performance.now() - started) / 1000).toFixed(0)} s, ramdisk ${size} MB`);
  }
  return { kernel: join(output, "tinyipa.vmlinuz"), initrd: join(output, "tinyipa.gz") };
}

async function same(first: string, second: string): Promise<boolean> {
  return (await readFile(first)).equals(await readFile(second));
}

async function deployed(stage: Stage, image: Image): Promise<void> {
  const demo = [
    "run",
    "test/demo/main.ts",
    "--kernel",
    image.kernel,
    "--ramdisk",
    image.initrd,
    "--append",
    "no_timer_check",
  ];
  // A network of its own: it must not find the namespace of this run in its environment.
  const command = ["env", "-u", "IRONIC_RIG_NAMESPACE", process.execPath, ...demo];
  await run(outsideNamespace(["sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", ROOT, ...command]), {
    name: "npm run demo",
    logFile: join(stage.directory, "demo.log"),
    timeoutMs: 30 * MINUTE,
  });
  stage.say("deployed by the demo");
}

async function operated(stage: Stage, image: Image, key: string): Promise<void> {
  const cmdline = `${networkBootParameters(stage.network.address)} tinyipa.restart_delay=${RESTART_SECONDS}`;
  await using booted = await RamdiskMachine.start({
    ...{ name: "operated", directory: stage.directory, network: stage.network, firmware: "bios" },
    boot: { ...image, cmdline },
  });
  const { callbackUrl, seconds } = await booted.heartbeat(HEARTBEAT_TIMEOUT_MS);
  stage.say(`first heartbeat ${seconds.toFixed(0)} s after power-on, agent at ${callbackUrl}`);
  await booted.machine.waitForConsole(/DEBUG.*eartbeat/, { timeout: MINUTE });
  await booted.machine.waitForConsole(/~ \$/, { timeout: MINUTE });
  stage.say("the agent's log and a shell are on the console");

  const { hostname } = new URL(callbackUrl);
  const tc = (command: string) => booted.ssh("tc", key, hostname, command);
  check((await tc("sudo id -un")) === "root", "tc comes in with the key and becomes root", hostname);
  stage.say(`ironic-python-agent check:\n${await tc("sudo ironic-python-agent check 2>&1 || true")}`);
  stage.say(`memory:\n${await tc("free -m")}`);

  const pid = await tc("pidof ironic-python-agent");
  await tc(`sudo kill -KILL ${pid}`);
  const next = await tc(`sleep ${3 * RESTART_SECONDS}; pidof ironic-python-agent`);
  check(next !== "" && next !== pid, "an agent that was killed is started again", next);
  const log = await tc(
    `sudo kill -TERM ${next}; while pidof ironic-python-agent >/dev/null; do sleep 0.2; done; sudo timeout 40 ironic-python-agent --debug 2>&1 | head -n 400`,
  );
  check(/DEBUG/.test(log), "an agent by hand debugs", log);
  stage.say("killed and started again by itself; started by hand with --debug");
  await rescued(stage, booted, callbackUrl);
}

/** As Ironic does it. The agent that runs by then has no token, so the password's file is written as the agent does. */
async function rescued(stage: Stage, booted: RamdiskMachine, callbackUrl: string): Promise<void> {
  const password = "Rescue-me, please 1";
  const { hostname } = new URL(callbackUrl);
  const { stdout } = await run(["openssl", "passwd", "-6", password]);
  const file = "/etc/ipa-rescue-config/ipa-rescue-password";
  await booted.ssh(
    "tc",
    join(stage.images ?? stage.directory, "id_ed25519"),
    hostname,
    `echo '${stdout.trim()}' | sudo tee ${file} >/dev/null; sudo touch /etc/.rescued; sudo kill -KILL $(pidof ironic-python-agent) 2>/dev/null; true`,
  );
  const inShell = await booted.machine.logIn({ user: "rescue", password }, 3 * MINUTE);
  const user = await inShell("id -un; sudo id -un");
  check(/^rescue\s+root$/.test(user), "the tenant logs in as rescue and may become root", user);
  const agents = await inShell(`sleep ${3 * RESTART_SECONDS}; pidof ironic-python-agent || true`);
  check(agents === "", "the agent stays away", agents);
  stage.say("rescued: the automatic login is over, rescue logs in on the console, the agent stays away");
}
