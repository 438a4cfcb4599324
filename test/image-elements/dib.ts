// Ramdisks of diskimage-builder, really built and really booted: what the manual promises of them, tried as an operator would.

import { createHash, X509Certificate } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connect } from "node:tls";
import { check } from "../ironic/check.ts";
import type { Network } from "../rig/network.ts";
import { run } from "../rig/programs.ts";
import { selfSigned } from "../support/certificate.ts";
import { besideTheRig, deployedByDemo } from "./beside-the-rig.ts";
import { API_PORT, MACS, networkBootParameters, RamdiskMachine } from "./ramdisk-machine.ts";

const ROOT = join(import.meta.dir, "../..");
const MINUTE = 60_000;
const HEARTBEAT_TIMEOUT_MS = 6 * MINUTE;
/** Longer than the unit waits before it starts a failed agent again. */
const RESTART_SECONDS = 20;

export interface Stage {
  directory: string;
  network: Network;
  /** Directory of an earlier run whose images are booted instead of building new ones. */
  images: string | null;
  /** Which parts to play; all if empty. */
  parts: readonly string[];
  say(line: string): void;
}

interface Image {
  kernel: string;
  initrd: string;
  iso: string;
}

/** Builds two images and boots each of them every way. Throws at the first thing that is not as promised. */
export async function testDib(stage: Stage): Promise<void> {
  const home = stage.images ?? stage.directory;
  const wanted = (part: keyof typeof PARTS) => stage.parts.length === 0 || stage.parts.includes(part);
  const keys = await keysIn(home);
  if (
    ["deploy", "deploy-uefi", "operate", "iso", "iso-uefi"].some((part) => wanted(part as keyof typeof PARTS))
  ) {
    const login = await built(
      stage,
      "login",
      ["-e", "dynamic-login", "-e", "devuser", "-e", "journal-to-console", "--iso"],
      {
        DIB_DEV_USER_USERNAME: "engineer",
        DIB_DEV_USER_PWDLESS_SUDO: "yes",
        DIB_DEV_USER_AUTHORIZED_KEYS: `${keys.file}.pub`,
      },
    );
    if (wanted("operate")) await operated(stage, login, keys);
    if (wanted("iso")) await bootedFromIso(stage, login, "bios", null);
    if (wanted("iso-uefi")) await bootedFromIso(stage, login, "uefi", "192.0.2.77");
    if (wanted("deploy")) await deployedByDemo(stage, login, []);
    if (wanted("deploy-uefi")) await deployedByDemo(stage, login, ["--uefi"]);
  }
  if (wanted("rescue")) {
    const certificate = await certificateIn(home);
    const secured = await built(
      stage,
      "tls",
      ["-e", "ironic-agent-tls", "-e", "ironic-agent-extra-hardware"],
      {
        DIB_IPA_CERT_FILE: `${certificate}.crt`,
        DIB_IPA_KEY_FILE: `${certificate}.key`,
      },
    );
    await rescued(stage, secured, await readFile(`${certificate}.crt`, "utf8"));
  }
}

export const PARTS = {
  operate:
    "BIOS: the journal on the console, SSH and a password by dynamic-login, devuser, the agent by hand",
  iso: "the ISO, by BIOS",
  "iso-uefi": "the ISO, by UEFI, with the network described on a second CD",
  deploy: "a deployment by the demo, BIOS",
  "deploy-uefi": "a deployment by the demo, UEFI",
  rescue: "UEFI: the element's certificate is served; a rescue",
};

/** The operator's key pair, made at the first run in a directory. */
async function keysIn(directory: string): Promise<{ file: string; publicKey: string }> {
  const file = join(directory, "id_ed25519");
  if (!(await Bun.file(file).exists()))
    await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f", file]);
  return { file, publicKey: (await readFile(`${file}.pub`, "utf8")).trim() };
}

/** Path of a certificate and its key without their endings, made at the first run in a directory. */
async function certificateIn(directory: string): Promise<string> {
  const base = join(directory, "agent");
  if (!(await Bun.file(`${base}.crt`).exists())) {
    await using made = await selfSigned("192.0.2.1");
    await writeFile(`${base}.key`, made.key, { mode: 0o600 });
    await writeFile(`${base}.crt`, made.cert);
  }
  return base;
}

/** `bun run image` in a process of its own. */
async function built(
  stage: Stage,
  name: string,
  args: readonly string[],
  env: Record<string, string>,
): Promise<Image> {
  const base = join(stage.images ?? stage.directory, name);
  if (stage.images === null) {
    const started = performance.now();
    // The ISO's own have no no_timer_check: real machines want the check, see networkBootParameters().
    const parameters = `console=ttyS0 no_timer_check ipa-api-url=http://${stage.network.address}:${API_PORT}`;
    const command = [
      "image-elements/build.ts",
      "--distro",
      "debian",
      "-o",
      base,
      "--kernel-params",
      parameters,
      ...args,
    ];
    await run(besideTheRig([process.execPath, "run", ...command]), {
      name: `building ${name}`,
      cwd: ROOT,
      env,
      logFile: join(stage.directory, `${name}.log`),
      timeoutMs: 60 * MINUTE,
    });
    stage.say(`${name}: built in ${seconds(started)}, initramfs ${await megabytes(`${base}.initramfs`)}`);
  }
  return { kernel: `${base}.kernel`, initrd: `${base}.initramfs`, iso: `${base}.iso` };
}

/** Manual 2.2.4: logging in, the log, stopping the agent and starting it again. */
async function operated(
  stage: Stage,
  image: Image,
  keys: { file: string; publicKey: string },
): Promise<void> {
  const { kernel, initrd } = image;
  const password = "Let me in, 1";
  const hash = (await run(["openssl", "passwd", "-6", "-stdin"], { input: password })).stdout.trim();
  const cmdline = `${networkBootParameters(stage.network.address)} sshkey="${keys.publicKey}" rootpwd="${hash}"`;
  await using booted = await RamdiskMachine.start({
    ...{ name: "operated", directory: stage.directory, network: stage.network, firmware: "bios" },
    boot: { kernel, initrd, cmdline },
  });
  const { callbackUrl, seconds: toHeartbeat } = await booted.heartbeat(HEARTBEAT_TIMEOUT_MS);
  stage.say(`BIOS: first heartbeat ${toHeartbeat.toFixed(0)} s after power-on, agent at ${callbackUrl}`);
  // journal-to-console: the agent's own lines, with its name.
  await booted.machine.waitForConsole(/ironic-python-agent\[\d+\]: .*eartbeat/, { timeout: MINUTE });
  stage.say("the journal is on the console");

  const { hostname } = new URL(callbackUrl);
  const root = (command: string) => booted.ssh("root", keys.file, hostname, command);
  check((await root("id -un")) === "root", "dynamic-login lets root in", await root("id -un"));
  const user = await booted.ssh("engineer", keys.file, hostname, "sudo id -un");
  check(user === "root", "devuser's user is there and becomes root", user);
  stage.say("SSH: root by dynamic-login, engineer by devuser");
  const cards = await root("ip -4 -brief address show scope global");
  check(
    (cards.match(/192\.0\.2\.\d+/g) ?? []).length === MACS.length,
    "all cards have addresses by DHCP",
    cards,
  );
  stage.say("DHCP on both cards");

  // Without the journal in between.
  const quiet = "/run/systemd/journald.conf.d/zz-quiet.conf";
  await root(
    `mkdir -p $(dirname ${quiet}) && printf '[Journal]\\nForwardToConsole=no\\n' >${quiet} && systemctl restart systemd-journald`,
  );
  const atConsole = await booted.machine.logIn({ user: "root", password }, 2 * MINUTE);
  check((await atConsole("id -un")) === "root", "dynamic-login lets root in on the console", "another");
  await root(`rm ${quiet} && systemctl restart systemd-journald`);
  stage.say("the console: root by dynamic-login's password");

  const failed = await root("systemctl --failed --plain --no-legend");
  check(failed === "", "no unit has failed", failed);
  stage.say(
    `ironic-python-agent check: ${(await root("ironic-python-agent check 2>&1 || true")).replaceAll("\n", " | ")}`,
  );
  stage.say(`memory: ${await root("free -m | sed -n 2p; ps -o rss= -C ironic-python-agent")}`);

  // A stopped agent stays away.
  await root("systemctl stop ironic-python-agent");
  const stopped = await root(`sleep ${RESTART_SECONDS}; pidof ironic-python-agent || true`);
  check(stopped === "", "a stopped agent stays away", stopped);
  // By hand, as the manual says. Ironic has given the token to the one before; the terminal keeps its network.
  const byHand =
    "timeout --foreground 60 ironic-python-agent --debug --config-dir /etc/ironic-python-agent.d/";
  const log = await booted.ssh("root", keys.file, hostname, `${byHand} || true`, { terminal: true });
  check(/ DEBUG /.test(log), "--debug debugs", log.slice(-2000));
  check(/handed out the token/.test(log), "the lost token is explained", log.slice(-2000));
  check(/interfaces stay up/.test(log), "a terminal keeps its network", log.slice(-2000));
  stage.say("stopped, and started by hand with --debug");

  // `systemctl edit` writes such a file. The machine counts as rebooted: there is a token again.
  booted.node.wipeAgent();
  const edit =
    "[Service]\\nExecStart=\\nExecStart=/usr/local/bin/ironic-python-agent --config-dir /etc/ironic-python-agent.d/ --debug\\n";
  const directory = "/etc/systemd/system/ironic-python-agent.service.d";
  await root(
    `mkdir -p ${directory} && printf '${edit}' >${directory}/override.conf && systemctl daemon-reload`,
  );
  booted.forgetHeartbeats();
  await root("systemctl restart ironic-python-agent.service");
  await booted.heartbeat(HEARTBEAT_TIMEOUT_MS);
  check(booted.node.token !== null, "an edited unit is restarted, looks up and heartbeats", "no token");
  stage.say("the unit edited and restarted, heartbeats again");

  // One that dies is started again by itself; Ironic cannot command it without its token, so it cuts the machine off.
  await root("systemctl kill --signal=SIGKILL ironic-python-agent");
  await booted.machine.waitForConsole(/ironic-python-agent\[\d+\]: .*The agent is locked down/, {
    timeout: 2 * MINUTE,
  });
  stage.say("killed: started again, and locked down for want of its token");

  await booted.machine.pressPowerButton();
  await booted.machine.waitForExit(2 * MINUTE);
  stage.say("the power button switches it off");
}

/** The ISO, and with an address a config drive that says so on a second virtual CD. */
async function bootedFromIso(
  stage: Stage,
  image: Image,
  firmware: "bios" | "uefi",
  address: string | null,
): Promise<void> {
  const drives = [["cd0", image.iso]];
  if (address !== null) drives.push(["cd1", await networkDataDrive(stage, address)]);
  await using booted = await RamdiskMachine.start({
    ...{ name: `iso-${firmware}`, directory: stage.directory, network: stage.network, firmware },
    boot: { disk: true },
    qemuArguments: drives.flatMap(([id, file], index) => [
      ...["-drive", `if=none,id=${id},media=cdrom,readonly=on,file=${file}`],
      // The CD comes before the empty disk.
      ...["-device", `ide-cd,bus=ide.${index + 2},drive=${id}${index === 0 ? ",bootindex=0" : ""}`],
    ]),
  });
  const { callbackUrl, seconds: toHeartbeat } = await booted.heartbeat(2 * HEARTBEAT_TIMEOUT_MS);
  stage.say(
    `ISO, ${firmware}: first heartbeat ${toHeartbeat.toFixed(0)} s after power-on, agent at ${callbackUrl}`,
  );
  if (address !== null) {
    const { hostname } = new URL(callbackUrl);
    check(hostname === address, "the address is the one of the config drive", hostname);
  }
}

/** An ISO as Ironic's virtual media carries it: label config-2, network_data.json. */
async function networkDataDrive(stage: Stage, address: string): Promise<string> {
  const tree = join(stage.directory, "network-data");
  await mkdir(join(tree, "openstack/latest"), { recursive: true });
  const data = {
    links: [{ id: "port0", type: "phy", ethernet_mac_address: MACS[0] }],
    networks: [{ id: "net0", link: "port0", type: "ipv4", ip_address: address, netmask: "255.255.255.0" }],
    services: [],
  };
  await writeFile(join(tree, "openstack/latest/network_data.json"), JSON.stringify(data));
  const iso = join(stage.directory, "network-data.iso");
  await run(["genisoimage", "-quiet", "-r", "-J", "-V", "config-2", "-o", iso, tree]);
  return iso;
}

/** The certificate of the element is served; a rescue makes the user and ends the agent for good. UEFI. */
async function rescued(stage: Stage, image: Image, certificate: string): Promise<void> {
  const { kernel, initrd } = image;
  await using booted = await RamdiskMachine.start({
    ...{ name: "rescued", directory: stage.directory, network: stage.network, firmware: "uefi" },
    boot: { kernel, initrd, cmdline: networkBootParameters(stage.network.address) },
  });
  const heartbeat = await booted.heartbeat(HEARTBEAT_TIMEOUT_MS);
  const { callbackUrl, agentVerifyCa } = heartbeat;
  stage.say(
    `UEFI: first heartbeat ${heartbeat.seconds.toFixed(0)} s after power-on, agent at ${callbackUrl}`,
  );
  check(
    agentVerifyCa === null,
    "nothing is announced to Ironic with a certificate of one's own",
    String(agentVerifyCa),
  );
  const url = new URL(callbackUrl);
  const served = await certificateOf(url.hostname, Number(url.port));
  const wanted = fingerprint(new X509Certificate(certificate).raw);
  check(served === wanted, `the certificate of the element is served (${wanted})`, served);
  stage.say(`the certificate of the element is served: SHA-256 ${served.slice(0, 16)}…`);

  const password = "Rescue-me, please 1";
  await booted.finalizeRescue(callbackUrl, password);
  await booted.machine.waitForConsole(/The user rescue may log in/, { timeout: MINUTE });
  const inShell = await booted.machine.logIn({ user: "rescue", password }, 3 * MINUTE);
  const user = await inShell("id -un; sudo id -un");
  check(/^rescue\s+root$/.test(user), "the tenant logs in as rescue and may become root", user);
  const agents = await inShell(`sleep ${RESTART_SECONDS}; pidof ironic-python-agent || true`);
  check(agents === "", "the agent is gone and is not started again", agents);
  const addresses = await inShell("ip -4 -brief address show scope global");
  check(
    (addresses.match(/192\.0\.2\.\d+/g) ?? []).length === MACS.length,
    "all cards have addresses by DHCP",
    addresses,
  );
  const secret = await inShell("cat /etc/shadow 2>&1 || true");
  check(secret.includes("Permission denied"), "rescue is a user as others are", secret);
  stage.say("rescued: logged in on the console, the agent stays away, DHCP on the cards");
}

/** Fingerprint of what a server shows first. */
async function certificateOf(host: string, port: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect({ host, port, rejectUnauthorized: false }, () =>
    resolve(fingerprint(socket.getPeerCertificate().raw)),
  );
  socket.on("error", reject);
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}

function fingerprint(der: Uint8Array): string {
  return createHash("sha256").update(der).digest("hex");
}

async function megabytes(file: string): Promise<string> {
  return `${(Bun.file(file).size / 1e6).toFixed(0)} MB`;
}

function seconds(started: number): string {
  return `${((performance.now() - started) / 1000).toFixed(0)} s`;
}
