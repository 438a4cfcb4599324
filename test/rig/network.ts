// The network of a run, inside its namespace: a bridge with an address, DHCP on it and taps for the machines. No gateway
// and no name service: machines see this network and nothing else.

import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { assertInsideNamespace } from "./namespace.ts";
import { type RunningProgram, run, start } from "./programs.ts";

export interface NetworkOptions {
  /** Where dnsmasq keeps its leases and log. */
  directory: string;
  /** The first three numbers of a /24; the bridge has .1, machines get .100 to .200. Default 192.0.2. */
  subnet?: string;
}

export interface Lease {
  mac: string;
  address: string;
  hostname: string;
}

/** A bridge with an address, DHCP on it, and taps for machines. */
export class Network implements AsyncDisposable {
  /** The bridge's address: what servers listen on. */
  readonly address: string;
  readonly #leaseFile: string;
  readonly #dnsmasq: RunningProgram;
  #taps = 0;

  private constructor(address: string, leaseFile: string, dnsmasq: RunningProgram) {
    this.address = address;
    this.#leaseFile = leaseFile;
    this.#dnsmasq = dnsmasq;
  }

  /** Only inside a namespace of enterNamespace(): the bridge must not appear on the machine's own network. */
  static async create(options: NetworkOptions): Promise<Network> {
    await assertInsideNamespace();
    const subnet = options.subnet ?? "192.0.2";
    await mkdir(options.directory, { recursive: true });
    await run(["ip", "link", "set", "lo", "up"]);
    await run(["ip", "link", "add", "rig0", "type", "bridge"]);
    await run(["ip", "address", "add", `${subnet}.1/24`, "dev", "rig0"]);
    await run(["ip", "link", "set", "rig0", "up"]);
    const leaseFile = join(options.directory, "leases");
    const dnsmasq = start(dnsmasqArguments(subnet, leaseFile), {
      logFile: join(options.directory, "dnsmasq.log"),
    });
    return new Network(`${subnet}.1`, leaseFile, dnsmasq);
  }

  /** Makes a tap on the bridge for one network card and returns its name. */
  async addTap(): Promise<string> {
    const name = `tap${this.#taps++}`;
    await run(["ip", "tuntap", "add", "dev", name, "mode", "tap"]);
    await run(["ip", "link", "set", name, "master", "rig0", "up"]);
    return name;
  }

  /** What DHCP has handed out so far. */
  async leases(): Promise<Lease[]> {
    return existsSync(this.#leaseFile) ? parseLeases(await Bun.file(this.#leaseFile).text()) : [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dnsmasq.stop();
    await run(["ip", "link", "delete", "rig0"]);
  }
}

/** dnsmasq's lease file: expiry, MAC, address, host name or *, client id; IPv6 leases follow a line "duid …". */
export function parseLeases(text: string): Lease[] {
  return text
    .split("\n")
    .map((line) => line.split(" "))
    .filter((fields) => fields.length >= 4 && fields[0] !== "duid")
    .map(([, mac = "", address = "", hostname = ""]) => ({
      mac,
      address,
      hostname: hostname === "*" ? "" : hostname,
    }));
}

function dnsmasqArguments(subnet: string, leaseFile: string): string[] {
  return [
    "dnsmasq",
    "--keep-in-foreground",
    "--conf-file=/dev/null",
    "--user=root",
    "--pid-file=",
    "--log-facility=-",
    "--log-dhcp",
    "--no-ping",
    "--port=0",
    "--dhcp-option=3",
    "--dhcp-option=6",
    "--interface=rig0",
    "--bind-interfaces",
    "--dhcp-authoritative",
    `--dhcp-range=${subnet}.100,${subnet}.200,12h`,
    `--dhcp-leasefile=${leaseFile}`,
  ];
}
