import { describe, expect, test } from "bun:test";
import { Config } from "../../src/config/config.ts";
import { ConfigurationError } from "../../src/config/configuration-error.ts";
import { logPath, logSettings } from "../../src/config/log-settings.ts";

const PROGRAM = "ironic-python-agent";

describe("the log's options", () => {
  test("log_dir alone names the file after the program; a relative log_file is in it, an absolute one is not", () => {
    expect(logPath(Config.of({}), PROGRAM)).toBeNull();
    expect(logPath(Config.of({ log_dir: "/d" }), "ironic-collect-introspection-data")).toBe(
      "/d/ironic-collect-introspection-data.log",
    );
    expect(logPath(Config.of({ log_dir: "/d", log_file: "a.log" }), PROGRAM)).toBe("/d/a.log");
    expect(logPath(Config.of({ log_dir: "/d", log_file: "/e/a.log" }), PROGRAM)).toBe("/e/a.log");
  });

  test("levels of single loggers, in the words of Python too", () => {
    const config = Config.of({ default_log_levels: ["ironic_agent.http = warn", "a=CRITICAL", "b=debug"] });
    expect([...(logSettings(config, PROGRAM, "stdout").levels ?? [])]).toEqual([
      ["ironic_agent.http", "WARNING"],
      ["a", "ERROR"],
      ["b", "DEBUG"],
    ]);
  });

  test("a level or a facility that does not exist ends the program and names the option", () => {
    for (const values of [
      { default_log_levels: ["a=LOUD"] },
      { default_log_levels: ["DEBUG"] },
      { syslog_log_facility: "LOG_NONSENSE" },
    ]) {
      const read = () => logSettings(Config.of(values), PROGRAM, "stdout");
      expect(read).toThrow(ConfigurationError);
      expect(read).toThrow(Object.keys(values)[0]!);
    }
  });

  test("the file begins anew only by size, and only when something is kept", () => {
    const rotation = (values: Parameters<typeof Config.of>[0]) =>
      logSettings(Config.of(values), PROGRAM, "stdout").rotation;
    expect(rotation({})).toBeNull();
    expect(rotation({ log_rotation_type: "interval" })).toBeNull();
    expect(rotation({ log_rotation_type: "size", max_logfile_count: 0 })).toBeNull();
    expect(rotation({ log_rotation_type: "size", max_logfile_size_mb: 2, max_logfile_count: 5 })).toEqual({
      size: 2 * 1024 * 1024,
      keep: 5,
    });
  });
});
