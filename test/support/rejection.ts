// What a promise was rejected with, for tests. Bun's own matcher `rejects` waits for it inside the event loop, and while it does, events
// of other work under way (a child's output, a socket) can be lost for good: tests then hang now and then. See Bun's
// pull request 32233.

/** The error that `work` is rejected with. @throws when it is not rejected */
export async function rejection(work: Promise<unknown>): Promise<unknown> {
  let value: unknown;
  try {
    value = await work;
  } catch (error) {
    return error;
  }
  throw new Error(`expected a rejection, got ${Bun.inspect(value)}`);
}

/** The same as a function that throws it, for `toThrow`. */
export async function thrower(work: Promise<unknown>): Promise<() => never> {
  const error = await rejection(work);
  return () => {
    throw error;
  };
}
