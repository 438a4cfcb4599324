import { describe, expect, test } from "bun:test";
import { DeviceNotFound } from "../../src/errors.ts";
import { createLogger, humanLine, jsonLine, type LogLevel, type LogRecord } from "../../src/system/log.ts";

function collect(threshold: LogLevel) {
  const records: LogRecord[] = [];
  return { log: createLogger("agent", threshold, (record) => records.push(record)), records };
}

describe("createLogger", () => {
  test("drops what is below the threshold", () => {
    const { log, records } = collect("INFO");
    log.debug("no");
    log.info("yes");
    expect(records.map((record) => record.message)).toEqual(["yes"]);
  });

  test("a threshold may depend on the logger, and may change", () => {
    const records: LogRecord[] = [];
    let threshold: LogLevel = "INFO";
    const log = createLogger(
      "agent",
      (name) => (name === "agent.loud" ? "ERROR" : threshold),
      (record) => records.push(record),
    );
    const both = () => [log, log.named("agent.loud")].map((logger) => logger.debug("seen"));
    both();
    threshold = "DEBUG";
    both();
    expect(records.map(({ logger }) => logger)).toEqual(["agent"]);
  });

  test("nothing reaches a sink that a console would obey", () => {
    const { log, records } = collect("INFO");
    log.info("a tool said", "\x1b]0;owned\x07");
    expect(records[0]?.message).toBe("a tool said: \\x1b]0;owned\\x07");
  });

  test("a named logger writes to the same place under its own name", () => {
    const { log, records } = collect("INFO");
    log.named("agent.heartbeat").warning("late");
    expect(records[0]).toMatchObject({ logger: "agent.heartbeat", level: "WARNING" });
  });

  test("an error as context shows its text; its stack only when debugging", () => {
    const quiet = collect("INFO");
    quiet.log.error("no disk", new DeviceNotFound("nothing is 4 GiB"));
    expect(quiet.records.map((record) => record.message)).toEqual([
      "no disk: Error finding the disk or partition device to deploy the image onto: nothing is 4 GiB",
    ]);
    const verbose = collect("DEBUG");
    verbose.log.error("no disk", new DeviceNotFound("nothing is 4 GiB"));
    expect(verbose.records[1]?.message).toContain("log.test.ts");
  });

  test("the place in the code is told while debugging, for every level, and not otherwise", () => {
    const quiet = collect("INFO");
    quiet.log.info("late");
    expect(quiet.records[0]).not.toHaveProperty("place");
    const verbose = collect("DEBUG");
    function here() {
      verbose.log.named("agent.child").info("late");
      verbose.log.debug("later");
    }
    here();
    expect(verbose.records.map(({ place }) => place?.function)).toEqual(["here", "here"]);
    const [first, second] = verbose.records.map(({ place }) => place);
    expect(first?.file).toEndWith("log.test.ts");
    expect((second?.line ?? 0) - (first?.line ?? 0)).toBe(1);
  });

  test("secrets are gone before a sink sees the record, in text and in context", () => {
    const { log, records } = collect("DEBUG");
    log.info("POST /v1/commands/?agent_token=S3CRET");
    log.info("looked up", { config: { agent_token: "S3CRET" }, url: "http://u:S3CRET@host/" });
    log.error("failed", new Error("GET https://u:S3CRET@host/"));
    expect(JSON.stringify(records)).not.toContain("S3CRET");
    expect(records[1]?.message).toContain("******");
  });
});

describe("lines", () => {
  const record: LogRecord = {
    time: new Date(2026, 0, 31, 12, 5, 9, 42).getTime() / 1000,
    level: "ERROR",
    logger: "agent",
    message: "first\nsecond",
  };

  test("the human form is the reference's, each further line with the prefix", () => {
    expect(humanLine(record, 77)).toBe(
      "2026-01-31 12:05:09.042 77 ERROR agent [-] first\n2026-01-31 12:05:09.042 77 ERROR agent second",
    );
  });

  // control-plane 2.7
  test("a DEBUG line ends in function, file and line; others do not, though they know them", () => {
    const place = { function: "beat", file: "src/ironic/heartbeat.ts", line: 12 };
    const lineOf = (level: LogLevel, message: string) =>
      humanLine({ ...record, level, message, place }, 77).replaceAll("2026-01-31 12:05:09.042 77 ", "");
    expect(lineOf("DEBUG", "sent")).toBe("DEBUG agent [-] sent beat src/ironic/heartbeat.ts:12");
    expect(lineOf("DEBUG", "a\nb")).toBe("DEBUG agent [-] a\nDEBUG agent b beat src/ironic/heartbeat.ts:12");
    expect(lineOf("INFO", "sent")).toBe("INFO agent [-] sent");
    expect(JSON.parse(jsonLine({ ...record, place }, 77, "node"))).toMatchObject({
      pathname: "src/ironic/heartbeat.ts",
      filename: "heartbeat.ts",
      module: "heartbeat",
      lineno: 12,
      funcname: "beat",
    });
  });

  test("the time has the form that was asked for", () => {
    expect(humanLine(record, 77, "%d.%m.%y %I:%M %p").split("\n")[0]).toBe(
      "31.01.26 12:05 PM.042 77 ERROR agent [-] first",
    );
  });

  test("the JSON form is one line with the members that the reference's has", () => {
    const line = jsonLine(record, 77, "node");
    expect(line).not.toContain("\n");
    expect(JSON.parse(line)).toMatchObject({
      message: "first\nsecond",
      name: "agent",
      levelname: "ERROR",
      levelno: 40,
      process: 77,
      hostname: "node",
      asctime: "2026-01-31 12:05:09",
      msecs: 42,
    });
    const members =
      "message asctime name msg args levelname levelno pathname filename module lineno funcname created msecs " +
      "relative_created thread thread_name process_name process traceback hostname error_summary context extra";
    expect(Object.keys(JSON.parse(line))).toEqual(members.split(" "));
  });
});
