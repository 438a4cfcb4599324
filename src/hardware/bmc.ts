// The addresses of the machine's BMC, asked of the BMC itself over its local interface.
// Each is detected once per agent and remembered: the question takes seconds and the answer does not change.
// Rules: hardware specification 1.1, 5.

import { errorText, IncompatibleHardwareMethodError } from "../errors.ts";
import { ProgramFailedError, ProgramMissingError } from "../system/programs.ts";
import type { System } from "../system/system.ts";
import { canonicalIpv6, isIpv4 } from "./ip-address.ts";
import {
  type Lan6Address,
  type LanSettings,
  lan6Addresses,
  lan6All,
  lan6Enables,
  lanChannels,
  lanPrint,
} from "./ipmitool.ts";

/** IPMI knows channels 1 to 11 for LAN and other media. */
const CHANNELS = Array.from({ length: 11 }, (_, index) => index + 1);
const NO_IPV4 = "0.0.0.0";
const NO_IPV6 = "::/0";

export class Bmc {
  readonly #system: System;
  /** Under way or answered: the channels to be asked, for all three detections. */
  #channels: Promise<readonly number[]> | null = null;
  /** Answers of `lan print` under way, so that two detections side by side ask each channel once. */
  readonly #asked = new Map<number, Promise<LanSettings>>();
  #address: Promise<string | null> | null = null;
  #v6Address: Promise<string | null> | null = null;
  #mac: Promise<string | null> | null = null;

  constructor(system: System) {
    this.#system = system;
  }

  /**
   * The IPv4 (or IPv6) address of the first channel that has one; "0.0.0.0" if none has; null without a BMC.
   */
  address(): Promise<string | null> {
    this.#address ??= this.#detect("address", () => this.#findAddress());
    return this.#address;
  }

  /** The same for IPv6, without prefix length; "::/0" if no channel has one. */
  v6Address(): Promise<string | null> {
    this.#v6Address ??= this.#detect("IPv6 address", () => this.#findV6Address());
    return this.#v6Address;
  }

  /**
   * The MAC address of the first channel with an IP address; null, and asked again next time, without an
   * answer.
   * @throws IncompatibleHardwareMethodError if no channel has one; this is remembered, too
   */
  async mac(): Promise<string | null> {
    this.#mac ??= this.#detect("MAC address", () => this.#findMac());
    const mac = await this.#mac;
    if (mac === null) this.#mac = null;
    return mac;
  }

  async #detect(what: string, find: () => Promise<string | null>): Promise<string | null> {
    if (!(await hasIpmiDevice(this.#system))) return null;
    try {
      return await find();
    } catch (error) {
      if (!(error instanceof ProgramMissingError || error instanceof ProgramFailedError)) throw error;
      this.#system.log.warning(`the BMC's ${what} is unknown: ${errorText(error)}`);
      return null;
    }
  }

  async #findAddress(): Promise<string> {
    for (const channel of await this.#lanChannels()) {
      const { invalidChannel, ip } = await this.#lan(channel);
      if (invalidChannel) continue;
      const [address] = ip;
      if (ip.length !== 1 || address === undefined || !isAddress(address)) {
        this.#system.log.warning(`BMC channel ${channel} has no valid IP address: ${ip.join(" ") || "none"}`);
      } else if (address !== NO_IPV4) {
        return address;
      }
    }
    return NO_IPV4;
  }

  async #findV6Address(): Promise<string> {
    for (const channel of await this.#lanChannels()) {
      const enables = await lan6Enables(this.#system, channel);
      if (enables !== "ipv6" && enables !== "both") continue;
      const dynamic = await lan6Addresses(this.#system, channel, "dynamic_addr");
      const found =
        dynamic.find(isUsableDynamic) ??
        (await lan6Addresses(this.#system, channel, "static_addr")).find(isUsableStatic);
      if (found === undefined) continue;
      const address = canonicalIpv6(found.address.replace(/\/\d+$/, ""));
      if (address !== null) return address;
      this.#system.log.warning(`BMC channel ${channel} has an invalid IPv6 address: ${found.address}`);
    }
    return NO_IPV6;
  }

  async #findMac(): Promise<string> {
    for (const channel of await this.#lanChannels()) {
      const { invalidChannel, addresses } = await this.#lan(channel);
      if (invalidChannel) continue;
      const [ip, mac] = addresses;
      if (addresses.length !== 2 || ip === undefined || mac === undefined) {
        this.#system.log.warning(`BMC channel ${channel} does not tell one IP and one MAC address`);
        continue;
      }
      if (ip === NO_IPV4 && !(await this.#hasRoutedIpv6(channel))) continue;
      if (/^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/i.test(mac) && mac !== "00:00:00:00:00:00") return mac;
    }
    throw new IncompatibleHardwareMethodError("no channel of the BMC has an IP address and a MAC address");
  }

  /** As the reference has it, a channel that tells nothing about IPv6 passes. */
  async #hasRoutedIpv6(channel: number): Promise<boolean> {
    const addresses = await lan6All(this.#system, channel);
    if (addresses.length === 0) return true;
    return addresses.some(({ address }) => !address.startsWith("::") && !address.startsWith("fe80"));
  }

  /** A failure is not remembered. */
  #lanChannels(): Promise<readonly number[]> {
    this.#channels ??= lanChannels(this.#system, CHANNELS).catch((error) => {
      this.#channels = null;
      throw error;
    });
    return this.#channels;
  }

  #lan(channel: number): Promise<LanSettings> {
    const known = this.#asked.get(channel);
    if (known !== undefined) return known;
    const answer = lanPrint(this.#system, channel).finally(() => this.#asked.delete(channel));
    this.#asked.set(channel, answer);
    return answer;
  }
}

/** Without a device node of the kernel's IPMI driver ipmitool could only fail, slowly. */
async function hasIpmiDevice(system: System): Promise<boolean> {
  const { files } = system;
  const candidates = (await files.list("/dev"))
    .filter((name) => name.startsWith("ipmi"))
    .map((name) => `/dev/${name}`);
  for (const directory of ["/dev/ipmi", "/dev/ipmidev"]) {
    if ((await files.targetKind(directory)) !== "directory") continue;
    candidates.push(...(await files.list(directory)).map((name) => `${directory}/${name}`));
  }
  const kinds = await Promise.all(candidates.map((path) => files.targetKind(path)));
  return kinds.includes("character");
}

function isUsableDynamic({ sourceType, status, address }: Lan6Address): boolean {
  return (sourceType === "DHCPv6" || sourceType === "SLAAC") && status === "active" && !isNull(address);
}

function isUsableStatic({ enabled, status, address }: Lan6Address): boolean {
  return enabled === true && status === "active" && !isNull(address);
}

function isNull(address: string): boolean {
  return /^::(?:\/\d{1,3})*$/.test(address);
}

function isAddress(text: string): boolean {
  return isIpv4(text) || canonicalIpv6(text) !== null;
}
