// Text of others on a command line. There is no shell between the agent and its tools, but a tool itself takes what begins with a
// hyphen for one of its options.

/** True for one word that no program can take for an option. */
export function isArgumentWord(text: string): boolean {
  return /^[^-\s\p{Cc}][^\s\p{Cc}]*$/u.test(text);
}
