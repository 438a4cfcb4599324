// The switches at the other end of a machine's cables: the real lldpd on the host's side of each tap. It speaks on the taps
// themselves, because a bridge keeps LLDP to itself, as switches do.

import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assertInsideNamespace } from "../../rig/namespace.ts";
import { run, start } from "../../rig/programs.ts";

/** Where Debian's lldpd locks itself in; its service would make it. */
const CHROOT = "/run/lldpd";
const PATIENCE_MS = 10_000;
const POLL_MS = 100;

export const SWITCH = {
  name: "leaf-1",
  description: "A switch of the rig",
  managementAddress: "192.0.2.1",
  /** Identifier of the port that leads to a tap. */
  port: (tap: string) => `Ethernet1/${tap.replace("tap", "")}`,
  portDescription: "rack 4 unit 2",
  /** Seconds. */
  interval: 1,
  /** A VLAN that its ports carry. */
  vlan: { id: 101, name: "production" },
} as const;

/** Speaks until it is disposed of. */
export type Neighbour = AsyncDisposable & {
  /** Its chassis ID: lldpd takes the address of one of the host's interfaces. */
  readonly mac: string;
};

/** Speaks LLDP on every one of `taps`. */
export async function startNeighbour(taps: readonly string[], directory: string): Promise<Neighbour> {
  await assertInsideNamespace();
  await mkdir(CHROOT, { recursive: true });
  await using stack = new AsyncDisposableStack();
  // lldpcli gives up root before it connects, so every user must be able to get there.
  const open = await mkdtemp(join(tmpdir(), "lldpd-"));
  stack.defer(() => rm(open, { recursive: true }));
  await chmod(open, 0o755);
  const socket = join(open, "socket");
  const argv = ["lldpd", "-d", "-u", socket, "-I", taps.join(",")];
  const lldpd = stack.use(start(argv, { logFile: join(directory, "lldpd.log") }));
  const deadline = Date.now() + PATIENCE_MS;
  while (!existsSync(socket)) {
    if (!lldpd.running || Date.now() > deadline) throw new Error(`lldpd did not start, see ${directory}`);
    await Bun.sleep(POLL_MS);
  }
  const configure = (...words: string[]) => run(["lldpcli", "-u", socket, "configure", ...words]);
  await configure("system", "hostname", SWITCH.name);
  await configure("system", "description", SWITCH.description);
  await configure("system", "ip", "management", "pattern", SWITCH.managementAddress);
  for (const tap of taps) {
    await configure("ports", tap, "lldp", "portidsubtype", "local", SWITCH.port(tap));
    await configure("ports", tap, "lldp", "portdescription", SWITCH.portDescription);
  }
  // lldpd tells the VLANs it finds on its own machine; without the kernel's driver there are none.
  await configure("lldp", "custom-tlv", "oui", "00,80,c2", "subtype", "3", "oui-info", vlanName());
  await configure("lldp", "tx-interval", String(SWITCH.interval));
  const { stdout } = await run(["lldpcli", "-u", socket, "-f", "keyvalue", "show", "chassis"]);
  const mac = /^local-chassis\.chassis\.mac=(.*)$/m.exec(stdout)?.[1];
  if (mac === undefined) throw new Error(`lldpd does not tell its chassis ID: ${stdout}`);
  const running = stack.move();
  return { mac, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

/** The value of the VLAN name TLV of IEEE 802.1: id, length of the name, name; as bytes in hex. */
function vlanName(): string {
  const { id, name } = SWITCH.vlan;
  const bytes = [id >> 8, id & 0xff, name.length, ...Buffer.from(name)];
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(",");
}
