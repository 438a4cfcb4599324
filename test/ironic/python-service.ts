// A Python service of OpenStack's as the rig runs it: Debian's package, unmodified, as a process beside us with a
// configuration file and a SQLite database of its own. What Ironic and ironic-inspector have in common.

import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cached, cacheKey } from "../rig/cache.ts";
import { lastLines, type RunningProgram, run, start } from "../rig/programs.ts";
import { type Configuration, configurationText } from "./configuration.ts";

const START_TIMEOUT_MS = 120_000;
const STOP_GRACE_MS = 20_000;
const POLL_MS = 250;
/** Debian's Python and its modules, whatever else this machine has. */
export const PATH = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin";

export interface ServiceOptions {
  /** The executable; configuration and log are named after it. */
  program: string;
  directory: string;
  /** Whether it answers by now. */
  ready(): Promise<boolean>;
  signal: AbortSignal;
}

/** The service did not come up; the message quotes the end of its log. */
export class ServiceError extends Error {
  override readonly name = "ServiceError";
}

export class PythonService implements AsyncDisposable {
  readonly logFile: string;
  readonly #options: ServiceOptions;
  #process: RunningProgram | undefined;

  constructor(options: ServiceOptions) {
    this.#options = options;
    this.logFile = join(options.directory, `${options.program}.log`);
  }

  /** Writes the configuration, starts the process and returns when it answers. */
  async launch(configuration: Configuration): Promise<void> {
    const { program, directory, ready, signal } = this.#options;
    const file = join(directory, `${program}.conf`);
    await writeFile(file, configurationText(configuration));
    this.#process = start([program, "--config-file", file], { logFile: this.logFile, env: { PATH } });
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!(await ready())) {
      signal.throwIfAborted();
      if (!this.#process.running || Date.now() > deadline) {
        const said = lastLines(readFileSync(this.logFile, "utf8"), 15);
        await this.stop();
        throw new ServiceError(`${program} did not come up:\n${said}\n  full log: ${this.logFile}`);
      }
      await Bun.sleep(POLL_MS);
    }
  }

  /** Stops the process as a service manager does; nothing when it does not run. */
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
}

/**
 * A database with a service's tables and nothing in them, made by its `sync` command. Once per version of the Debian
 * package, because that takes longer than to boot the service.
 */
export async function emptyDatabase(
  service: { name: string; package: string; sync: readonly [program: string, command: string] },
  signal: AbortSignal,
): Promise<string> {
  const [program, command] = service.sync;
  const key = await cacheKey([await packageVersion(service.package)], [import.meta.path]);
  const directory = await cached(`${service.name}-database`, key, {}, async (work, logFile) => {
    const file = join(work, "service.conf");
    await writeFile(file, configurationText({ database: { connection: `sqlite:///${work}/database` } }));
    await run([program, "--config-file", file, command], { logFile, env: { PATH }, signal });
  });
  return join(directory, "database");
}

/** Of an installed Debian package. */
export async function packageVersion(name: string): Promise<string> {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: this is dpkg's own template
  return (await run(["dpkg-query", "-W", "-f", "${Version}", name])).stdout;
}
