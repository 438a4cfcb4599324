// The parameters the machine was booted with: of the kernel's command line, and of virtual media, where the conductor puts them
// when it boots a machine that way. Source: control-plane specification 2.5 and 2.8.

import { errorText } from "../errors.ts";
import type { Files } from "../system/files.ts";
import type { BootMedia } from "./boot-media.ts";
import { ConfigurationError } from "./configuration-error.ts";
import { parseKernelLine } from "./kernel-line.ts";
import { OPTION_NAMES, optionSpec } from "./options.ts";
import type { Sources } from "./sources.ts";

/** What a kernel parameter says, and the virtual media that says it, if it was not the kernel's own command line. */
export type KernelParameter = { readonly text: string; readonly device: string | null };

/**
 * The parameters of the kernel's command line, and over them those of virtual media. The boot ISO's files are copied before
 * anybody looks for a configuration file.
 * @throws ConfigurationError when the media cannot be read
 */
export async function readKernelParameters(
  files: Files,
  media: BootMedia | undefined,
): Promise<ReadonlyMap<string, KernelParameter>> {
  const line = parseKernelLine((await files.readAttribute("/proc/cmdline")) ?? "");
  const parameters = new Map<string, KernelParameter>();
  for (const [name, text] of line) parameters.set(name, { text, device: null });
  if (line.get("boot_method") !== "vmedia" || media === undefined) return parameters;
  try {
    await media.copyConfiguration();
    const found = await media.readParameters();
    for (const [name, text] of parseKernelLine(found?.text ?? ""))
      parameters.set(name, { text, device: found?.device ?? "" });
    return parameters;
  } catch (error) {
    throw new ConfigurationError(`reading the configuration from virtual media: ${errorText(error)}`, 1);
  }
}

/** Puts the parameters that are options among the sources. Returns warnings, for people. */
export function setKernelParameters(
  sources: Sources,
  kernel: ReadonlyMap<string, KernelParameter>,
): string[] {
  const warnings: string[] = [];
  for (const name of OPTION_NAMES) {
    const { kernel: parameter, oldKernel } = optionSpec(name);
    for (const written of [oldKernel, parameter]) {
      const found = written === undefined ? undefined : kernel.get(written);
      if (written === undefined || found === undefined) continue;
      sources.kernelParameter(name, originOf(written, found), found.text);
      if (written === oldKernel)
        warnings.push(`${originOf(written, found)} has an old name; its name is ${parameter} now`);
    }
  }
  return warnings;
}

/** For people: which parameter, and where it stands. */
export function originOf(parameter: string, { device }: KernelParameter): string {
  return device === null
    ? `kernel parameter ${parameter}`
    : `virtual media parameter ${parameter} on ${device}`;
}
