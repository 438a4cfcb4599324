// What the tests of the inspection share: the managers of a recorded machine, and a service that takes inspection data.

import { Config } from "../../src/config/config.ts";
import type { OptionValues } from "../../src/config/options.ts";
import { GenericHardwareManager } from "../../src/hardware/generic-manager.ts";
import { HardwareManagers } from "../../src/hardware/managers.ts";
import type { CollectorContext } from "../../src/inspection/collector.ts";
import type { JsonObject } from "../../src/json.ts";
import { Deployment } from "../../src/steps/deployment.ts";
import type { HttpClient, HttpRequest } from "../../src/system/http-client.ts";
import { HttpError } from "../../src/system/http-client.ts";
import { RAMDISK_FILES } from "../hardware/support.ts";
import { type RecordedSystem, type Recording, recordedSystem } from "../support/recorded-system.ts";

export type InspectedMachine = CollectorContext & {
  readonly system: RecordedSystem;
  /** Warnings since the managers were loaded. */
  readonly warnings: () => string[];
};

/** A recorded machine with its managers loaded, as collectors get it. */
export async function inspectedMachine(
  recording: Recording,
  values: Partial<OptionValues> = {},
): Promise<InspectedMachine> {
  const system = recordedSystem({ ...recording, files: { ...RAMDISK_FILES, ...recording.files } });
  const config = Config.of({ disk_wait_attempts: 0, ...values });
  const managers = new HardwareManagers({
    system,
    config,
    deployment: new Deployment(),
    factories: [(context) => new GenericHardwareManager(context)],
  });
  await managers.load();
  const before = system.records.length;
  return {
    system,
    config,
    managers,
    collectors: [],
    earlier: Promise.resolve(),
    signal: new AbortController().signal,
    warnings: () =>
      system.records
        .slice(before)
        .filter(({ level }) => level === "WARNING")
        .map(({ message }) => message),
  };
}

export type Answer =
  | { readonly status: number; readonly body?: string; readonly location?: string }
  | "refused";

/** Answers in their order, the last one again and again, and remembers what it was sent. */
export class FakeInspector {
  readonly requests: HttpRequest[] = [];
  readonly #answers: readonly Answer[];

  constructor(...answers: readonly Answer[]) {
    this.#answers = answers;
  }

  get bodies(): JsonObject[] {
    return this.requests.map(({ body }) => JSON.parse(body ?? ""));
  }

  readonly http: HttpClient = async (request) => {
    this.requests.push(request);
    const answer = this.#answers[Math.min(this.requests.length, this.#answers.length) - 1] ?? "refused";
    if (answer === "refused") throw new HttpError(`POST ${request.url}: ECONNREFUSED`, "ECONNREFUSED");
    const { body, status, location } = { body: '{"uuid": "node-1"}', location: null, ...answer };
    return {
      status,
      headers: new Headers(location === null ? {} : { Location: location }),
      body: new Response(body).body ?? new ReadableStream(),
      text: async () => body,
    };
  };
}
