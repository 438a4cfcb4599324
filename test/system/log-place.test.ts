import { describe, expect, test } from "bun:test";
import { parseFrame } from "../../src/system/log-place.ts";

// As the runtime writes them: from sources, from the executable with its source map, and for a plug-in.
describe("a line of a stack", () => {
  test.each([
    ["    at beat (/home/x/src/ironic/heartbeat.ts:12:5)", "beat", "src/ironic/heartbeat.ts", 12],
    ["    at async run (../src/agent.ts:120:7)", "run", "src/agent.ts", 120],
    ["    at new Agent (../src/agent.ts:80:7)", "Agent", "src/agent.ts", 80],
    ["    at ../src/main.ts:9:1", "<anonymous>", "src/main.ts", 9],
    ["    at map (native:1:11)", "map", "native", 1],
    [
      "    at steps (/etc/ironic-python-agent.d/hardware-managers/acme.ts:3:9)",
      "steps",
      "/etc/ironic-python-agent.d/hardware-managers/acme.ts",
      3,
    ],
  ])("%s", (frame, name, file, line) => {
    expect(parseFrame(frame)).toEqual({ function: name, file, line });
  });

  test.each(["", "Error: late", "    at nowhere"])("%j tells no place", (frame) => {
    expect(parseFrame(frame)).toBeNull();
  });
});
