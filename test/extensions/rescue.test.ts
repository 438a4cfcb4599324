import { describe, expect, test } from "bun:test";
import type { JsonObject } from "../../src/json.ts";
import { sha512Crypt } from "../../src/steps/sha512-crypt.ts";
import { FileError, type Files } from "../../src/system/files.ts";
import { rejection } from "../support/rejection.ts";
import { type Fixture, fixture } from "./fixture.ts";

const FILE = "/etc/ipa-rescue-config/ipa-rescue-password";
const HASH =
  "$6$saltsalt$qkTgsCrWMTAS9gBGcf9W60sFfH.hU0oTCAOJjhbz5tSp/sU3/xXZK4OFwCtq8lIIdpJ6CatVdOTSHKp97TPkt/";

async function finalize(params: JsonObject): Promise<Fixture & { stored: unknown; status: string }> {
  const made = await fixture();
  const { command_status: status } = await made.registry.execute("rescue.finalize_rescue", params);
  return { ...made, status, stored: made.system.fileMap.get(FILE) };
}

/** Writing below `directory` fails as it does when it is not there. */
function without(files: Files, directory: string): Files {
  return {
    ...files,
    write: (path, content, mode) =>
      path.startsWith(directory)
        ? Promise.reject(new FileError("writing", path, "ENOENT"))
        : files.write(path, content, mode),
  };
}

describe("rescue.finalize_rescue", () => {
  // control-plane 11.91, contract 10.55
  test("stores a salted SHA-512 crypt hash without a newline, then lets the agent end", async () => {
    const { status, stored, lifecycle, registry } = await finalize({ rescue_password: "p455w0rd" });
    expect(status).toBe("SUCCEEDED");
    const [, salt] = /^\$6\$([./0-9A-Za-z]{16})\$[./0-9A-Za-z]{86}$/.exec(String(stored)) ?? [];
    expect(stored).toBe(sha512Crypt("p455w0rd", salt!));
    expect(lifecycle).toEqual(["end"]);
    expect(registry.results()).toEqual([
      expect.objectContaining({ command_name: "finalize_rescue", command_result: null, command_error: null }),
    ]);
  });

  // control-plane 11.92, contract 10.55
  test("a hash is stored as it came", async () => {
    for (const hash of [HASH, "$5$rounds=5000$abc$def", "!"]) {
      const { stored, status } = await finalize({ rescue_password: hash, hashed: true });
      expect([stored, status]).toEqual([hash, "SUCCEEDED"]);
    }
  });

  test("hashed: false and null mean clear text; a missing password is the empty one, with a warning", async () => {
    for (const hashed of [false, null])
      expect((await finalize({ rescue_password: HASH, hashed })).stored).toStartWith("$6$");
    const { stored, system } = await finalize({});
    const [, salt = ""] = /^\$6\$([^$]+)\$/.exec(String(stored)) ?? [];
    expect(stored).toBe(sha512Crypt("", salt));
    expect(system.records.find(({ level }) => level === "WARNING")?.message).toContain("password is empty");
  });

  test("leaves the marker by which an agent that is started again knows", async () => {
    expect((await finalize({ rescue_password: "x" })).system.fileMap.has("/etc/.rescued")).toBe(true);
  });

  test.each([
    [{ rescue_password: 5 }, "'rescue_password' must be a string or null, not a number"],
    [{ rescue_password: "x", hashed: "yes" }, "'hashed' must be true or false or null, not a string"],
    [{ rescue_password: "x".repeat(512) }, "'rescue_password' cannot be used: it is longer than 511 bytes"],
    [{ rescue_password: "a\0b" }, "'rescue_password' cannot be used: it contains a NUL character"],
  ] as [JsonObject, string][])(
    "%j is refused, nothing is stored and the agent stays",
    async (params, details) => {
      const { registry, system, lifecycle } = await fixture();
      expect(await rejection(registry.execute("rescue.finalize_rescue", params))).toMatchObject({
        type: "InvalidCommandParamsError",
        details,
      });
      expect([...system.fileMap.keys()].filter((path) => path.startsWith("/etc/"))).toEqual([]);
      expect(lifecycle).toEqual([]);
    },
  );

  // control-plane 11.92
  test("without the directory it fails, says what is missing, and the agent stays", async () => {
    const { registry, lifecycle, services } = await fixture();
    Object.assign(services.system, { files: without(services.system.files, "/etc/ipa-rescue-config/") });
    const result = await registry.execute("rescue.finalize_rescue", { rescue_password: "S3CRET" });
    expect(result).toMatchObject({
      command_status: "FAILED",
      command_error: { type: "CommandExecutionError" },
    });
    expect(result.command_error?.details).toContain("/etc/ipa-rescue-config");
    expect(result.command_error?.details).not.toContain("S3CRET");
    expect(lifecycle).toEqual([]);
  });

  test("a marker that cannot be written is a warning", async () => {
    const { registry, lifecycle, services, system } = await fixture();
    Object.assign(services.system, { files: without(services.system.files, "/etc/.rescued") });
    const result = await registry.execute("rescue.finalize_rescue", { rescue_password: "x" });
    expect(result.command_status).toBe("SUCCEEDED");
    expect(lifecycle).toEqual(["end"]);
    expect(system.records.find(({ level }) => level === "WARNING")?.message).toContain("/etc/.rescued");
  });

  // control-plane 11.20
  test("neither the password nor its hash is in the log", async () => {
    const { system, stored } = await finalize({ rescue_password: "S3CRET" });
    const log = system.records.map(({ message }) => message).join("\n");
    expect(log).not.toContain("S3CRET");
    expect(log).not.toContain(String(stored));
    const hashed = await finalize({ rescue_password: HASH, hashed: true });
    expect(hashed.system.records.map(({ message }) => message).join("\n")).not.toContain(HASH);
  });
});

describe("system.lockdown", () => {
  test("asks the agent to lock down, with no result", async () => {
    const { registry, lifecycle } = await fixture();
    expect(await registry.execute("system.lockdown", {})).toMatchObject({
      command_name: "lockdown",
      command_status: "SUCCEEDED",
      command_result: null,
    });
    expect(lifecycle).toEqual(["lock down"]);
  });

  test("fails on a machine that does not run from memory, unless it is a test machine", async () => {
    const files = { "/proc/self/mountinfo": "20 1 0:1 / / rw - nfs server:/ rw\n" };
    const refused = await fixture({ recording: { files } });
    const { command_status, command_error } = await refused.registry.execute("system.lockdown", {});
    expect(command_status).toBe("FAILED");
    expect(command_error?.details).toContain("does not run from a ramdisk");
    expect(refused.lifecycle).toEqual([]);
    const allowed = await fixture({ recording: { files }, config: { allow_host_disks: true } });
    expect((await allowed.registry.execute("system.lockdown", {})).command_status).toBe("SUCCEEDED");
    expect(allowed.lifecycle).toEqual(["lock down"]);
  });
});
