// The ramdisk from Tiny Core, built from a stand-in for its mirror and booted: what the manual promises of tinyipa.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { check } from "../ironic/check.ts";
import { buildAgent } from "../rig/executable.ts";
import { run } from "../rig/programs.ts";
import { besideTheRig, deployedByDemo } from "./beside-the-rig.ts";
import type { Stage } from "./dib.ts";
import { type Heartbeat, networkBootParameters, RamdiskMachine } from "./ramdisk-machine.ts";
import { standInMirror } from "./stand-in-mirror.ts";

const ROOT = join(import.meta.dir, "../..");
const MINUTE = 60_000;
const HEARTBEAT_TIMEOUT_MS = 8 * MINUTE;
const RESTART_SECONDS = 5;
/** Long enough for a first heartbeat on a busy host. */
const BY_HAND_SECONDS = 40;

export const TINYIPA_PARTS = {
  same: "two builds are the same to the last bit",
  operate:
    "BIOS: SSH with a key, logs and a shell on the console, the agent started again and by hand, a rescue",
  deploy: "a deployment by the demo, BIOS",
  "deploy-uefi": "a deployment by the demo, UEFI",
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
  const agent = join(stage.directory, "ironic-python-agent");
  if (stage.images === null || wanted("same"))
    await buildAgent(agent, stage.directory, new AbortController().signal);
  const image = await built(stage, "tinyipa", { home, key, agent, finished: stage.images !== null });
  if (wanted("same")) {
    const build = { home: stage.directory, key, agent, finished: false };
    // What an earlier run has built is of the sources as they were then.
    const first = stage.images === null ? image : await built(stage, "first", build);
    const again = await built(stage, "again", build);
    check(await same(first.initrd, again.initrd), "two builds are the same", again.initrd);
    stage.say("a second build is the same to the last bit");
  }
  if (wanted("operate")) await operated(stage, image, key);
  if (wanted("deploy")) await deployedByDemo(stage, image, []);
  if (wanted("deploy-uefi")) await deployedByDemo(stage, image, ["--uefi"]);
}

/** `make` in image-elements/tinyipa, outside of the rig's network. */
async function built(
  stage: Stage,
  name: string,
  { home, key, agent, finished }: { home: string; key: string; agent: string; finished: boolean },
): Promise<Image> {
  const output = join(home, name);
  if (!finished) {
    const mirror = await standInMirror({ report: stage.say });
    await mkdir(output, { recursive: true });
    const directory = join(ROOT, "image-elements/tinyipa");
    const started = performance.now();
    await run(besideTheRig(["make", "-C", directory]), {
      name: "make",
      env: {
        TINYCORE_MIRROR_URL: mirror,
        OUTPUT: output,
        IRONIC_AGENT: agent,
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

  // Each agent finds its machine as after a reboot: one that finds its token handed out takes the network down.
  const pid = await tc("pidof ironic-python-agent");
  await tc(`sudo kill -KILL ${pid}`);
  await newAgent(booted);
  const next = await tc("pidof ironic-python-agent");
  check(next !== "" && next !== pid, "an agent that was killed is started again", next);
  stage.say("killed and started again by itself");
  booted.node.wipeAgent();
  const log = await tc(
    `sudo kill -TERM ${next}; while pidof ironic-python-agent >/dev/null; do sleep 0.2; done; sudo timeout ${BY_HAND_SECONDS} ironic-python-agent --debug 2>&1 || true`,
  );
  check(/ DEBUG /.test(log), "an agent by hand debugs", log.slice(-2000));
  check(/Heartbeat accepted/.test(log), "an agent by hand heartbeats", log.slice(-2000));
  stage.say("started by hand with --debug");
  await rescued(stage, booted, (await newAgent(booted)).callbackUrl);
}

/** The first heartbeat of an agent that is being started, whose machine counts as rebooted. */
function newAgent(booted: RamdiskMachine): Promise<Heartbeat> {
  booted.node.wipeAgent();
  booted.forgetHeartbeats();
  return booted.heartbeat(HEARTBEAT_TIMEOUT_MS);
}

/** As Ironic does it: the tenant gets in on the console and over SSH, the operator's shell and the agent are gone. */
async function rescued(stage: Stage, booted: RamdiskMachine, callbackUrl: string): Promise<void> {
  const password = "Rescue-me, please 1";
  const { hostname } = new URL(callbackUrl);
  await booted.finalizeRescue(callbackUrl, password);
  await booted.machine.waitForConsole(/the user rescue may log in/, { timeout: MINUTE });
  const inShell = await booted.machine.logIn({ user: "rescue", password }, 3 * MINUTE);
  const user = await inShell("id -un; sudo id -un");
  check(/^rescue\s+root$/.test(user), "the tenant logs in as rescue and may become root", user);
  // The console shows what the ramdisk's scripts say, too.
  const agents = await inShell(`sleep ${3 * RESTART_SECONDS}; pidof ironic-python-agent || echo none`);
  check(/^none$/m.test(agents), "the agent stays away", agents);
  // Half a minute after the rescue the network is asked for anew.
  const addresses = await inShell("sleep 30; ip address");
  check(addresses.includes("192.0.2."), "the card has its address by DHCP", addresses);
  const secret = await inShell("cat /etc/shadow 2>&1 || true");
  check(secret.includes("Permission denied"), "rescue is a user as others are", secret);
  stage.say("rescued: the automatic login is over, rescue logs in on the console, the agent stays away");

  const askpass = join(stage.directory, "askpass");
  await writeFile(askpass, `#!/bin/sh\necho '${password}'\n`, { mode: 0o700 });
  const env = { SSH_ASKPASS: askpass, SSH_ASKPASS_REQUIRE: "force" };
  const overSsh = await booted.ssh("rescue", null, hostname, "id -un", { env });
  check(overSsh === "rescue", "the tenant comes in over SSH with the password", overSsh);
  stage.say("rescue comes in over SSH with the password");
}
