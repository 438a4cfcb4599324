// The real ironic-inspector, which takes the inventory that agents send: in Ironic 21.4 inspection goes through it. One
// process beside Ironic; which machines may boot is Ironic's business, so its own PXE filter does nothing.

import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { JsonObject } from "../../src/json.ts";
import { API_PORT, type Configuration, INSPECTOR_PORT, merged } from "./configuration.ts";
import { emptyDatabase, PythonService } from "./python-service.ts";

const REQUEST_TIMEOUT_MS = 30_000;

export interface InspectorOptions {
  /** The address that Ironic listens on, too. */
  address: string;
  /** Configuration, database, logs and what agents sent are kept here. */
  directory: string;
  /** Options beside the rig's own. */
  changes?: Configuration;
  signal: AbortSignal;
}

export class Inspector implements AsyncDisposable {
  readonly url: string;
  /** Archives with the logs that agents sent along with their data. */
  readonly ramdiskLogs: string;
  readonly #service: PythonService;

  private constructor({ address, directory, signal }: InspectorOptions) {
    this.url = `http://${address}:${INSPECTOR_PORT}`;
    this.ramdiskLogs = join(directory, "ramdisk-logs");
    this.#service = new PythonService({
      program: "ironic-inspector",
      directory,
      ready: () => this.#answers(),
      signal,
    });
  }

  /** Starts it with an empty database; returns when it answers. */
  static async start(options: InspectorOptions): Promise<Inspector> {
    const inspector = new Inspector(options);
    await mkdir(inspector.ramdiskLogs, { recursive: true });
    const sync = ["ironic-inspector-dbsync", "upgrade"] as const;
    const empty = await emptyDatabase(
      { name: "inspector", package: "ironic-inspector", sync },
      options.signal,
    );
    const database = join(options.directory, "inspector.sqlite");
    await copyFile(empty, database);
    await inspector.#service.launch(
      merged(configuration(options.address, database, inspector.ramdiskLogs), options.changes ?? {}),
    );
    return inspector;
  }

  get logFile(): string {
    return this.#service.logFile;
  }

  /** The last lines of the log that are warnings or worse. */
  complaints(lines: number): string {
    return this.#service.complaints(lines);
  }

  /** Everything that the agent of a node sent, as inspector has stored it after its own processing. */
  async data(nodeUuid: string): Promise<JsonObject> {
    const response = await this.#get(`/v1/introspection/${nodeUuid}/data`);
    if (!response.ok)
      throw new Error(`no data of node ${nodeUuid}: ${response.status} ${await response.text()}`);
    return (await response.json()) as JsonObject;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#service[Symbol.asyncDispose]();
  }

  async #answers(): Promise<boolean> {
    try {
      return (await this.#get("/v1/introspection")).ok;
    } catch {
      // It does not listen yet.
      return false;
    }
  }

  #get(path: string): Promise<Response> {
    return fetch(this.url + path, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
  }
}

function configuration(address: string, database: string, ramdiskLogs: string): Configuration {
  return {
    DEFAULT: {
      auth_strategy: "noauth",
      host: "rig",
      listen_address: address,
      listen_port: INSPECTOR_PORT,
      standalone: true,
      // Its API and its worker are one process, which passes messages in memory.
      transport_url: "fake://",
      debug: true,
      use_stderr: true,
    },
    database: { connection: `sqlite:///${database}` },
    ironic: { auth_type: "none", endpoint_override: `http://${address}:${API_PORT}` },
    pxe_filter: { driver: "noop" },
    processing: {
      store_data: "database",
      ramdisk_logs_dir: ramdiskLogs,
      always_store_ramdisk_logs: true,
    },
  };
}
