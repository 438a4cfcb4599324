// One answer for everybody who asks at the same time. Nothing is kept: who asks later gets a new answer.

export class Shared<T> {
  readonly #ask: () => Promise<T>;
  #underWay: Promise<T> | null = null;

  constructor(ask: () => Promise<T>) {
    this.#ask = ask;
  }

  get(): Promise<T> {
    this.#underWay ??= this.#ask().finally(() => {
      this.#underWay = null;
    });
    return this.#underWay;
  }
}
