// The real Ironic: one process with API and conductor and a SQLite database, in the run's network namespace.

import { copyFile, mkdir } from "node:fs/promises";
import { IronicClient } from "./client.ts";
import {
  API_PORT,
  baseConfiguration,
  type Configuration,
  merged,
  type Paths,
  pathsIn,
} from "./configuration.ts";
import { emptyDatabase, PythonService } from "./python-service.ts";

export interface IronicOptions {
  /** The address to listen on. */
  address: string;
  /** Configuration, database, logs and boot files are kept here. */
  directory: string;
  /** Directories of the kernels and ramdisks that nodes will name. */
  bootFiles: readonly string[];
  signal: AbortSignal;
}

export class Ironic implements AsyncDisposable {
  readonly client: IronicClient;
  readonly paths: Paths;
  readonly #options: IronicOptions;
  readonly #service: PythonService;
  #changes: Configuration = {};

  private constructor(options: IronicOptions) {
    const { address, directory, bootFiles, signal } = options;
    this.#options = options;
    this.paths = pathsIn(directory, bootFiles);
    this.client = new IronicClient(`http://${address}:${API_PORT}`, signal);
    this.#service = new PythonService({
      program: "ironic",
      directory,
      ready: () => this.client.ready(),
      signal,
    });
  }

  /** Starts it with an empty database; returns when the API answers and the conductor has come up. */
  static async start(options: IronicOptions): Promise<Ironic> {
    const ironic = new Ironic(options);
    const { httpRoot, tftpRoot, images, ramdiskLogs, certificates, state, database } = ironic.paths;
    for (const directory of [httpRoot, tftpRoot, images, ramdiskLogs, certificates, state]) {
      await mkdir(directory, { recursive: true });
    }
    const sync = ["ironic-dbsync", "create_schema"] as const;
    await copyFile(
      await emptyDatabase({ name: "ironic", package: "ironic-common", sync }, options.signal),
      database,
    );
    await ironic.launch();
    return ironic;
  }

  get logFile(): string {
    return this.#service.logFile;
  }

  /** Stops the process as a service manager does, and starts it again. Options differ from the rig's by `changes`. */
  async restart(changes: Configuration = {}): Promise<void> {
    await this.stop();
    this.#changes = changes;
    await this.launch();
  }

  async stop(): Promise<void> {
    await this.#service.stop();
  }

  /** Starts it again after stop(), as it was. */
  async launch(): Promise<void> {
    const base = baseConfiguration(this.#options.address, this.paths);
    await this.#service.launch(merged(base, this.#changes));
  }

  /** The last lines of the log that are warnings or worse. */
  complaints(lines: number): string {
    return this.#service.complaints(lines);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
