// Executable plug-ins, as real programs: the protocol as documented, and what becomes of programs that do not keep to it.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFile } from "node:fs/promises";
import {
  BlockDeviceEraseError,
  CommandExecutionError,
  HardwareManagerConfigurationError,
  HardwareManagerMethodNotFound,
} from "../../../src/errors.ts";
import { rejection, thrower } from "../../support/rejection.ts";
import { disk } from "../support.ts";
import { builtIn, isAlive, loadedRig, stepCall, until } from "./support.ts";

// Processes are started by the dozen, on machines that may be busy.
setDefaultTimeout(30_000);

/** A shell program that describes itself with the given members, and answers with the given script. */
function program(description: object, script = ""): string {
  const described = JSON.stringify({ protocol: 1, name: "Acme", support: 3, ...description });
  return `#!/bin/sh\nif [ "$1" = describe ]; then cat <<'JSON'\n${described}\nJSON\nexit; fi\n${script}\n`;
}

const CLEAN = { steps: { clean: [{ step: "go", priority: 5 }] } };

describe("the protocol", () => {
  test("steps are listed with the defaults filled in", async () => {
    await using rig = await loadedRig({
      acme: program({
        version: "3",
        steps: {
          clean: [{ step: "go", abortable: true, argsinfo: { a: { description: "x" } } }],
          deploy: [{ step: "set", interface: "raid" }],
        },
      }),
    });
    expect(await rig.managers.steps("clean", {}, [])).toEqual({
      Acme: [
        {
          step: "go",
          priority: 0,
          interface: "deploy",
          reboot_requested: false,
          abortable: true,
          argsinfo: { a: { description: "x", required: false } },
        },
      ],
    });
    expect(await rig.managers.steps("deploy", {}, [])).toMatchObject({
      Acme: [{ step: "set", interface: "raid" }],
    });
    expect(rig.managers.versions()).toEqual({ Acme: "3", built_in: "1" });
  });

  test("a step gets its words and the question on standard input, and what it prints is understood", async () => {
    await using rig = await loadedRig({
      acme: program(
        CLEAN,
        `question=$(cat)
        echo '{"progress": {"phase": "first", "done": 1, "total": 2, "unit": "steps"}}'
        echo '{"log": "getting warm", "level": "warning"}'
        echo '{"metric": {"kind": "counter", "name": "acme.go", "value": 1}}'
        echo 'plain output of a tool'
        echo 'on standard error' >&2
        printf '{"result": {"words": "%s", "question": %s}}' "$*" "$question"`,
      ),
    });
    const call = stepCall({ node: { uuid: "u" }, ports: [1], args: { a: "b" } });
    expect(await rig.managers.executeStep("clean", "go", call)).toEqual({
      words: "step clean go",
      question: {
        protocol: 1,
        agent: expect.any(String),
        node: { uuid: "u" },
        ports: [1],
        args: { a: "b" },
        step: { step: "go", priority: 5, interface: "deploy", reboot_requested: false },
      },
    });
    expect(call.progress).toEqual([{ phase: "first", done: 1, total: 2, unit: "steps", rate: null }]);
    const logged = rig.records.filter(({ logger }) => logger === "ironic_agent.plugin.Acme");
    expect(logged.map(({ level, message }) => [level, message]).sort()).toEqual([
      ["INFO", "on standard error"],
      ["INFO", "plain output of a tool"],
      ["WARNING", "getting warm"],
    ]);
    expect([...rig.metrics.series()]).toMatchObject([{ kind: "counter", name: "acme.go", value: 1 }]);
  });

  test("methods are asked by the reference's names with named arguments; its own with a list", async () => {
    await using rig = await loadedRig({
      acme: program(
        { methods: ["erase_block_device", "get_bmc_address", "greet"], initialize: true },
        `case "$2" in
          get_bmc_address) echo '{"result": "192.0.2.7"}';;
          greet) printf '{"result": %s}\\n' "$(cat)";;
          erase_block_device) printf '{"result": %s}\\n' "$(cat)";;
          *) touch "$(dirname "$0")/$1"; echo '{"result": null}';;
        esac`,
      ),
    });
    expect(await readFile(`${rig.directory}/initialize`, "utf8")).toBe("");
    expect(await rig.managers.dispatch("getBmcAddress")).toBe("192.0.2.7");
    expect(await rig.managers.dispatchOwn("greet", ["you", 5])).toMatchObject({ args: ["you", 5] });
    const erased = rig.managers.dispatch("eraseBlockDevice", { uuid: "u" }, disk({ name: "/dev/sdz" }));
    expect(await erased).toMatchObject({ node: { uuid: "u" }, block_device: { name: "/dev/sdz" } });
  });

  test("its errors have the type they name; one that passes hands over", async () => {
    const error = (type: string) => `echo '{"error": {"type": "${type}", "message": "told so"}}'; exit 1`;
    await using rig = await loadedRig(
      {
        acme: program(
          {
            steps: {
              clean: ["BlockDeviceEraseError", "FirmwareError", "TypeError"].map((step) => ({ step })),
            },
            methods: ["get_bmc_address"],
          },
          `case "$1" in step) ${["BlockDeviceEraseError", "FirmwareError", "TypeError"].map((type) => `if [ $3 = ${type} ]; then ${error(type)}; fi`).join("\n")};;
           *) ${error("IncompatibleHardwareMethodError")};; esac`,
        ),
      },
      { factories: [builtIn({ getBmcAddress: async () => "192.0.2.1" })] },
    );
    const run = (step: string) => rejection(rig.managers.executeStep("clean", step, stepCall()));
    expect(await run("BlockDeviceEraseError")).toBeInstanceOf(BlockDeviceEraseError);
    expect(await run("FirmwareError")).toMatchObject({
      type: "FirmwareError",
      code: 500,
      details: "told so",
    });
    expect(await run("TypeError")).toMatchObject({ type: "CommandExecutionError" });
    expect(await rig.managers.dispatch("getBmcAddress")).toBe("192.0.2.1");
  });

  test("support 0: not for this machine", async () => {
    await using rig = await loadedRig({ acme: program({ ...CLEAN, support: 0 }) });
    expect(await rig.managers.steps("clean", {}, [])).toEqual({});
    expect(await rejection(rig.managers.executeStep("clean", "go", stepCall()))).toBeInstanceOf(
      HardwareManagerMethodNotFound,
    );
  });
});

describe("what a program does wrong", () => {
  const failures: [string, string, string][] = [
    ["an exit code", "echo hot >&2; exit 7", "exit code 7: hot"],
    ["no word at the end", "echo done", "it ended without saying how it went"],
    [
      "half a line of JSON",
      `printf '{"result": '`,
      'line 1 of its output begins like JSON but is none: {"result":',
    ],
    [
      "a line that means nothing",
      `echo '{"resutl": 1}'`,
      "has none of result, error, progress, log and metric",
    ],
    ["a signal", "kill -9 $$", "ended by SIGKILL"],
    ["an error without words", `echo '{"error": null}'`, "null"],
  ];
  test.each(failures)("%s fails the step, and says whose it was", async (_, script, reason) => {
    await using rig = await loadedRig({ acme: program(CLEAN, script) });
    const error = await rejection(rig.managers.executeStep("clean", "go", stepCall()));
    expect(error).toBeInstanceOf(CommandExecutionError);
    expect(String(error)).toContain(reason);
    if (!script.includes('"error"'))
      expect(String(error)).toContain(`the plug-in Acme (${rig.directory}/acme), running the clean step go`);
  });

  test("bytes of any kind are no crash, and no result", async () => {
    await using rig = await loadedRig({
      acme: program(CLEAN, "head -c 300000 /dev/urandom; yes | head -c 300000"),
    });
    expect(await rejection(rig.managers.executeStep("clean", "go", stepCall()))).toBeInstanceOf(
      CommandExecutionError,
    );
  });

  test("a method of its own that hangs is ended, too; as a part of a step it has the step's time", async () => {
    await using rig = await loadedRig(
      { acme: program({ methods: ["slow"] }, `sleep 2; echo '{"result": "done"}'`) },
      { values: { hardware_manager_timeout: 1 } },
    );
    expect(await thrower(rig.managers.dispatchOwn("slow", []))).toThrow("gave up after 1 s");
    const { signal } = new AbortController();
    expect(await rig.managers.dispatchOwn("slow", [], { signal })).toBe("done");
  });

  test("a method that hangs is ended, and the next manager asked", async () => {
    await using rig = await loadedRig(
      { acme: program({ methods: ["get_bmc_address"] }, "sleep 1000") },
      { values: { hardware_manager_timeout: 1 }, factories: [builtIn({ getBmcAddress: async () => null })] },
    );
    expect(await rig.managers.dispatch("getBmcAddress")).toBeNull();
  });

  test.each([
    ["nothing", "sleep 1000", "gave up after 0.2 s and ended it"],
    ["something", "echo polishing; sleep 1000", "gave up after 0.2 s and ended it: polishing"],
  ])(
    "a step's own time limit ends it, and is the reason given, if it has printed %s",
    async (_, body, said) => {
      await using rig = await loadedRig({
        acme: program({ steps: { clean: [{ step: "go", timeout: 0.2 }] } }, body),
      });
      expect(await thrower(rig.managers.executeStep("clean", "go", stepCall()))).toThrow(said);
    },
  );

  test("the signal that ended it is named", async () => {
    await using rig = await loadedRig({ acme: program(CLEAN, "echo polishing; kill -SEGV $$") });
    expect(await thrower(rig.managers.executeStep("clean", "go", stepCall()))).toThrow("SIGSEGV: polishing");
  });

  test.each(["the command", "the agent"])("it ends with %s, and its children too", async (what) => {
    const rig = await loadedRig({
      acme: program(CLEAN, `sleep 1000 & echo $! > "$(dirname "$0")/child"; wait`),
    });
    const stop = new AbortController();
    const running = rejection(rig.managers.executeStep("clean", "go", stepCall({ signal: stop.signal })));
    const child = async () => Number(await readFile(`${rig.directory}/child`, "utf8").catch(() => ""));
    await until(async () => (await child()) > 0);
    const pid = await child();
    if (what === "the command") stop.abort(new Error("told to stop"));
    else await rig.managers.stop();
    expect(await running).toBeInstanceOf(Error);
    await until(() => !isAlive(pid));
    await rig[Symbol.asyncDispose]();
  });

  const descriptions: [string, string, string][] = [
    ["prints garbage", "#!/bin/sh\necho hello", "did not print JSON"],
    ["prints nothing", "#!/bin/sh\n", "(nothing)"],
    ["fails", "#!/bin/sh\necho broken >&2; exit 3", "broken"],
    ["hangs", "#!/bin/sh\nsleep 1000", "gave up after 1 s"],
    ["speaks another protocol", program({ protocol: 2 }), '"protocol" must be 1, not 2'],
    ["has no name", program({ name: null }), '"name" must be a string like'],
    [
      "has a wrong priority",
      program({ steps: { clean: [{ step: "go", priority: "high" }] } }),
      '"steps.clean[0].priority" must be an integer of 0 or more, not "high"',
    ],
    ["has a wrong kind of steps", program({ steps: { cleaning: [] } }), '"steps.cleaning"'],
    ["has support as text", program({ support: "3" }), '"support" must be an integer, not "3"'],
  ];
  test.each(descriptions)(
    "one that %s does not stop the agent, but every step",
    async (_, source, reason) => {
      await using rig = await loadedRig({ acme: source }, { values: { hardware_manager_timeout: 1 } });
      expect(rig.managers.broken).toMatchObject([{ kind: null }]);
      expect(await rig.managers.steps("clean", {}, [])).toEqual({});
      const refused = await rejection(rig.managers.executeStep("clean", "go", stepCall()));
      expect(refused).toBeInstanceOf(HardwareManagerConfigurationError);
      expect(String(refused)).toContain(reason);
      expect(String(refused)).toContain(`${rig.directory}/acme`);
    },
  );

  test("one that cannot even be started neither, and the interpreter is named", async () => {
    await using rig = await loadedRig({ acme: "#!/no/such/interpreter -x\n" });
    const refused = await rejection(rig.managers.executeStep("clean", "go", stepCall()));
    expect(refused).toBeInstanceOf(HardwareManagerConfigurationError);
    expect(String(refused)).toContain(
      `the plug-in ${rig.directory}/acme cannot be loaded: cannot run ${rig.directory}/acme: ` +
        "its interpreter /no/such/interpreter is not there or may not be executed",
    );
  });
});

test("waiting for disks has a time limit, too: the start and every later command wait for it", async () => {
  await using rig = await loadedRig(
    { acme: program({ methods: ["wait_for_disks"] }, "exec sleep 1000") },
    {
      values: { hardware_manager_timeout: 2 },
      factories: [builtIn({ waitForDisks: async () => undefined })],
    },
  );
  await rig.managers.node.cache({ uuid: "n" });
  const errors = rig.records.filter(({ level }) => level === "ERROR").map(({ message }) => message);
  expect(errors.join()).toContain("gave up after 2 s");
  expect(errors.join()).toContain("the next hardware manager is asked instead");
});

test("a line without end takes no more memory than the longest line may", async () => {
  const child = Bun.spawn([process.execPath, `${import.meta.dir}/endless-line.ts`], { stdout: "pipe" });
  const { mebibytes } = (await new Response(child.stdout).json()) as { mebibytes: number };
  expect(mebibytes).toBeLessThan(100);
}, 60_000);

test("files that are no plug-ins are left alone; one that lacks its executable bit is told of", async () => {
  await using rig = await loadedRig({
    "README.md": "words",
    ".hidden.ts": "not even TypeScript",
    "old.ts~": "a copy of an editor",
    "types.d.ts": "export {};",
    acme: program(CLEAN),
  });
  expect(rig.managers.ranking().map(({ className }) => className)).toEqual(["Acme", "BuiltIn"]);
  const warnings = rig.records.filter(({ level }) => level === "WARNING").map(({ message }) => message);
  expect(warnings).toEqual([expect.stringContaining("README.md is no plug-in")]);
});
