// Text that comes in pieces, as lines. What is held is bounded, whatever comes.

export class Lines {
  readonly #longest: number;
  readonly #onLine: (line: string | null, number: number) => void;
  /** The pieces of the line that has no end yet; put together once, or a long line would be copied with each of them. */
  #pieces: string[] = [];
  #length = 0;
  #number = 0;

  /** `onLine` gets each line without its end, and its number from 1 on; null for one that is longer than `longest` characters. */
  constructor(longest: number, onLine: (line: string | null, number: number) => void) {
    this.#longest = longest;
    this.#onLine = onLine;
  }

  feed(text: string): void {
    const [first = "", ...more] = text.split("\n");
    this.#add(first);
    for (const piece of more) {
      this.#finish();
      this.#add(piece);
    }
  }

  /** What is left without an end is a line, too. */
  end(): void {
    if (this.#length > 0) this.#finish();
  }

  #add(piece: string): void {
    this.#length += piece.length;
    if (this.#length > this.#longest) this.#pieces = [];
    else if (piece !== "") this.#pieces.push(piece);
  }

  #finish(): void {
    const line = this.#length > this.#longest ? null : this.#pieces.join("");
    this.#pieces = [];
    this.#length = 0;
    this.#number += 1;
    this.#onLine(line, this.#number);
  }
}
