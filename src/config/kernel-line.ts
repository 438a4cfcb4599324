// The kernel command line: how conductors and operators configure the agent of a ramdisk.
// Grammar (control-plane specification 2.5): words at white space, only `name=value`, split at the first `=`, the last of
// equal names wins, no quoting, case matters.

/** The parameters of a kernel command line. */
export function parseKernelLine(line: string): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const word of line.split(/\s+/)) {
    const equals = word.indexOf("=");
    if (equals >= 0) parameters.set(word.slice(0, equals), word.slice(equals + 1));
  }
  return parameters;
}

/** `ipa-debug` is read more loosely than boolean options and is never an error: conductors write what they like. */
export function isTrueDebug(text: string): boolean {
  return ["1", "t", "true", "on", "y", "yes"].includes(text.toLowerCase());
}
