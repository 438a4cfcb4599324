// What went wrong during an inspection, gathered so that the rest goes on and Ironic still learns of it.

export class Failures {
  readonly #texts: string[] = [];

  add(text: string): void {
    this.#texts.push(text);
  }

  /** The text that Ironic shows (the reference's); null if nothing went wrong. */
  text(): string | null {
    if (this.#texts.length === 0) return null;
    return ["The following errors were encountered:", ...this.#texts.map((text) => `* ${text}`)].join("\n");
  }
}
