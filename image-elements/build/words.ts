// Splits a string into words as a shell does, for options that hold a whole command line's worth of arguments.

/** Words in single or double quotes keep their blanks, a backslash keeps the next character; null if a quote is left open. */
export function splitWords(text: string): string[] | null {
  const words: string[] = [];
  // Runs of one kind, put together until a blank: ab"c d"e is one word.
  const part = /\s+|'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^\s'"\\]+)|(.)/gsy;
  let word: string | null = null;
  for (const [run, single, double, escaped, plain, stray] of text.matchAll(part)) {
    if (stray !== undefined) return null;
    const piece = single ?? double?.replace(/\\(["\\$`])/g, "$1") ?? escaped ?? plain;
    if (piece !== undefined) {
      word = `${word ?? ""}${piece}`;
    } else if (run !== "" && word !== null) {
      words.push(word);
      word = null;
    }
  }
  if (word !== null) words.push(word);
  return words;
}
