// The security feature set of ATA disks: what a drive says of it, and the secure erase that is part of it. The erase needs a user
// password on the drive, which locks the drive at its next power-up; so whatever goes wrong after it was set, it is
// taken off again. Source: hardware specification 8.5; hdparm(8).

import { BlockDeviceEraseError, errorText } from "../errors.ts";
import type { ReportProgress } from "../progress.ts";
import { lastLines, ProgramFailedError, ProgramMissingError } from "../system/programs.ts";
import type { System } from "../system/system.ts";
import { reportWhile } from "./elapsed-progress.ts";

/** Known to every tool and agent, so that a drive left with it can be opened by anybody who may touch the machine. */
const PASSWORD = "NULL";
/** What earlier erasures, by whomever, may have left on the drive. */
const KNOWN_PASSWORDS = [PASSWORD, ""];
/** smartctl's way to say that this is no ATA disk; its text tells. */
const SMARTCTL_NOT_ATA = 127;

const ENHANCED_UNSUPPORTED = "not supported: enhanced erase";

export type AtaErase = {
  readonly enhanced: boolean;
  /** The last lines hdparm printed. */
  readonly output: string;
};

export type AtaEraseOptions = { readonly signal: AbortSignal; readonly report: ReportProgress };

/**
 * Erases a disk by its own firmware.
 * @returns null if the disk has no such command: nothing was done
 * @throws BlockDeviceEraseError if it has, and refused or failed; the text says what is left on the drive
 */
export async function ataSecureErase(
  system: System,
  device: string,
  options: AtaEraseOptions,
): Promise<AtaErase | null> {
  const { signal } = options;
  let security = await readSecurity(system, device, signal);
  if (!(await smartctlAllowsErase(system, device, signal)) || !security.includes("supported")) return null;
  if (!security.includes("not frozen"))
    throw new BlockDeviceEraseError(
      `${device} is frozen: the firmware forbids security commands until the next power cycle. Turn the security ` +
        `freeze off in the firmware's set-up, or plug the disk out and in. The drive says: ${security.join(", ")}`,
    );
  security = await unlock(system, device, security, signal);
  if (!security.includes("not locked"))
    throw new BlockDeviceEraseError(
      `A security password is set on ${device} and it is neither "${PASSWORD}" nor empty, so the drive cannot be erased. ` +
        `Take it off with hdparm --security-disable. The drive says: ${security.join(", ")}`,
    );
  if (security.includes("not enabled")) await setPassword(system, device, signal);
  const enhanced = !security.includes(ENHANCED_UNSUPPORTED);
  const output = await erase(system, device, {
    ...options,
    enhanced,
    minutes: eraseMinutes(security, enhanced),
  });
  const after = await readSecurity(system, device, signal);
  if (!after.includes("not enabled"))
    throw new BlockDeviceEraseError(
      `${device} ended its secure erase without an error, but its security is still enabled, so it was most likely not ` +
        `erased. ${await takePasswordOff(system, device)}`,
    );
  return { enhanced, output };
}

/** The lines of the section `Security:` that `hdparm -I` prints, one blank between words; none if there is no such section. */
export function parseSecurity(stdout: string): string[] {
  const lines = stdout.split("\n");
  const header = lines.findIndex((line) => line.trimEnd() === "Security:");
  if (header < 0) return [];
  const section: string[] = [];
  for (const line of lines.slice(header + 1)) {
    if (!line.startsWith("\t")) break;
    section.push(line.trim().replace(/\t+/g, " "));
  }
  return section;
}

/** Minutes the drive expects an erase to take; null if it does not say. */
export function eraseMinutes(security: readonly string[], enhanced: boolean): number | null {
  const wanted = enhanced
    ? /(\d+) ?min for ENHANCED SECURITY ERASE UNIT/
    : /(\d+) ?min for SECURITY ERASE UNIT/;
  for (const line of security) {
    const minutes = wanted.exec(line)?.[1];
    if (minutes !== undefined) return Number(minutes);
  }
  return null;
}

/** @throws BlockDeviceEraseError if the disk does not answer; a ramdisk without hdparm has no such disks */
async function readSecurity(system: System, device: string, signal: AbortSignal | null): Promise<string[]> {
  try {
    const { stdout } = await system.run(["hdparm", "-I", device], signal === null ? {} : { signal });
    return parseSecurity(stdout);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof ProgramMissingError) {
      system.log.warning(`no ATA secure erase of ${device}: ${errorText(error)}`);
      return [];
    }
    throw new BlockDeviceEraseError(`${device} does not tell what security it has: ${errorText(error)}`, {
      cause: error,
    });
  }
}

/** hdparm shows made-up security on some disks behind SCSI controllers; smartctl knows better. */
async function smartctlAllowsErase(system: System, device: string, signal: AbortSignal): Promise<boolean> {
  try {
    const { stdout } = await system.run(["smartctl", "-d", "ata", device, "-g", "security"], {
      allowedExitCodes: [0, SMARTCTL_NOT_ATA],
      signal,
    });
    return !stdout.includes("Unavailable");
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ProgramMissingError) return true;
    if (!(error instanceof ProgramFailedError)) throw error;
    system.log.warning(`no ATA secure erase of ${device}: ${errorText(error)}`);
    return false;
  }
}

/** Tries the passwords that may be known; returns what the drive says then. */
async function unlock(
  system: System,
  device: string,
  security: readonly string[],
  signal: AbortSignal | null,
): Promise<string[]> {
  let lines = [...security];
  for (const password of KNOWN_PASSWORDS) {
    if (lines.includes("not locked")) break;
    await attempt(system, ["--security-unlock", password, device], signal);
    lines = await readSecurity(system, device, signal);
  }
  return lines;
}

async function setPassword(system: System, device: string, signal: AbortSignal): Promise<void> {
  try {
    await system.run(["hdparm", "--user-master", "u", "--security-set-pass", PASSWORD, device], { signal });
  } catch (error) {
    // It may have been set all the same.
    const rest = await takePasswordOff(system, device);
    signal.throwIfAborted();
    throw new BlockDeviceEraseError(
      `The security password that an erase needs could not be set on ${device}: ${errorText(error)}. ${rest}`,
      { cause: error },
    );
  }
}

async function erase(
  system: System,
  device: string,
  options: AtaEraseOptions & { readonly enhanced: boolean; readonly minutes: number | null },
): Promise<string> {
  const { signal, report, enhanced, minutes } = options;
  const option = enhanced ? "--security-erase-enhanced" : "--security-erase";
  const phase = enhanced ? "ATA enhanced secure erase" : "ATA secure erase";
  try {
    const running = system.run(["hdparm", "--user-master", "u", option, PASSWORD, device], {
      timeout: Number.POSITIVE_INFINITY,
      signal,
    });
    const expected = minutes === null ? null : minutes * 60;
    const { stdout, stderr } = await reportWhile(running, { clock: system.clock, report, phase, expected });
    return lastLines(`${stdout}\n${stderr}`);
  } catch (error) {
    const rest = await takePasswordOff(system, device);
    signal.throwIfAborted();
    throw new BlockDeviceEraseError(`The ${phase} of ${device} failed: ${errorText(error)}. ${rest}`, {
      cause: error,
    });
  }
}

/** Never fails: it follows a failure. Says in a sentence how the drive was left. */
async function takePasswordOff(system: System, device: string): Promise<string> {
  try {
    // Without the step's signal: this must happen also when the step is being aborted.
    const unlocked = await unlock(system, device, await readSecurity(system, device, null), null);
    if (!unlocked.includes("not enabled"))
      await attempt(system, ["--security-disable", PASSWORD, device], null);
    const security = await readSecurity(system, device, null);
    if (security.includes("not enabled")) return "No security password is left on the drive.";
    return (
      `THE USER PASSWORD "${PASSWORD}" IS STILL SET ON THE DRIVE, which will be locked after a power cycle; take it off ` +
      `with: hdparm --user-master u --security-disable ${PASSWORD} ${device}. The drive says: ${security.join(", ")}`
    );
  } catch (error) {
    return `Whether a security password is left on the drive is unknown: ${errorText(error)}`;
  }
}

async function attempt(system: System, args: readonly string[], signal: AbortSignal | null): Promise<void> {
  try {
    await system.run(["hdparm", "--user-master", "u", ...args], signal === null ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    system.log.info(`hdparm ${args.join(" ")}: ${errorText(error)}`);
  }
}
