// An ATA disk with the security feature set, as hdparm and smartctl show it: QEMU's drives have none. Its answers are made after
// outputs of hdparm 9.43 to 9.65 on real drives that were published by their owners, and the man page; how it behaves is the
// ATA standard's state machine (ACS-3, security states SEC0 to SEC6).

import { ProgramFailedError } from "../../src/system/programs.ts";
import type { RecordedProgram } from "../support/recorded-system.ts";

export type AtaDriveOptions = {
  readonly supported?: boolean;
  readonly enhanced?: boolean;
  readonly frozen?: boolean;
  /** A password from before; the drive starts locked. */
  readonly password?: string;
  /** A password of zero bytes may be meant differently by whoever set it; true tells "NULL" and "" apart. */
  readonly literal?: boolean;
  /** Minutes it announces. */
  readonly minutes?: number;
  /** What goes wrong. */
  readonly refuses?: "set-pass" | "erase" | "erase, then unlock" | "erase silently";
  readonly smartctl?: { readonly exitCode?: number; readonly stdout?: string } | "missing";
};

export class AtaDrive {
  readonly #options: AtaDriveOptions;
  /** Null: security is not enabled. hdparm sends 32 zero bytes for NULL, as for an empty one. */
  #password: string | null;
  #locked: boolean;
  erased: "enhanced" | "normal" | null = null;

  constructor(options: AtaDriveOptions = {}) {
    this.#options = options;
    this.#password = options.password ?? null;
    this.#locked = options.password !== undefined;
  }

  get passwordIsSet(): boolean {
    return this.#password !== null;
  }

  get programs(): Record<string, RecordedProgram> {
    const { smartctl } = this.#options;
    const hdparm: RecordedProgram = (argv) => this.#hdparm(argv);
    if (smartctl === "missing") return { hdparm };
    return { hdparm, smartctl: smartctl ?? { stdout: "ATA Security is:  Disabled, NOT FROZEN [SEC1]\n" } };
  }

  #hdparm(argv: readonly string[]): { stdout: string } {
    if (argv[1] === "-I") return { stdout: this.identity() };
    const [, , , option, password = ""] = argv;
    const zeros = password === "NULL" && this.#options.literal !== true ? "" : password;
    const known = this.#password === zeros;
    switch (option) {
      case "--security-unlock":
        if (!known || this.#options.refuses === "erase, then unlock") throw ioError(argv, "SECURITY_UNLOCK");
        this.#locked = false;
        break;
      case "--security-set-pass":
        if (this.#options.refuses === "set-pass") throw ioError(argv, "SECURITY_SET_PASS");
        this.#password = zeros;
        break;
      case "--security-disable":
        if (!known || this.#locked || this.#options.refuses === "erase, then unlock")
          throw ioError(argv, "SECURITY_DISABLE");
        this.#password = null;
        break;
      case "--security-erase":
      case "--security-erase-enhanced":
        this.#erase(argv, known, option === "--security-erase" ? "normal" : "enhanced");
        break;
      default:
        throw new Error(`this hdparm does not know ${argv.join(" ")}`);
    }
    return { stdout: `security_password: "${zeros}"\n\n/dev/sda:\n Issuing SECURITY command, user=user\n` };
  }

  #erase(argv: readonly string[], known: boolean, kind: "enhanced" | "normal"): void {
    const { refuses } = this.#options;
    if (refuses === "erase silently") return;
    if (!known || refuses !== undefined) {
      this.#locked = true;
      throw ioError(argv, "SECURITY_ERASE");
    }
    this.erased = kind;
    this.#password = null;
  }

  /** `hdparm -I`, shortened in front. */
  identity(): string {
    const { supported = true, enhanced = true, frozen = false, minutes = 88 } = this.#options;
    const line = (holds: boolean, text: string) => `\t${holds ? "" : "not"}\t${text}\n`;
    const enabled = this.#password !== null;
    const times = `\t${minutes}min for SECURITY ERASE UNIT.${enhanced ? ` ${minutes}min for ENHANCED SECURITY ERASE UNIT.` : ""}\n`;
    return (
      "\n/dev/sda:\n\nATA device, with non-removable media\n\tModel Number:       MADE UP 1TB\n" +
      "Commands/features:\n\tEnabled\tSupported:\n\t   *\tSMART feature set\n" +
      (supported
        ? `Security: \n\tMaster password revision code = 65534\n\t\tsupported\n${line(enabled, "enabled")}` +
          `${line(this.#locked, "locked")}${line(frozen, "frozen")}${line(false, "expired: security count")}` +
          `${line(enhanced, "supported: enhanced erase")}${enabled ? "\tSecurity level high\n" : ""}${times}`
        : "") +
      "Logical Unit WWN Device Identifier: 50000391f340058c\n\tNAA\t\t: 5\nChecksum: correct\n"
    );
  }
}

function ioError(argv: readonly string[], command: string): ProgramFailedError {
  return new ProgramFailedError(argv, "exit code 5", 5, "", `${command}: Input/output error\n`);
}
