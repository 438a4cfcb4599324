// What the rig sees of an agent beside the conductor: the progress of its running command, asked of its API as anybody may
// who has no token, and its memory, read in the ramdisk's shell. Nothing that is judged depends on it.

import { isJsonObject, type Json } from "../../src/json.ts";
import { type Command, type CommandProgress, progressOf } from "../kit/agent-client.ts";
import type { Machine } from "../rig/machine.ts";

const TIMEOUT_MS = 5000;

export interface AgentMemory {
  /** Resident now, in KiB. */
  residentKiB: number;
  /** Resident at most since the process began, in KiB. */
  peakKiB: number;
}

/** Progress of the last command in the agent's list; null when it has none or does not answer. */
export async function agentProgress(agentUrl: string): Promise<CommandProgress | null> {
  try {
    const response = await fetch(`${agentUrl}/v1/commands/`, {
      // The conductor checks the certificate; here nothing is at stake.
      tls: { rejectUnauthorized: false },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const body = (await response.json()) as Json;
    const last = isJsonObject(body) && Array.isArray(body.commands) ? body.commands.at(-1) : undefined;
    return isJsonObject(last) ? progressOf(last as unknown as Command) : null;
  } catch {
    // It starts, is busy or is gone: the display stands still.
    return null;
  }
}

/** Null while there is no shell or no agent. */
export async function agentMemory(machine: Machine): Promise<AgentMemory | null> {
  let status: string;
  try {
    // The executable's name is longer than what /proc keeps as the process's name.
    status = await machine.shell(`cat /proc/$(pidof ironic-python-agent)/status`, TIMEOUT_MS);
  } catch {
    // The machine boots, goes off, or its agent is being restarted: there is nothing to read.
    return null;
  }
  const kibibytes = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1]);
  const [residentKiB, peakKiB] = [kibibytes("VmRSS"), kibibytes("VmHWM")];
  return Number.isNaN(residentKiB) || Number.isNaN(peakKiB) ? null : { residentKiB, peakKiB };
}
