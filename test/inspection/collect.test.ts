import { describe, expect, test } from "bun:test";
import { collectData } from "../../src/inspection/collect.ts";
import type { Collector } from "../../src/inspection/collector.ts";
import { COLLECTORS, DEFAULT_COLLECTORS } from "../../src/inspection/collectors.ts";
import { Failures } from "../../src/inspection/failures.ts";
import { loadMachine } from "../hardware/recording/recording.ts";
import { rejection } from "../support/rejection.ts";
import { inspectedMachine } from "./support.ts";

async function collected(collectors: Readonly<Record<string, Collector>>) {
  const failures = new Failures();
  const machine = await inspectedMachine({});
  const named = Object.entries(collectors).map(([name, collect]) => ({ name, collect }));
  const data = await collectData(named, machine, failures);
  return { data, error: failures.text() };
}

describe("collectors", () => {
  test("have the reference's names, and ours", () => {
    expect(Object.keys(COLLECTORS)).toEqual([
      "default",
      "logs",
      "pci-devices",
      "usb-devices",
      "dmi-decode",
      "numa-topology",
      "extra-hardware",
      "lldp",
      "parsed-lldp",
    ]);
    expect(DEFAULT_COLLECTORS).toEqual(["default", "logs"]);
  });

  test("run beside each other, and their keys come in the configured order", async () => {
    const second = Promise.withResolvers<void>();
    const { data, error } = await collected({
      // Ends only when the one after it has begun.
      one: async () => {
        await second.promise;
        return { b: 1, a: 2 };
      },
      two: async () => {
        second.resolve();
        return { c: 3 };
      },
    });
    expect(Object.keys(data)).toEqual(["b", "a", "c"]);
    expect(error).toBeNull();
  });

  // control-plane 11.80
  test("share one run of lshw", async () => {
    const machine = await inspectedMachine(await loadMachine("qemu-numa"));
    const { "usb-devices": usb, "extra-hardware": extra } = COLLECTORS;
    await Promise.all([usb?.(machine), extra?.(machine)]);
    expect(machine.system.calls.filter(([program]) => program === "lshw")).toHaveLength(1);
  });

  test("one that fails is named, and the others' data are all there", async () => {
    const { data, error } = await collected({
      one: async () => ({ a: 1 }),
      two: async () => {
        throw new Error("no such file");
      },
      three: async () => ({ c: 3 }),
      four: async () => {
        throw new Error("no answer");
      },
    });
    expect(data).toEqual({ a: 1, c: 3 });
    expect(error).toBe(
      "The following errors were encountered:\n* collector two failed: no such file\n* collector four failed: no answer",
    );
  });

  test("one that waits for those before it sees them ended, failed ones too", async () => {
    const ended: string[] = [];
    const slow = (name: string, fail: boolean): Collector => {
      return async ({ system }) => {
        await new Promise((resolve) => setImmediate(resolve));
        ended.push(name);
        if (fail) throw new Error(system.hostname);
        return {};
      };
    };
    await collected({
      one: slow("one", false),
      two: slow("two", true),
      three: async ({ earlier, collectors }) => {
        expect(collectors).toEqual(["one", "two", "three"]);
        await earlier;
        ended.push("three");
        return {};
      },
    });
    expect(ended).toEqual(["one", "two", "three"]);
  });

  test("end with the signal's reason", async () => {
    const machine = await inspectedMachine({});
    const abort = new AbortController();
    const one: Collector = async ({ signal }) => {
      abort.abort(new Error("told to stop"));
      signal.throwIfAborted();
      return {};
    };
    const work = collectData(
      [{ name: "one", collect: one }],
      { ...machine, signal: abort.signal },
      new Failures(),
    );
    expect(await rejection(work)).toEqual(new Error("told to stop"));
  });
});
