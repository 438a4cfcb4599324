// How fast a network port can be: the fastest of the link modes its driver supports, which is the value that
// the reference takes from lshw (its "capacity"). Rules: hardware specification 4.4.

/** Mbit/s by the kernel's numbers of link modes (ETHTOOL_LINK_MODE_*_BIT), first and last of each run. */
const SPEEDS: readonly (readonly [first: number, last: number, megabits: number])[] = [
  [0, 1, 10],
  [2, 3, 100],
  [4, 5, 1_000],
  [12, 12, 10_000],
  [15, 15, 2_500],
  [17, 17, 1_000],
  [18, 20, 10_000],
  [21, 22, 20_000],
  [23, 26, 40_000],
  [27, 30, 56_000],
  [31, 33, 25_000],
  [34, 35, 50_000],
  [36, 39, 100_000],
  [40, 40, 50_000],
  [41, 41, 1_000],
  [42, 46, 10_000],
  [47, 47, 2_500],
  [48, 48, 5_000],
  [52, 56, 50_000],
  [57, 61, 100_000],
  [62, 66, 200_000],
  [67, 67, 100],
  [68, 68, 1_000],
  [69, 73, 400_000],
  [75, 79, 100_000],
  [80, 84, 200_000],
  [85, 89, 400_000],
  [90, 91, 100],
  [92, 92, 10],
  [93, 98, 800_000],
  [99, 102, 10],
  [103, 108, 200_000],
  [109, 114, 400_000],
  [115, 120, 800_000],
];

/** Mbit/s; null if none of the modes has a speed. */
export function fastestLink(modes: readonly number[]): number | null {
  const speeds = modes.flatMap((mode) => {
    const run = SPEEDS.find(([first, last]) => mode >= first && mode <= last);
    return run === undefined ? [] : [run[2]];
  });
  return speeds.length === 0 ? null : Math.max(...speeds);
}
