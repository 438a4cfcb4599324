// ipmitool's LAN answers as typed values. The tool ends with an error for channels that are not there, and
// what it printed still counts, so bad exit codes are not failures here; an ipmitool that hangs or is missing
// is. Rules: hardware specification 5.

import { ProgramFailedError, type RunOptions } from "../system/programs.ts";
import type { System } from "../system/system.ts";

/** Seconds for one question: a BMC that needs longer is not going to answer. */
const TIMEOUT = 30;
const SENSORS_TIMEOUT = 120;

export type LanSettings = {
  /** The channel number means nothing to this BMC. */
  readonly invalidChannel: boolean;
  /** Values of the lines `IP Address` and `MAC Address`, in their order. */
  readonly addresses: readonly string[];
  /** The values of `IP Address` lines only. */
  readonly ip: readonly string[];
};

export type Lan6Address = {
  /** `DHCPv6`, `SLAAC` … of a dynamic address; null for a static one. */
  readonly sourceType: string | null;
  /** Of a static address; null for a dynamic one. */
  readonly enabled: boolean | null;
  /** With prefix length, as printed. */
  readonly address: string;
  readonly status: string;
};

/**
 * Those of `channels` that a LAN is behind, as `lan print` finds out for itself; all, if the tool does not answer for each of them. One
 * run answers for all: starting it costs more than the question, and most channels of most BMCs are not there.
 * @throws as lanPrint
 */
export async function lanChannels(system: System, channels: readonly number[]): Promise<readonly number[]> {
  const { lans, others } = parseChannelInfo(await channelInfo(system, channels));
  const told = lans.length + others;
  return told < channels.length ? channels : channels.filter((channel) => lans.includes(channel));
}

/** @throws ProgramMissingError; ProgramFailedError when the BMC does not answer in time */
export async function lanPrint(system: System, channel: number): Promise<LanSettings> {
  return parseLan(await ipmitool(system, ["lan", "print", `${channel}`]));
}

/** Which IP versions the channel uses: `ipv4`, `ipv6`, `both`; null if it does not tell. */
export async function lan6Enables(system: System, channel: number): Promise<string | null> {
  return parseLan6Enables((await ipmitool(system, ["lan6", "print", `${channel}`, "enables"])).stdout);
}

export async function lan6Addresses(
  system: System,
  channel: number,
  kind: "dynamic_addr" | "static_addr",
): Promise<Lan6Address[]> {
  return parseLan6Addresses((await ipmitool(system, ["lan6", "print", `${channel}`, kind])).stdout);
}

/** All addresses of a channel, as `lan6 print <channel>` shows them. */
export async function lan6All(system: System, channel: number): Promise<Lan6Address[]> {
  return parseLan6Addresses((await ipmitool(system, ["lan6", "print", `${channel}`])).stdout);
}

/** The first of `channels` that has settings of its own, which sessions over it obey; null if none has. @throws as lanPrint */
export async function firstSessionChannel(
  system: System,
  channels: readonly number[],
): Promise<number | null> {
  return parseSessionChannel((await channelInfo(system, channels)).stdout);
}

/** The settings of the first LAN channel, as printed. */
export async function ipmiLanText(system: System): Promise<string> {
  return (await ipmitool(system, ["lan", "print"])).stdout;
}

/** All sensors, as printed. Reading hundreds of them takes some BMCs a minute. */
export async function ipmiSensors(system: System): Promise<string> {
  return (await ipmitool(system, ["-I", "open", "sdr"], { timeout: SENSORS_TIMEOUT })).stdout;
}

/** Numbers of the channels whose medium is a LAN, and how many have another one or are not there. */
export function parseChannelInfo({ stdout, stderr }: { stdout: string; stderr: string }): {
  readonly lans: readonly number[];
  readonly others: number;
} {
  const lans = new Set<number>();
  let others = stderr.split("\n").filter((line) => line.startsWith("Unable to Get Channel Info")).length;
  let channel: number | null = null;
  for (const line of stdout.split("\n")) {
    const head = /^Channel 0x([0-9a-f]{1,2}) info:/i.exec(line);
    if (head !== null) channel = Number.parseInt(head[1] ?? "", 16);
    const medium = /^\s+Channel Medium Type\s*:(.*)$/.exec(line)?.[1];
    if (channel === null || medium === undefined) continue;
    if (/\bLAN\b/.test(medium)) lans.add(channel);
    else others++;
    channel = null;
  }
  return { lans: [...lans], others };
}

/** Number of the first channel whose description has volatile settings. */
export function parseSessionChannel(text: string): number | null {
  const blocks = text.split(/^Channel 0x(?=[0-9a-f]{1,2} info:)/im).slice(1);
  const first = blocks.find((block) => block.includes("Volatile"));
  return first === undefined ? null : Number.parseInt(first, 16);
}

export function parseLan({ stdout, stderr }: { stdout: string; stderr: string }): LanSettings {
  const addresses: string[] = [];
  const ip: string[] = [];
  for (const line of stdout.split("\n")) {
    const match = /(IP|MAC) Address[ \t]*:/.exec(line);
    if (match === null) continue;
    // The fourth word, as the reference's awk takes it: `IP Address : <value>`.
    const value = line.trim().split(/\s+/)[3] ?? "";
    addresses.push(value);
    if (match[1] === "IP") ip.push(value);
  }
  return { invalidChannel: /^Invalid channel/m.test(stderr), addresses, ip };
}

export function parseLan6Enables(text: string): string | null {
  const line = text.split("\n").find((candidate) => /IPv6\/IPv4 Addressing Enables[ \t]*:/.test(candidate));
  return line?.trim().split(/\s+/).at(-1) ?? null;
}

/** Blocks of a title line and indented `key: value` lines; blocks without an address are left out. */
export function parseLan6Addresses(text: string): Lan6Address[] {
  const blocks: Map<string, string>[] = [];
  let isAddress = false;
  for (const line of text.split("\n")) {
    if (/^\S/.test(line)) {
      isAddress = /^IPv6 (?:Dynamic|Static) Address \d+:/.test(line);
      if (isAddress) blocks.push(new Map());
      continue;
    }
    const match = /^\s+([^:]+?)\s*:\s*(.*?)\s*$/.exec(line);
    if (isAddress && match !== null) blocks.at(-1)?.set(match[1] ?? "", match[2] ?? "");
  }
  return blocks.flatMap((block) => {
    const address = block.get("Address");
    if (address === undefined || address === "") return [];
    return [
      {
        sourceType: block.get("Source/Type") ?? null,
        enabled: block.has("Enabled") ? /^(?:yes|true|on)$/i.test(block.get("Enabled") ?? "") : null,
        address,
        status: block.get("Status") ?? "",
      },
    ];
  });
}

/**
 * Descriptions of the channels that are there, and an error for each other one. Not by /dev/stdin, which is a link that the
 * init system makes: a ramdisk without one may not have it.
 */
function channelInfo(
  system: System,
  channels: readonly number[],
): Promise<{ stdout: string; stderr: string }> {
  const input = channels.map((channel) => `channel info ${channel}\n`).join("");
  return ipmitool(system, ["exec", "/proc/self/fd/0"], { input });
}

async function ipmitool(
  system: System,
  question: readonly string[],
  options: Pick<RunOptions, "timeout" | "input"> = {},
): Promise<{ stdout: string; stderr: string }> {
  try {
    return await system.run(["ipmitool", ...question], { timeout: TIMEOUT, ...options });
  } catch (error) {
    if (error instanceof ProgramFailedError && error.exitCode !== null) return error;
    throw error;
  }
}
