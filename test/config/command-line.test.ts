import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseCommandLine } from "../../src/config/command-line.ts";
import { ConfigurationError } from "../../src/config/configuration-error.ts";
import { OPTION_NAMES, optionSpec } from "../../src/config/options.ts";

const items = (...argv: string[]) => parseCommandLine(argv).items;

function refusal(...argv: string[]): ConfigurationError {
  try {
    parseCommandLine(argv);
  } catch (error) {
    if (error instanceof ConfigurationError) return error;
    throw error;
  }
  throw new Error(`accepted: ${argv.join(" ")}`);
}

describe("the command line", () => {
  test("values stand behind = or as the next word, names with underscores or dashes", () => {
    for (const argv of [["--listen_port=1"], ["--listen_port", "1"], ["--listen-port", "1"]])
      expect(items(...argv)).toMatchObject([{ kind: "value", name: "listen_port", text: "1" }]);
    expect(items("--listen_host=a=b")).toMatchObject([{ text: "a=b" }]);
    expect(items("--listen_host=")).toMatchObject([{ text: "" }]);
  });

  test("switches have a form with and one without, in the order written", () => {
    expect(items("--standalone", "--nostandalone")).toMatchObject([
      { kind: "flag", name: "standalone", value: true },
      { kind: "flag", name: "standalone", value: false },
    ]);
    expect(items("-d", "--nodebug")).toMatchObject([{ name: "debug", value: true }, { value: false }]);
  });

  test("names may be shortened as long as they are unique", () => {
    expect(items("--stand")).toMatchObject([{ name: "standalone", value: true }]);
    expect(items("--nostand")).toMatchObject([{ name: "standalone", value: false }]);
    expect(items("--config-f", "x")).toEqual([{ kind: "file", path: "x" }]);
    const ambiguous = refusal("--listen", "1");
    expect(ambiguous.exitCode).toBe(2);
    expect(ambiguous.message).toContain("--listen_host, --listen_port, --listen_tls");
  });

  test("a whole name wins over longer ones that begin with it", () => {
    expect(items("--cafile=x")).toMatchObject([{ name: "cafile" }]);
    expect(items("--log-file=x", "--logfile=y")).toMatchObject([{ name: "log_file" }, { name: "log_file" }]);
  });

  test("files and directories keep their place among the options", () => {
    expect(
      items("--listen_port", "7", "--config-file", "f", "--config_dir=d").map(({ kind }) => kind),
    ).toEqual(["value", "file", "directory"]);
  });

  test("wrong use exits with 2 and names what is wrong", () => {
    for (const [argv, named] of [
      [["--nosuch"], "--nosuch"],
      [["--nosuch=1"], "--nosuch"],
      [["-x"], "-x"],
      [["stray"], "stray"],
      [["--", "stray"], "stray"],
      [["--standalone=true"], "--standalone"],
      [["--listen_port"], "--listen_port"],
      [["--listen_port", "--debug"], "--listen_port"],
      [["--disk_utils.partprobe_attempts=1"], "--disk_utils.partprobe_attempts"],
    ] as const) {
      const error = refusal(...argv);
      expect(error.exitCode).toBe(2);
      expect(error.message).toContain(named);
    }
  });

  test("a negative number is a value, for the option's own range to refuse", () => {
    expect(items("--listen_port", "-1")).toMatchObject([{ text: "-1" }]);
  });

  test("--help and --version end the reading", () => {
    expect(parseCommandLine(["--debug", "--help", "--nosuch"]).action).toBe("help");
    expect(parseCommandLine(["-h"]).action).toBe("help");
    expect(parseCommandLine(["--version"]).action).toBe("version");
  });

  test("every option of [DEFAULT] is there in each of its spellings", () => {
    for (const name of OPTION_NAMES.filter((name) => !name.includes("."))) {
      const dashed = name.replaceAll("_", "-");
      if (optionSpec(name).type === "bool") {
        for (const word of [`--${name}`, `--${dashed}`])
          expect(items(word)).toMatchObject([{ name, value: true }]);
        expect(items(`--no${dashed}`)).toMatchObject([{ name, value: false }]);
      } else
        for (const argv of [[`--${name}=x`], [`--${dashed}`, "x"]])
          expect(items(...argv)).toMatchObject([{ name, text: "x" }]);
    }
  });

  test("whatever is written is understood or refused with exit code 2", () => {
    const word = fc.oneof(
      fc.string({ maxLength: 8 }),
      fc.constantFrom(...OPTION_NAMES.map((name) => `--${name}`), "--", "-d", "--config-file"),
      fc.tuple(fc.constantFrom(...OPTION_NAMES), fc.string({ maxLength: 5 })).map(([n, v]) => `--${n}=${v}`),
      fc.tuple(fc.constantFrom(...OPTION_NAMES), fc.nat(12)).map(([n, length]) => `--${n.slice(0, length)}`),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 6 }), (argv) => {
        try {
          parseCommandLine(argv);
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigurationError);
          expect((error as ConfigurationError).exitCode).toBe(2);
        }
      }),
    );
  });
});
