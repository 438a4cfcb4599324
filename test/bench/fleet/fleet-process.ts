// The benchmark's end of the process full of agents.

import type { ApiRequest, FleetSettings, News, Order, Usage } from "./protocol.ts";

export type Measured = { readonly usage: Usage; readonly requests: readonly ApiRequest[] };

export class FleetProcess implements AsyncDisposable {
  readonly #child: Bun.Subprocess;
  readonly #waiting = new Set<{
    readonly wanted: (news: News) => boolean;
    readonly done: (news: News) => void;
  }>();
  readonly #holding = new Set<number>();

  private constructor(settings: FleetSettings) {
    this.#child = Bun.spawn([process.execPath, `${import.meta.dir}/agents.ts`, JSON.stringify(settings)], {
      ipc: (news: News) => this.#hear(news),
      stdin: "ignore",
      stdout: "inherit",
      stderr: "inherit",
    });
  }

  static async start(settings: FleetSettings): Promise<FleetProcess> {
    const fleet = new FleetProcess(settings);
    await fleet.#next((news) => news.news === "ready");
    return fleet;
  }

  /** Agents whose clean step is under way. */
  get holding(): number {
    return this.#holding.size;
  }

  startAgents(from: number, to: number): void {
    this.#send({ order: "start", from, to });
  }

  release(): void {
    this.#send({ order: "release" });
  }

  /** Usage now, and the requests since the last time. */
  async measure(): Promise<Measured> {
    this.#send({ order: "measure" });
    const news = await this.#next((heard) => heard.news === "measured");
    if (news.news !== "measured") throw new Error(`unexpected: ${news.news}`);
    return news;
  }

  /** Returns the exit codes of all agents. */
  async stop(): Promise<readonly number[]> {
    this.#send({ order: "stop" });
    const news = await this.#next((heard) => heard.news === "stopped");
    if (news.news !== "stopped") throw new Error(`unexpected: ${news.news}`);
    return news.exitCodes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill();
    await this.#child.exited;
  }

  #send(order: Order): void {
    this.#child.send(order);
  }

  #hear(news: News): void {
    if (news.news === "holding") this.#holding.add(news.agent);
    for (const waiter of this.#waiting)
      if (waiter.wanted(news)) {
        this.#waiting.delete(waiter);
        waiter.done(news);
      }
  }

  /** The next news that is wanted; fails when the process ends before. */
  #next(wanted: (news: News) => boolean): Promise<News> {
    const { promise, resolve, reject } = Promise.withResolvers<News>();
    this.#waiting.add({ wanted, done: resolve });
    void this.#child.exited.then((code) => reject(new Error(`the process of the agents ended with ${code}`)));
    return promise;
  }
}
