// The real Ironic, unmodified, from Debian's packages: one process with API and conductor and a SQLite database, in the
// run's network namespace. Its database is made once per version of the package, because that takes longer than to boot it.

import { readFileSync } from "node:fs";
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cached, cacheKey } from "../rig/cache.ts";
import { lastLines, type RunningProgram, run, start } from "../rig/programs.ts";
import { IronicClient } from "./client.ts";
import {
  API_PORT,
  baseConfiguration,
  type Configuration,
  configurationText,
  merged,
  type Paths,
  pathsIn,
} from "./configuration.ts";

const START_TIMEOUT_MS = 120_000;
const STOP_GRACE_MS = 20_000;
const POLL_MS = 250;
/** Debian's Python and its modules, whatever else this machine has. */
const PATH = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin";

export interface IronicOptions {
  /** The address to listen on. */
  address: string;
  /** Configuration, database, logs and boot files are kept here. */
  directory: string;
  /** Directories of the kernels and ramdisks that nodes will name. */
  bootFiles: readonly string[];
  signal: AbortSignal;
}

export class IronicError extends Error {
  override readonly name = "IronicError";
}

export class Ironic implements AsyncDisposable {
  readonly client: IronicClient;
  readonly paths: Paths;
  readonly logFile: string;
  readonly #options: IronicOptions;
  #changes: Configuration = {};
  #process: RunningProgram | undefined;

  private constructor(options: IronicOptions) {
    this.#options = options;
    this.paths = pathsIn(options.directory, options.bootFiles);
    this.logFile = join(options.directory, "ironic.log");
    this.client = new IronicClient(`http://${options.address}:${API_PORT}`, options.signal);
  }

  /** Starts it with an empty database; returns when the API answers and the conductor has come up. */
  static async start(options: IronicOptions): Promise<Ironic> {
    const ironic = new Ironic(options);
    const { httpRoot, tftpRoot, images, ramdiskLogs, certificates, state, database } = ironic.paths;
    for (const directory of [httpRoot, tftpRoot, images, ramdiskLogs, certificates, state]) {
      await mkdir(directory, { recursive: true });
    }
    await copyFile(await emptyDatabase(options.signal), database);
    await ironic.#launch();
    return ironic;
  }

  /** Stops the process as a service manager does, and starts it again. Options differ from the rig's by `changes`. */
  async restart(changes: Configuration = {}): Promise<void> {
    await this.stop();
    this.#changes = changes;
    await this.#launch();
  }

  async stop(): Promise<void> {
    await this.#process?.stop(STOP_GRACE_MS);
    this.#process = undefined;
  }

  /** The last lines of the log that are warnings or worse. */
  complaints(lines: number): string {
    const log = readFileSync(this.logFile, "utf8").split("\n");
    const bad = /^\S+ \S+ \d+ (WARNING|ERROR|CRITICAL) /;
    return lastLines(log.filter((line) => bad.test(line)).join("\n"), lines);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #launch(): Promise<void> {
    const { address, directory, signal } = this.#options;
    const file = join(directory, "ironic.conf");
    const configuration = merged(baseConfiguration(address, this.paths), this.#changes);
    await writeFile(file, configurationText(configuration));
    this.#process = start(["ironic", "--config-file", file], { logFile: this.logFile, env: { PATH } });
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!(await this.client.ready())) {
      signal.throwIfAborted();
      if (!this.#process.running || Date.now() > deadline) {
        const said = lastLines(readFileSync(this.logFile, "utf8"), 15);
        await this.stop();
        throw new IronicError(`Ironic did not come up:\n${said}\n  full log: ${this.logFile}`);
      }
      await Bun.sleep(POLL_MS);
    }
  }
}

/** A database with Ironic's tables and nothing in them. */
async function emptyDatabase(signal: AbortSignal): Promise<string> {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: this is dpkg's own template
  const { stdout: version } = await run(["dpkg-query", "-W", "-f", "${Version}", "ironic-common"]);
  const directory = await cached("ironic-database", await cacheKey([version]), {}, async (work, logFile) => {
    const file = join(work, "ironic.conf");
    await writeFile(file, configurationText({ database: { connection: `sqlite:///${work}/ironic.sqlite` } }));
    await run(["ironic-dbsync", "--config-file", file, "create_schema"], { logFile, env: { PATH }, signal });
  });
  return join(directory, "ironic.sqlite");
}
