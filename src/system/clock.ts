// Time: reading it and waiting for it. Injected, so that back-off and jitter can be tested without waiting.

export interface Clock {
  /** Wall clock, seconds since 1970 with fraction. */
  now(): number;
  /** Seconds of a clock that never jumps; only differences mean something. */
  monotonic(): number;
  /** Resolves after `seconds`, or rejects with the signal's reason as soon as it is aborted. */
  sleep(seconds: number, signal?: AbortSignal): Promise<void>;
  /** Uniform random number in [low, high). */
  uniform(low: number, high: number): number;
}

export const realClock: Clock = {
  now: () => Date.now() / 1000,
  monotonic: () => performance.now() / 1000,
  uniform: (low, high) => low + Math.random() * (high - low),
  sleep(seconds, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      }, Math.max(0, seconds) * 1000);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  },
};
