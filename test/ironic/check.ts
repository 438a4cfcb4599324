// The one assertion of the scenarios.

/** Throws with what was expected and what was seen. */
export function check(condition: boolean, expected: string, seen: string): asserts condition {
  if (!condition) throw new Error(`expected that ${expected}; seen: ${seen}`);
}
