// Pause parameters and offload features of a card, from the program ethtool, which few ramdisks carry.

import { ProgramFailedError, ProgramMissingError } from "../../system/programs.ts";
import type { System } from "../../system/system.ts";
import type { Facts } from "./facts.ts";

export async function addEthtool(facts: Facts, system: System, name: string): Promise<void> {
  const answers = await Promise.all(["-a", "-k"].map((question) => ethtool(system, question, name)));
  for (const answer of answers)
    for (const [property, value] of parseEthtool(name, answer)) facts.add("network", name, property, value);
}

/**
 * Lines of `key: value`; indented ones belong to the last that is not. The line that repeats the card's name
 * is skipped.
 */
export function parseEthtool(name: string, output: string): [property: string, value: string][] {
  const found: [string, string][] = [];
  let header = "";
  for (const line of output.split("\n")) {
    if (line.trim() === "" || line.includes(name)) continue;
    const [key = "", ...rest] = line.split(":");
    const value = rest.join("").trim();
    const indented = line.startsWith("\t");
    if (!indented) header = key.trim();
    if (value !== "") found.push([indented ? `${header}/${key.trim()}` : header, value]);
  }
  return found;
}

/** "" when it is not installed, or the driver does not know an answer. */
async function ethtool(system: System, question: string, name: string): Promise<string> {
  try {
    return (await system.run(["ethtool", question, name])).stdout;
  } catch (error) {
    if (error instanceof ProgramMissingError || error instanceof ProgramFailedError) return "";
    throw error;
  }
}
