// Boots what Ironic's iPXE script says, by following the script as iPXE would: only the commands that Ironic writes. Kernel
// and ramdisk are then loaded by QEMU itself, which saves minutes under emulation.

/** What the script has in memory when it says `boot`. URLs as in the script. */
export interface NetworkBoot {
  kernel: string;
  initrd: string;
  /** The kernel's parameters. */
  cmdline: string;
}

export class BootScriptError extends Error {
  override readonly name = "BootScriptError";
}

/** Follows the script until it boots. `settings` are iPXE's own, such as `mac`. Pure. */
export function followBootScript(script: string, settings: Readonly<Record<string, string>>): NetworkBoot {
  const lines = script.split("\n").map((line) => line.trim());
  if (lines[0] !== "#!ipxe") throw new BootScriptError(`no iPXE script: it begins with ${lines[0]}`);
  const variables = new Map(Object.entries(settings));
  let kernel: { url: string; parameters: string } | null = null;
  let initrd: string | null = null;
  // Labels are jumped to forwards; a script that jumps back waits for something that cannot happen here.
  for (let at = 0; at < lines.length; at++) {
    const line = expanded(lines[at] ?? "", variables);
    if (line === "" || line.startsWith("#") || line.startsWith(":")) continue;
    // Every download succeeds here, so what follows "||" is never reached.
    const words = line.replace(/\s*\|\|.*$/, "").split(/\s+/);
    const [command, ...args] = words;
    switch (command) {
      case "set":
        variables.set((args[0] ?? "").replace(/:.*$/, ""), args.slice(1).join(" "));
        break;
      case "goto":
        at = labelled(lines, args[0] ?? "", at);
        break;
      case "imgfree":
        kernel = null;
        initrd = null;
        break;
      case "kernel": {
        const [url = "", ...parameters] = withoutOptions(args);
        kernel = { url, parameters: parameters.join(" ") };
        break;
      }
      case "initrd":
        initrd = withoutOptions(args)[0] ?? "";
        break;
      case "boot":
        if (kernel === null || initrd === null) throw new BootScriptError("boots before a kernel is loaded");
        return { kernel: kernel.url, initrd, cmdline: kernel.parameters };
      default:
        throw new BootScriptError(`a command that is not expected of Ironic: ${line}`);
    }
  }
  throw new BootScriptError("it ends without booting");
}

function expanded(line: string, variables: ReadonlyMap<string, string>): string {
  return line.replaceAll(/\$\{([^}:]+)(?::[^}]*)?\}/g, (_, name: string) => variables.get(name) ?? "");
}

function labelled(lines: readonly string[], label: string, from: number): number {
  const at = lines.indexOf(`:${label}`, from);
  if (at < 0) throw new BootScriptError(`goes to ${label}, which does not follow`);
  return at;
}

/** Options of the download commands come first: `--timeout 60000`. */
function withoutOptions(args: readonly string[]): readonly string[] {
  return args[0]?.startsWith("--") === true ? withoutOptions(args.slice(2)) : args;
}
