import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { IncompatibleHardwareMethodError } from "../../../src/errors.ts";
import { Rpc, type Serve } from "../../../src/hardware/plugins/rpc.ts";
import type { Json } from "../../../src/json.ts";
import { rejection } from "../../support/rejection.ts";

/** Two ends; messages are copied on their way, as a process boundary does. */
function pair(left: Serve, right: Serve, onTold?: (name: string, params: Json) => void): [Rpc, Rpc] {
  const carry = (to: () => Rpc) => (message: Json) => {
    const copy = JSON.stringify(message);
    queueMicrotask(() => to().receive(JSON.parse(copy)));
  };
  const a: Rpc = new Rpc(
    carry(() => b),
    left,
    onTold,
  );
  const b: Rpc = new Rpc(
    carry(() => a),
    right,
  );
  return [a, b];
}

const nobody: Serve = async () => {
  throw new Error("nothing is asked of this end");
};

describe("a call", () => {
  test("gets the result; undefined is null; two at a time do not mix", async () => {
    const [a] = pair(nobody, async (method, params) => (method === "none" ? undefined : [method, params]));
    const answers = await Promise.all([a.call("one", 1), a.call("two", { x: [2] }), a.call("none", null)]);
    expect(answers).toEqual([["one", 1], ["two", { x: [2] }], null]);
  });

  test("gets the error, of its class", async () => {
    const [a] = pair(nobody, async () => {
      throw new IncompatibleHardwareMethodError("not mine");
    });
    const error = await rejection(a.call("x", null));
    expect(error).toBeInstanceOf(IncompatibleHardwareMethodError);
    expect(error).toMatchObject({ details: "not mine" });
  });

  test("may be asked back and told things, each to the call it belongs to", async () => {
    const [a] = pair(nobody, async (_, params, call) => {
      call.tell("progress", params);
      return ["asked back", await call.ask("more", params)];
    });
    const told: Json[] = [];
    const serve =
      (mine: string): Serve =>
      async (method, params) => [mine, method, params];
    const one = a.call("x", 1, { serve: serve("one"), onTold: (_, params) => told.push(params) });
    const two = a.call("x", 2, { serve: serve("two"), onTold: (_, params) => told.push(params) });
    expect(await one).toEqual(["asked back", ["one", "more", 1]]);
    expect(await two).toEqual(["asked back", ["two", "more", 2]]);
    expect(told.sort()).toEqual([1, 2]);
  });

  test("that is aborted tells the other end, and waits for what it says", async () => {
    const [a] = pair(nobody, (_, __, { signal }) => {
      return new Promise((resolve) => signal.addEventListener("abort", () => resolve("cleaned up")));
    });
    const stop = new AbortController();
    const answer = a.call("x", null, { signal: stop.signal });
    stop.abort();
    expect(await answer).toBe("cleaned up");
  });

  test("fails with the reason when the channel is closed, as do later ones", async () => {
    const [a] = pair(nobody, () => new Promise(() => {}));
    const answer = rejection(a.call("x", null));
    a.close(new Error("the other end is gone"));
    expect(String(await answer)).toContain("the other end is gone");
    expect(String(await rejection(a.call("y", null)))).toContain("the other end is gone");
  });
});

test("what is told outside of a call has its own listener", async () => {
  const told = Promise.withResolvers<[string, Json]>();
  const [, b] = pair(nobody, nobody, (name, params) => told.resolve([name, params]));
  b.tell("log", { message: "hello" });
  expect(await told.promise).toEqual(["log", { message: "hello" }]);
});

test("no message of the other end can make this one fail", async () => {
  const keys = ["call", "done", "cancel", "tell", "within", "method", "params", "error", "result"];
  const message = fc.oneof(
    fc.anything(),
    fc.dictionary(
      fc.constantFrom(...keys),
      fc.oneof(fc.jsonValue(), fc.constantFrom(1, "x", { api: true, type: 5 })),
    ),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(message, { maxLength: 20 }), async (messages) => {
      const rpc = new Rpc(
        () => {},
        async () => "answered",
      );
      const call = rpc.call("x", null).catch((error: unknown) => error);
      for (const one of messages) rpc.receive(one);
      rpc.close(new Error("done"));
      const ended = await call;
      expect(ended === undefined).toBe(false);
    }),
  );
});
