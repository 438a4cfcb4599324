// Text that comes in pieces, as lines. What is held is bounded, whatever comes.

export class Lines {
  readonly #longest: number;
  readonly #onLine: (line: string | null, number: number) => void;
  #rest = "";
  #number = 0;
  #skipping = false;

  /** `onLine` gets each line without its end, and its number from 1 on; null for one that is longer than `longest` characters. */
  constructor(longest: number, onLine: (line: string | null, number: number) => void) {
    this.#longest = longest;
    this.#onLine = onLine;
  }

  feed(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#finish(line);
    if (this.#rest.length <= this.#longest) return;
    this.#skipping = true;
    this.#rest = "";
  }

  /** What is left without an end is a line, too. */
  end(): void {
    if (this.#rest !== "" || this.#skipping) this.#finish(this.#rest);
    this.#rest = "";
  }

  #finish(line: string): void {
    this.#number += 1;
    this.#onLine(this.#skipping || line.length > this.#longest ? null : line, this.#number);
    this.#skipping = false;
  }
}
