// What the options of the log mean together. Rules: control-plane specification 2.7.

import type { LogLevel } from "../system/log.ts";
import type { LogRotation } from "../system/log-file.ts";
import type { LogSettings } from "../system/log-output.ts";
import { facilityNumber } from "../system/syslog.ts";
import type { Config } from "./config.ts";
import { ConfigurationError } from "./configuration-error.ts";
import type { OptionName } from "./options.ts";

const MEBIBYTE = 1024 * 1024;

/** What people write, by what the agent has: it never logs anything worse than an error. */
const LEVELS: ReadonlyMap<string, LogLevel> = new Map([
  ["DEBUG", "DEBUG"],
  ["INFO", "INFO"],
  ["WARN", "WARNING"],
  ["WARNING", "WARNING"],
  ["ERROR", "ERROR"],
  ["CRITICAL", "ERROR"],
]);

/**
 * The log of `program`. Helpers, whose output is data, log to standard error.
 * @throws ConfigurationError naming an option of the log that does not fit.
 */
export function logSettings(config: Config, program: string, stream: LogSettings["stream"]): LogSettings {
  return {
    name: "ironic_agent",
    program,
    debug: config.get("debug"),
    json: config.get("use_json"),
    file: logPath(config, program),
    stream,
    dateFormat: config.get("log_date_format"),
    levels: loggerLevels(config),
    rotation: rotation(config),
    journal: config.get("use_journal"),
    syslog: config.get("use_syslog"),
    facility: facility(config),
    useStderr: config.get("use_stderr"),
  };
}

/** The log file, or null when there is none: log_file in log_dir, or the program's own name in it. */
export function logPath(config: Config, program: string): string | null {
  const [file, directory] = [config.get("log_file"), config.get("log_dir")];
  const name = file ?? (directory === null ? null : `${program}.log`);
  return name === null || directory === null || name.startsWith("/") ? name : `${directory}/${name}`;
}

function loggerLevels(config: Config): ReadonlyMap<string, LogLevel> {
  return new Map(
    config.get("default_log_levels").map((entry) => {
      const equals = entry.indexOf("=");
      const level = LEVELS.get(
        entry
          .slice(equals + 1)
          .trim()
          .toUpperCase(),
      );
      if (equals < 1 || level === undefined)
        throw wrong(
          config,
          "default_log_levels",
          entry,
          `expected logger=LEVEL, LEVEL being one of ${[...LEVELS.keys()].join(", ")}`,
        );
      return [entry.slice(0, equals).trim(), level] as const;
    }),
  );
}

/** Nothing to keep means that the file cannot begin anew; the reference then lets it grow, and so do we. */
function rotation(config: Config): LogRotation | null {
  const keep = config.get("max_logfile_count");
  if (config.get("log_rotation_type") !== "size" || keep === 0) return null;
  return { size: config.get("max_logfile_size_mb") * MEBIBYTE, keep };
}

function facility(config: Config): string {
  const name = config.get("syslog_log_facility");
  if (facilityNumber(name) < 0)
    throw wrong(
      config,
      "syslog_log_facility",
      name,
      "expected a facility such as LOG_USER, LOG_DAEMON or LOG_LOCAL0",
    );
  return name;
}

function wrong(config: Config, name: OptionName, value: string, reason: string): ConfigurationError {
  return new ConfigurationError(
    `${config.origin(name)}: bad value ${JSON.stringify(value)} for ${name}: ${reason}`,
    2,
  );
}
