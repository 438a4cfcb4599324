// Overwriting a disk with GNU shred. Its only sign of life are the lines that --verbose makes it print to standard error, which
// also tell how far it is. Source: hardware specification 8.2; shred(1).

import type { ReportProgress } from "../progress.ts";
import { lastLines } from "../system/programs.ts";
import type { System } from "../system/system.ts";

export type ShredOptions = {
  /** Random passes. */
  readonly iterations: number;
  /** One more pass, of zeros. */
  readonly zeroize: boolean;
  readonly signal: AbortSignal;
  readonly report: ReportProgress;
};

/**
 * @returns the last lines shred printed
 * @throws ProgramFailedError, ProgramMissingError
 */
export async function shred(system: System, device: string, options: ShredOptions): Promise<string> {
  const { iterations, zeroize, signal, report } = options;
  const phase = (text: string) => `shred${text}`;
  report({ phase: phase(""), done: 0, total: 100, unit: "percent", rate: null });
  // A chunk may end anywhere in a line.
  let partial = "";
  const { stderr } = await system.run(
    [
      ...["shred", "--force", ...(zeroize ? ["--zero"] : [])],
      ...["--verbose", "--iterations", String(iterations), device],
    ],
    {
      timeout: Number.POSITIVE_INFINITY,
      signal,
      maxOutput: 64 * 1024,
      onErrorOutput(text) {
        const lines = (partial + text).split("\n");
        partial = (lines.pop() ?? "").slice(-4096);
        const latest = lines.map(parseShredLine).findLast((progress) => progress !== null);
        if (latest === undefined || latest === null) return;
        const { pass, passes, percent } = latest;
        report({
          phase: phase(`, pass ${pass} of ${passes}`),
          done: Math.floor(((pass - 1) * 100 + percent) / passes),
          total: 100,
          unit: "percent",
          rate: null,
        });
      },
    },
  );
  return lastLines(stderr);
}

export type ShredProgress = { readonly pass: number; readonly passes: number; readonly percent: number };

/** `shred: /dev/sda: pass 1/2 (random)...512MiB/1.0GiB 50%`; a pass begins with a line without numbers. Null: another line. */
export function parseShredLine(line: string): ShredProgress | null {
  const match = /: pass (\d+)\/(\d+) \(.*?\)\.\.\.(?:.* (\d+)%)?$/.exec(line.trimEnd());
  if (match === null) return null;
  const [pass, passes, percent] = [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)];
  if (pass < 1 || pass > passes || percent > 100) return null;
  return { pass, passes, percent };
}
