// The list that the collector extra-hardware makes: facts of four members each, as the program
// hardware-detect of the Python library "hardware" prints them and Ironic's hook extra_hardware turns them
// into a tree. Numbers are text wherever they are text there.

/** Kind, object, property, value: `["disk", "sda", "size", "500"]`. */
export type Fact = [kind: string, object: string, property: string, value: string | number];

export class Facts {
  readonly #facts: Fact[] = [];

  /** All facts of several lists, in their order. */
  static join(parts: readonly Facts[]): Facts {
    const all = new Facts();
    all.append(parts);
    return all;
  }

  /** Adds all facts of several lists, in their order. */
  append(parts: readonly Facts[]): void {
    for (const part of parts) for (const fact of part.#facts) this.#facts.push(fact);
  }

  /** Unknown values (null, undefined) are no facts. */
  add(kind: string, object: string, property: string, value: string | number | null | undefined): void {
    if (value != null) this.#facts.push([kind, object, property, value]);
  }

  /** The value of the first such fact. */
  find(kind: string, object: string, property: string): string | number | null {
    const fact = this.#facts.find(([a, b, c]) => a === kind && b === object && c === property);
    return fact?.[3] ?? null;
  }

  list(): Fact[] {
    return this.#facts;
  }
}
