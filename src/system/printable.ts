// Text of foreign programs, services and plug-ins on its way to people: a console obeys control characters, and a broken program
// prints its binary.

/** Controls (but line end and tab), invisible and re-ordering characters, halves of characters, odd line ends. */
const UNPRINTABLE = /(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** `text` with what cannot be seen written out (`\x1b`, `\u{202e}`); a carriage return ends a line. */
export function printable(text: string): string {
  return text.replace(/\r\n?/g, "\n").replace(UNPRINTABLE, (character) => {
    const code = (character.codePointAt(0) ?? 0).toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, "0")}` : `\\u{${code}}`;
  });
}
