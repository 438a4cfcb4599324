// Puts the real machine together: the System that main.ts hands to the agent.

import { appendFileSync } from "node:fs";
import { hostname } from "node:os";
import { realBlockDevices } from "./block-device.ts";
import { realClock } from "./clock.ts";
import { realFiles } from "./files.ts";
import { realHttpClient } from "./http-client.ts";
import { realHttpListener } from "./http-server.ts";
import { createLogger, humanLine, jsonLine, type LogRecord } from "./log.ts";
import { createRun } from "./programs.ts";
import { realResolveHost } from "./resolver.ts";
import type { System } from "./system.ts";

export type LogSettings = {
  /** Name of the root logger. */
  readonly name: string;
  readonly debug: boolean;
  readonly json: boolean;
  /** Appended to, and the only sink then; null = `stream`. Opened per record, so it may be moved away at any time. */
  readonly file: string | null;
  /** Standard output for the agent; standard error for commands whose output is data. */
  readonly stream: "stdout" | "stderr";
};

/** @throws Error naming the log file when it cannot be written. */
export function createSystem(settings: LogSettings): System {
  const host = hostname();
  const format = (record: LogRecord) =>
    `${settings.json ? jsonLine(record, process.pid, host) : humanLine(record, process.pid)}\n`;
  const log = createLogger(settings.name, settings.debug ? "DEBUG" : "INFO", openSink(settings, format));
  return {
    run: createRun(realClock, log.named(`${settings.name}.programs`)),
    files: realFiles,
    blockDevices: realBlockDevices,
    http: realHttpClient,
    listen: realHttpListener,
    resolveHost: realResolveHost,
    clock: realClock,
    log,
    hostname: host,
    architecture: process.arch,
    environment: process.env,
  };
}

function openSink(settings: LogSettings, format: (record: LogRecord) => string): (record: LogRecord) => void {
  const { file } = settings;
  if (file === null) {
    const stream = settings.stream === "stdout" ? process.stdout : process.stderr;
    return (record) => {
      stream.write(format(record));
    };
  }
  try {
    appendFileSync(file, "");
  } catch (error) {
    throw new Error(`cannot write the log file ${file}: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
  return (record) => {
    try {
      appendFileSync(file, format(record));
    } catch {
      // A full disk must not turn a working command into a failed one; the console is the only place left to say it.
      process.stderr.write(format(record));
    }
  };
}
