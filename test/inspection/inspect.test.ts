import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Config } from "../../src/config/config.ts";
import type { OptionValues } from "../../src/config/options.ts";
import { ServiceLookupFailure } from "../../src/errors.ts";
import { configuredInspector, inspectAtStartUp } from "../../src/inspection/at-start-up.ts";
import {
  describeInspectorFailure,
  InspectorUnavailableError,
  parseNodeUuid,
} from "../../src/ironic/inspector.ts";
import { HttpError } from "../../src/system/http-client.ts";
import { loadMachine } from "../hardware/recording/recording.ts";
import { recordedSystem } from "../support/recorded-system.ts";
import { rejection } from "../support/rejection.ts";
import { type Answer, FakeInspector, inspectedMachine } from "./support.ts";

const URL = "http://192.0.2.1:5050/v1/continue";

/** On a machine without the program `missing`. */
async function inspected(
  answers: readonly Answer[],
  values: Partial<OptionValues> = {},
  { missing }: { missing?: string } = {},
) {
  const inspector = new FakeInspector(...answers);
  const recording = await loadMachine("qemu-bios");
  const programs = Object.fromEntries(
    Object.entries(recording.programs ?? {}).filter(([line]) => line.split(" ")[0] !== missing),
  );
  const machine = await inspectedMachine(
    { ...recording, programs, http: inspector.http },
    {
      inspection_callback_url: URL,
      inspection_collectors: ["default"],
      inspection_dhcp_wait_timeout: 0,
      ...values,
    },
  );
  const outcome = await inspectAtStartUp(machine, machine.signal).catch((error: unknown) => error);
  return { outcome, inspector, ...machine };
}

describe("an inspection", () => {
  test("that is sent elsewhere says which option to correct, wherever the URL is from", async () => {
    const moved = { status: 301, location: "http://192.0.2.9/" };
    for (const values of [
      { inspection_callback_url: URL },
      { inspection_callback_url: null, api_url: "http://192.0.2.1:6385" },
    ]) {
      const { outcome, system } = await inspected([moved], values);
      expect(outcome).toBeNull();
      const told = system.records.filter(({ level }) => level === "ERROR").map(({ message }) => message);
      const option = values.inspection_callback_url === null ? "api_url" : "inspection_callback_url";
      expect(told.join()).toContain(`where the agent does not follow: correct ${option}`);
    }
  });

  test("of which no URL answers names the service and the option", async () => {
    const { outcome, system } = await inspected(["refused"], {
      inspection_callback_url: `${URL},http://192.0.2.2:5050`,
    });
    expect(String(outcome)).toContain(
      "The inspection service cannot be reached at any URL of inspection_callback_url: ",
    );
    expect(system.records.map(({ message }) => message)).toContainEqual(
      expect.stringMatching(/^The inspection service cannot be reached at http:\/\/192\.0\.2\.2:5050: /),
    );
  });

  test("posts the data as JSON, without a version, and learns the node's UUID", async () => {
    const { outcome, inspector } = await inspected([{ status: 200 }], { global_request_id: "req-1" });
    expect(outcome).toBe("node-1");
    expect(inspector.requests).toHaveLength(1);
    expect(inspector.requests[0]).toMatchObject({
      method: "POST",
      url: URL,
      headers: {
        Accept: "application/json",
        "Content-Type": "application/json",
        "X-OpenStack-Request-ID": "req-1",
      },
    });
    expect(Object.keys(inspector.requests[0]!.headers ?? {}).join()).not.toContain("Version");
  });

  // control-plane 11.78
  test("sends the keys of the default collector, the error last and null", async () => {
    const { inspector } = await inspected([{ status: 202, body: "" }]);
    const [data] = inspector.bodies;
    expect(Object.keys(data!)).toEqual([
      "inventory",
      "root_disk",
      "boot_interface",
      "configuration",
      "error",
    ]);
    expect(data!.error).toBeNull();
    // The smallest disk of at least 4 GiB of those in recording/machines.ts.
    expect(data!.root_disk).toMatchObject({ serial: "SCSI77", size: 7 * 2 ** 30 });
    expect(data!.boot_interface).toBe("01-52-54-00-12-34-56");
    expect(data!.configuration).toEqual({
      collectors: ["default"],
      managers: [{ name: "generic_hardware_manager", version: "1.2" }],
    });
  });

  test("knows no node where the answer names none", async () => {
    for (const body of ["", "null", "{}", '{"uuid": 5}', "<html>"])
      expect((await inspected([{ status: 202, body }])).outcome).toBeNull();
  });

  // control-plane 11.79
  test("with an unknown collector posts exactly that, and fails", async () => {
    const { outcome, inspector, system } = await inspected([{ status: 200 }], {
      inspection_collectors: ["default", "nosuch"],
    });
    expect(inspector.bodies).toEqual([
      { error: "The following errors were encountered:\n* Failed to load collector {'nosuch'}" },
    ]);
    expect(outcome).toBeNull();
    expect(system.records.some(({ message }) => message.startsWith("The inspection failed"))).toBe(true);
  });

  test("with no collectors at all posts the error alone", async () => {
    const { inspector } = await inspected([{ status: 200 }], { inspection_collectors: [] });
    expect(inspector.bodies).toEqual([{ error: null }]);
  });

  // control-plane 11.80, contract 10.65
  test("with a failing collector posts the rest with the error, and knows no node", async () => {
    const { outcome, inspector } = await inspected(
      [{ status: 200 }],
      { inspection_collectors: ["default", "dmi-decode"] },
      { missing: "dmidecode" },
    );
    expect(outcome).toBeNull();
    expect(Object.keys(inspector.bodies[0]!)).toEqual([
      "inventory",
      "root_disk",
      "boot_interface",
      "configuration",
      "error",
    ]);
    expect(inspector.bodies[0]!.error).toMatch(
      /^The following errors were encountered:\n\* collector dmi-decode failed: /,
    );
  });

  // contract 10.65: the schema of Ironic's own inspection
  test("sends only interfaces with a MAC address", async () => {
    const { inspector } = await inspected([{ status: 202 }]);
    const inventory = inspector.bodies[0]!.inventory as { interfaces: { mac_address: unknown }[] };
    expect(inventory.interfaces.length).toBeGreaterThan(0);
    for (const { mac_address } of inventory.interfaces) expect(mac_address).toMatch(/^([0-9a-f]{2}:){5}/);
  });
});

// control-plane 11.81
describe("a service that does not take the data", () => {
  test("refuses them once: no retry, and the lookup goes on without a node", async () => {
    const { outcome, inspector, system } = await inspected([
      { status: 400, body: '{"error": {"message": "Lookup failed"}}' },
    ]);
    expect(outcome).toBeNull();
    expect(inspector.requests).toHaveLength(1);
    const texts = system.records.map(({ message }) => message).join("\n");
    expect(texts).toContain("stopping inspection, as inspector returned an error: Error 400: Lookup failed");
  });

  test("sends the data elsewhere in a way that a POST does not follow: a refusal", async () => {
    const { outcome, inspector, system } = await inspected([{ status: 302, body: "" }]);
    expect(outcome).toBeNull();
    expect(inspector.requests).toHaveLength(1);
    expect(system.records.some(({ message }) => message.startsWith("The inspection failed"))).toBe(true);
  });

  test("that is in trouble, or has the node locked, is asked again", async () => {
    const { outcome, inspector, system } = await inspected([
      { status: 503 },
      { status: 409 },
      "refused",
      { status: 500 },
      { status: 200 },
    ]);
    expect(outcome).toBe("node-1");
    expect(new Set(inspector.requests.map(({ body }) => body)).size).toBe(1);
    expect(system.sleeps).toEqual([5, 5, 6, 12]);
  });

  test("five times at most", async () => {
    for (const status of [503, 409]) {
      const { outcome, inspector } = await inspected([{ status }]);
      expect(outcome).toBeInstanceOf(InspectorUnavailableError);
      expect(inspector.requests).toHaveLength(5);
    }
    const { outcome, inspector } = await inspected(["refused"]);
    expect(outcome).toBeInstanceOf(HttpError);
    expect(inspector.requests).toHaveLength(5);
  });

  test("is passed over when there are others: one attempt tries all", async () => {
    const { outcome, inspector, system } = await inspected(["refused", { status: 200 }], {
      inspection_callback_url: `http://192.0.2.9/v1/continue, ${URL}`,
    });
    expect(outcome).toBe("node-1");
    expect(inspector.requests.map(({ url }) => url)).toEqual(["http://192.0.2.9/v1/continue", URL]);
    expect(system.sleeps).toEqual([]);
  });
});

describe("where the data go", () => {
  const urls = async (values: Partial<OptionValues>) =>
    (await configuredInspector(recordedSystem(), Config.of(values), new AbortController().signal))?.urls ??
    null;

  test("nowhere without a URL or collectors", async () => {
    expect(await urls({})).toBeNull();
    expect(await urls({ api_url: "http://ironic" })).toBeNull();
    expect(await urls({ inspection_collectors: ["default"] })).toBeNull();
  });

  test("to the configured URLs, which beat the API's", async () => {
    const values = { api_url: "http://ironic", inspection_collectors: ["default"] };
    expect(
      await urls({ ...values, inspection_callback_url: "http://a/v1/continue,https://b/v1/continue" }),
    ).toEqual(["http://a/v1/continue", "https://b/v1/continue"]);
  });

  test("is an error when the service is looked for and not found", async () => {
    expect(
      await rejection(urls({ inspection_callback_url: "mdns", "mdns.lookup_attempts": 1 })),
    ).toBeInstanceOf(ServiceLookupFailure);
  });

  // contract 8: the newest agents without a callback URL
  test("to every URL of Ironic's API when only collectors are configured", async () => {
    expect(await urls({ api_url: "http://a/,http://b:6385", inspection_collectors: ["default"] })).toEqual([
      "http://a/v1/continue_inspection",
      "http://b:6385/v1/continue_inspection",
    ]);
  });
});

test("whatever a service answers, the node's UUID is text or unknown, and its failure is told", () => {
  const body = fc.oneof(
    fc.json(),
    fc.string(),
    fc.jsonValue().map((error) => JSON.stringify({ error, uuid: error })),
  );
  fc.assert(
    fc.property(fc.integer({ min: 100, max: 599 }), body, (status, text) => {
      const uuid = parseNodeUuid({ status, body: text });
      expect(uuid === null || uuid.length > 0).toBe(true);
      expect(describeInspectorFailure({ status, body: text })).toStartWith(`Error ${status}: `);
    }),
  );
});

test("an inspection can be stopped while it waits for the next attempt", async () => {
  const abort = new AbortController();
  const inspector = new FakeInspector("refused");
  const machine = await inspectedMachine(
    { http: inspector.http },
    { inspection_callback_url: URL, inspection_collectors: [] },
  );
  machine.system.clock.sleep = async () => {
    abort.abort(new Error("told to stop"));
    throw abort.signal.reason;
  };
  expect(await rejection(inspectAtStartUp(machine, abort.signal))).toEqual(new Error("told to stop"));
});
