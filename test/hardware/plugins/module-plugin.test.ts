// TypeScript plug-ins as real processes: what they can do, and that nothing they do wrong reaches the agent.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFile, symlink, writeFile } from "node:fs/promises";
import {
  CleaningError,
  CommandExecutionError,
  DeviceNotFound,
  HardwareManagerConfigurationError,
  HardwareManagerMethodNotFound,
} from "../../../src/errors.ts";
import type { BlockDevice, NetworkInterface } from "../../../src/hardware/manager.ts";
import { rejection, thrower } from "../../support/rejection.ts";
import { disk } from "../support.ts";
import {
  builtIn,
  isAlive,
  loadedRig,
  type PluginRig,
  plugin,
  pluginRig,
  stepCall,
  stepPlugin,
  until,
} from "./support.ts";

// Processes are started by the dozen, on machines that may be busy.
setDefaultTimeout(60_000);
/** Seconds; loading a plug-in has to fit in on a busy machine, too. */
const PATIENCE = 4;

describe("what a plug-in can do", () => {
  test("its steps are listed with the defaults filled in, and run with node, ports and arguments", async () => {
    await using rig = await loadedRig({
      "acme.ts": plugin(`
        override readonly name = "acme_manager";
        override readonly version = "7";
        getCleanSteps(node, ports) {
          return [defineStep({
            step: "go_" + node.uuid, priority: 5, argsinfo: { force: { description: "now" } },
            run: (context, args) => ({ args, node: context.node.uuid, ports: context.ports }),
          })];
        }`),
    });
    expect(await rig.managers.steps("clean", { uuid: "a" }, [])).toEqual({
      Acme: [
        {
          step: "go_a",
          priority: 5,
          interface: "deploy",
          reboot_requested: false,
          argsinfo: { force: { description: "now", required: false } },
        },
      ],
    });
    expect(await rig.managers.steps("deploy", {}, [])).toEqual({});
    expect(rig.managers.versions()).toEqual({ acme_manager: "7", built_in: "1" });
    const call = stepCall({ node: { uuid: "b" }, args: { force: true }, ports: [{ address: "aa" }] });
    expect(await rig.managers.executeStep("clean", "go_b", call)).toEqual({
      args: { force: true },
      node: "b",
      ports: [{ address: "aa" }],
    });
  });

  test("progress, log lines, printed text and metrics reach the agent", async () => {
    await using rig = await loadedRig({
      "acme.ts": stepPlugin(`
        context.report({ phase: "flashing", done: 1, total: 2, unit: "cards", rate: null });
        context.system.log.warning("the card is warm");
        console.log("printed by the plug-in");
        context.metrics.counter("acme.flashed").increment(2);
        context.metrics.gauge("acme.temperature").set(40);
        await context.metrics.timer("acme.flash").time(async () => undefined);
        return null;`),
    });
    const call = stepCall();
    expect(await rig.managers.executeStep("clean", "go", call)).toBeNull();
    expect(call.progress).toEqual([{ phase: "flashing", done: 1, total: 2, unit: "cards", rate: null }]);
    const line = (text: string) => rig.records.find(({ message }) => message.includes(text));
    await until(() => line("printed by the plug-in") !== undefined);
    expect(line("the card is warm")).toMatchObject({ level: "WARNING", logger: "ironic_agent.plugin.Acme" });
    const series = [...rig.metrics.series()].map(({ kind, name, count }) => [kind, name, count]);
    expect(series).toEqual([
      ["counter", "acme.flashed", 1],
      ["gauge", "acme.temperature", 1],
      ["timer", "acme.flash", 1],
    ]);
  });

  test("what a step logs belongs to the command that runs it", async () => {
    await using rig = await loadedRig({
      "acme.ts": stepPlugin(`context.system.log.info("step of " + args.who);`),
    });
    const watched = async (who: string) => {
      const lines: string[] = [];
      const call = stepCall({ args: { who } });
      await rig.tapLog(
        ({ message }) => lines.push(message),
        () => rig.managers.executeStep("clean", "go", call),
      );
      return lines;
    };
    expect(await Promise.all([watched("one"), watched("two")])).toEqual([["step of one"], ["step of two"]]);
  });

  test("it asks other managers, those after it, other plug-ins and the agent's options", async () => {
    await using rig = await loadedRig(
      {
        "1.ts": plugin(
          `
          async getBmcAddress() { return "first " + (await this.context.next("getBmcAddress")); }
          getCleanSteps() {
            return [defineStep({ step: "go", run: async (context) => [
              await context.dispatch("getBmcAddress"),
              await context.next("getBmcAddress"),
              await context.call("greet", "you"),
              await context.installDevice({ refresh: true }),
              context.config.get("disk_wait_delay"),
              context.config.get("agent_token"),
            ] })];
          }`,
          "First",
        ),
        "2.ts": plugin(`greet(name: string) { return "hello " + name; }`, "Second"),
      },
      {
        values: { disk_wait_delay: 17, agent_token: "a-secret-that-stays-with-the-agent" },
        factories: [
          builtIn({
            getBmcAddress: async () => "192.0.2.1",
            getOsInstallDevice: async (options) => `/dev/sda ${options?.refresh}`,
          }),
        ],
      },
    );
    expect(await rig.managers.executeStep("clean", "go", stepCall())).toEqual([
      "first 192.0.2.1",
      "192.0.2.1",
      "hello you",
      "/dev/sda true",
      17,
      null,
    ]);
  });

  test("it may leave a step to the next manager, or put something around it", async () => {
    const below = builtIn({
      steps: async () => [
        {
          step: "erase",
          priority: 10,
          interface: "deploy",
          reboot_requested: false,
          run: async (_, args) => args,
        },
        {
          step: "wipe",
          priority: 10,
          interface: "deploy",
          reboot_requested: false,
          run: async () => "wiped",
        },
      ],
    });
    await using rig = await loadedRig(
      {
        "acme.ts": plugin(`
          getCleanSteps() {
            return [
              defineStep({ step: "erase", priority: 90, run: sdk.passOn }),
              defineStep({ step: "wipe", run: async ({ runNext }) => "around " + (await runNext({})) }),
            ];
          }`),
      },
      { factories: [below] },
    );
    const steps = await rig.managers.steps("clean", {}, []);
    expect(steps).toMatchObject({
      Acme: [
        { step: "erase", priority: 90 },
        { step: "wipe", priority: 0 },
      ],
    });
    expect(steps).not.toHaveProperty("BuiltIn");
    expect(await rig.managers.executeStep("clean", "erase", stepCall({ args: { a: 1 } }))).toEqual({ a: 1 });
    expect(await rig.managers.executeStep("clean", "wipe", stepCall())).toBe("around wiped");
  });

  test("it knows the node, as it was cached last", async () => {
    await using rig = await loadedRig(
      { "acme.ts": plugin(`async getBmcAddress() { return String(this.context.node?.uuid); }`) },
      { factories: [builtIn({ waitForDisks: async () => {} })] },
    );
    expect(await rig.managers.dispatch("getBmcAddress")).toBe("undefined");
    await rig.managers.node.cache({ uuid: "n" });
    expect(await rig.managers.dispatch("getBmcAddress")).toBe("n");
  });

  test("its errors keep their class where the agent looks at it, and their type where it does not know it", async () => {
    await using rig = await loadedRig({
      "acme.ts": plugin(`
        getCleanSteps() {
          const failing = { known: () => { throw new sdk.CleaningError("worn out"); },
            own: () => { throw new FirmwareError("bad image"); },
            type: () => { throw new (class extends sdk.RestError { type = "TypeError" })("x"); } };
          return Object.entries(failing).map(([step, run]) => defineStep({ step, run }));
        }
        async getOsInstallDevice() { throw new sdk.DeviceNotFound("no card"); }`).concat(`
        class FirmwareError extends sdk.RestError {
          override readonly type = "FirmwareError"; override readonly code = 503; override readonly summary = "Firmware";
        }`),
    });
    const run = (step: string) => rejection(rig.managers.executeStep("clean", step, stepCall()));
    expect(await run("known")).toBeInstanceOf(CleaningError);
    expect(await run("own")).toMatchObject({
      type: "FirmwareError",
      code: 503,
      summary: "Firmware",
      details: "bad image",
    });
    // Conductors give this type a meaning of its own.
    expect(await run("type")).toMatchObject({ type: "CommandExecutionError" });
    expect(await rejection(rig.managers.dispatch("getOsInstallDevice"))).toBeInstanceOf(DeviceNotFound);
  });
});

describe("what a plug-in does wrong", () => {
  test("an error it did not mean is a step's failure, under its own name", async () => {
    await using rig = await loadedRig({ "acme.ts": stepPlugin("return (undefined as any).x;") });
    expect(await rejection(rig.managers.executeStep("clean", "go", stepCall()))).toMatchObject({
      name: "TypeError",
      message: expect.stringContaining("undefined is not an object"),
    });
  });

  // control-plane 4.5, DEV-13
  const unsayable: [string, string][] = [
    ["a cyclic result", "const ring: any = {}; ring.ring = ring; return ring;"],
    ["a BigInt", "return { bytes: 10n };"],
    ["a result that throws when it is read", "return { get size() { throw new Error('no size'); } };"],
    ["an error whose text is no text", "throw new sdk.CleaningError({ bytes: 10n } as any);"],
    ["something thrown that has no text at all", "throw Object.create(null);"],
  ];
  test.each(unsayable)(
    "%s fails the step instead of leaving it without an end",
    async (_, source) => {
      await using rig = await loadedRig({
        "acme.ts": stepPlugin(`if (args.ok) return process.pid; ${source}`),
      });
      const fine = stepCall({ args: { ok: true } });
      const pid = await rig.managers.executeStep("clean", "go", fine);
      const error = await rejection(rig.managers.executeStep("clean", "go", stepCall()));
      if (source.startsWith("throw")) expect(String(error)).not.toBe("");
      else {
        expect(error).toBeInstanceOf(CommandExecutionError);
        expect(String(error)).toContain("what it returned cannot be sent as JSON: ");
      }
      // Neither the process nor its channel suffers.
      expect(await rig.managers.executeStep("clean", "go", fine)).toBe(pid);
    },
    20_000,
  );

  test("progress, log lines and metrics that JSON cannot hold harm nothing", async () => {
    await using rig = await loadedRig({
      "acme.ts": stepPlugin(`
        const ring: any = { bytes: 10n }; ring.ring = ring;
        context.report(ring);
        context.system.log.info(ring);
        context.system.log.info("ring", ring);
        context.metrics.counter("acme.rings").increment(1n as any);
        this.context.system.log.info(ring);
        context.report({ phase: "after", done: null, total: null, unit: "", rate: null });
        return "went on";`),
    });
    const call = stepCall();
    expect(await rig.managers.executeStep("clean", "go", call)).toBe("went on");
    expect(call.progress.map(({ phase }) => phase)).toEqual(["after"]);
  });

  test("a process.exit ends the plug-in alone, and it is there again for the next step", async () => {
    await using rig = await loadedRig({
      "acme.ts": stepPlugin("if (args.exit) process.exit(3); return process.pid;"),
    });
    const pid = await rig.managers.executeStep("clean", "go", stepCall());
    expect(
      await thrower(rig.managers.executeStep("clean", "go", stepCall({ args: { exit: true } }))),
    ).toThrow(
      `the plug-in Acme (${rig.directory}/acme.ts), told to run the clean step go: it ended by itself, with exit code 3`,
    );
    expect(await rig.managers.executeStep("clean", "go", stepCall())).not.toBe(pid);
  });

  test("a plug-in that has to start again is initialized again", async () => {
    await using rig = await loadedRig({
      "acme.ts": plugin(`
        ready = 0;
        initialize() { this.ready += 1; }
        getCleanSteps() {
          return [defineStep({ step: "go", run: (_, args) => { if (args.exit) process.exit(3); return this.ready; } })];
        }`),
    });
    expect(await rig.managers.executeStep("clean", "go", stepCall())).toBe(1);
    await rejection(rig.managers.executeStep("clean", "go", stepCall({ args: { exit: true } })));
    expect(await rig.managers.executeStep("clean", "go", stepCall())).toBe(1);
  });

  test("what nobody waited for and nobody caught is logged, and the plug-in goes on", async () => {
    await using rig = await loadedRig({
      "acme.ts": stepPlugin(`
        setTimeout(() => { throw new Error("thrown late"); }, 1);
        void Promise.reject(new Error("rejected late"));
        return process.pid;`),
    });
    const pid = await rig.managers.executeStep("clean", "go", stepCall());
    const logged = (text: string) =>
      rig.records.some(({ level, message }) => level === "ERROR" && message.includes(text));
    await until(() => logged("thrown late") && logged("rejected late"));
    expect(await rig.managers.executeStep("clean", "go", stepCall())).toBe(pid);
  });

  test("an endless loop is ended at the time limit, with what it has started", async () => {
    await using rig = await loadedRig(
      {
        "acme.ts": plugin(`
          async getBmcAddress() {
            const child = Bun.spawn(["sleep", "1000"], { detached: true });
            await Bun.write(import.meta.dir + "/child", String(child.pid));
            for (;;) {}
          }`),
      },
      {
        values: { hardware_manager_timeout: PATIENCE },
        factories: [builtIn({ getBmcAddress: async () => "192.0.2.1" })],
      },
    );
    // A fact that cannot be had from the plug-in comes from the next manager.
    expect(await rig.managers.dispatch("getBmcAddress")).toBe("192.0.2.1");
    expect(rig.records).toContainEqual(
      expect.objectContaining({ level: "ERROR", message: expect.stringContaining("took longer than 4 s") }),
    );
    const child = Number(await readFile(`${rig.directory}/child`, "utf8"));
    await until(() => !isAlive(child));
  });

  test("waiting for disks, listening for LLDP and a sync have a time limit, too: commands wait for them", async () => {
    const below = builtIn({
      waitForDisks: async () => undefined,
      collectLldpData: async () => new Map() as never,
      fullSync: async () => undefined,
    });
    const hang = "{ return new Promise(() => {}) as never; }";
    await using rig = await loadedRig(
      {
        "acme.ts": plugin(`
          async waitForDisks() ${hang}
          async collectLldpData() ${hang}
          async fullSync() ${hang}`),
      },
      { values: { hardware_manager_timeout: PATIENCE }, factories: [below] },
    );
    await rig.managers.node.cache({ uuid: "n" });
    await rig.managers.dispatch("collectLldpData", ["eth0"]);
    expect(
      rig.records.filter(({ message }) => message.includes("the next hardware manager is asked instead")),
    ).toEqual([
      expect.objectContaining({
        message: expect.stringContaining("took longer than 4 s to answer wait_for_disks"),
      }),
      expect.objectContaining({
        message: expect.stringContaining("took longer than 4 s to answer collect_lldp_data"),
      }),
    ]);
    expect(await thrower(rig.managers.dispatch("fullSync"))).toThrow(
      "took longer than 4 s to answer full_sync",
    );
  });

  test("a method of another plug-in's own has the time limit of any question, and as a part of a step that of the step", async () => {
    await using rig = await loadedRig(
      {
        "1.ts": stepPlugin(`return context.call("slow", args.seconds);`),
        "2.ts": plugin(
          `async slow(seconds: number) {
            this.context.system.log.info("slow in " + process.pid);
            await this.context.system.clock.sleep(seconds);
            return "done";
          }`,
          "Second",
        ),
      },
      { values: { hardware_manager_timeout: PATIENCE } },
    );
    expect(await thrower(rig.managers.dispatchOwn("slow", [1000]))).toThrow(
      `took longer than ${PATIENCE} s to answer slow`,
    );
    const longer = stepCall({ args: { seconds: PATIENCE + 1 } });
    expect(await rig.managers.executeStep("clean", "go", longer)).toBe("done");
    const abort = new AbortController();
    const before = rig.records.length;
    const endless = stepCall({ args: { seconds: 1000 }, signal: abort.signal });
    const refused = rejection(rig.managers.executeStep("clean", "go", endless));
    const said = () => rig.records.slice(before).find(({ message }) => message.includes("slow in "));
    await until(() => said() !== undefined);
    abort.abort(new Error("enough"));
    await refused;
    await until(() => !isAlive(Number(said()?.message.split(" ").at(-1))));
  }, 60_000);

  test("a question that hangs does not end a step that is under way", async () => {
    await using rig = await loadedRig(
      {
        "acme.ts": plugin(`
          getBmcAddress() { return new Promise(() => {}); }
          getCleanSteps() {
            return [defineStep({ step: "go", run: async ({ report, system, signal }) => {
              report({ phase: "begun", done: null, total: null, unit: "", rate: null });
              while (!(await system.files.kind(import.meta.dir + "/go-on"))) await system.clock.sleep(0.05, signal);
              return process.pid;
            } })];
          }`),
      },
      {
        values: { hardware_manager_timeout: PATIENCE },
        factories: [builtIn({ getBmcAddress: async () => "192.0.2.1" })],
      },
    );
    const call = stepCall();
    const running = rig.managers.executeStep("clean", "go", call);
    await until(() => call.progress.length > 0);
    expect(await rig.managers.dispatch("getBmcAddress")).toBe("192.0.2.1");
    await until(() => rig.records.some(({ message }) => message.includes("goes on with what else it does")));
    await writeFile(`${rig.directory}/go-on`, "");
    expect(await running).toBeNumber();
  });

  test("what a step asks of other managers is aborted with it", async () => {
    const aborted = Promise.withResolvers<void>();
    const began = Promise.withResolvers<void>();
    await using rig = await loadedRig(
      { "acme.ts": stepPlugin(`return context.dispatch("eraseBlockDevice", {}, { name: "/dev/sdz" });`) },
      {
        factories: [
          builtIn({
            async eraseBlockDevice(_node, _device, work) {
              work?.signal.addEventListener("abort", () => aborted.resolve());
              began.resolve();
              await aborted.promise;
              throw new Error("stopped erasing");
            },
          }),
        ],
      },
    );
    const stop = new AbortController();
    const running = rejection(rig.managers.executeStep("clean", "go", stepCall({ signal: stop.signal })));
    await began.promise;
    stop.abort(new Error("told to stop"));
    await aborted.promise;
    expect(String(await running)).toContain("stopped erasing");
  });

  test("a step's own time limit ends it, too", async () => {
    await using rig = await loadedRig({
      "acme.ts": stepPlugin("await context.system.clock.sleep(1000, context.signal);", "timeout: 0.1,"),
    });
    expect(await thrower(rig.managers.executeStep("clean", "go", stepCall()))).toThrow(
      "took longer than 0.1 s to run the clean step go, and was given up",
    );
  });

  test("a step that is aborted is told so, and its programs end", async () => {
    await using rig = await loadedRig({
      "acme.ts": stepPlugin(`
        const running = context.system.run(["sh", "-c", "echo $$ > " + import.meta.dir + "/pid; sleep 1000"],
          { timeout: Infinity, signal: context.signal });
        context.report({ phase: "sleeping", done: null, total: null, unit: "", rate: null });
        await running;`),
    });
    const stop = new AbortController();
    const running = rejection(rig.managers.executeStep("clean", "go", stepCall({ signal: stop.signal })));
    const pid = async () => Number(await readFile(`${rig.directory}/pid`, "utf8").catch(() => ""));
    await until(async () => (await pid()) > 0);
    stop.abort(new Error("told to stop"));
    expect(await running).toBeInstanceOf(Error);
    const child = await pid();
    await until(() => !isAlive(child));
  });

  test("with the agent it ends, whatever it is doing", async () => {
    const rig = await loadedRig({
      "acme.ts": stepPlugin(`
        context.report({ phase: String(process.pid), done: null, total: null, unit: "", rate: null });
        await context.system.clock.sleep(0.01);
        for (;;) {}`),
    });
    const call = stepCall();
    const running = rejection(rig.managers.executeStep("clean", "go", call));
    await until(() => call.progress.length > 0);
    await rig[Symbol.asyncDispose]();
    expect(String(await running)).toContain("it ended by itself, with ended by SIGKILL");
    expect(isAlive(Number(call.progress[0]?.phase))).toBe(false);
  });

  test("one that cannot be evaluated is left out, and no step runs then, because its own might count", async () => {
    const evaluations = {
      throws: "throw new Error('no such bus');",
      exits: "process.exit(0);",
      "is no number": "return 'high' as any;",
      hangs: "return new Promise(() => {}) as any;",
    };
    for (const [what, body] of Object.entries(evaluations)) {
      await using rig = await loadedRig(
        { "acme.ts": plugin("").replace("return Support.serviceProvider;", body) },
        {
          values: { hardware_manager_timeout: PATIENCE },
          factories: [builtIn({ getBmcAddress: async () => "192.0.2.1", steps: async () => [] })],
        },
      );
      expect(rig.managers.broken).toMatchObject([{ manager: { className: "Acme" }, kind: null }]);
      expect(await rig.managers.dispatch("getBmcAddress"), what).toBe("192.0.2.1");
      expect(await rig.managers.steps("clean", {}, [])).toEqual({});
      const refused = await rejection(rig.managers.executeStep("clean", "any", stepCall()));
      expect(refused).toBeInstanceOf(HardwareManagerConfigurationError);
      expect(String(refused)).toContain("Acme");
    }
  });

  test("steps of the wrong shape: the list goes out without them, and the refusal names plug-in, step and field", async () => {
    const wrong: [string, string][] = [
      ["return 5 as any;", "Acme.getCleanSteps must return a list, not of type number"],
      [
        "return [{ step: 'go', priority: 'high', run() {} }] as any;",
        '"priority" must be an integer of 0 or more, not "high"',
      ],
      ["return [{ step: 'go' }] as any;", 'Acme.getCleanSteps, step 1 (go): "run" is missing'],
      ["return [{ step: 'go', run: 'later' }] as any;", '"run" must be a function, not string'],
      ["return [{ run() {} }] as any;", 'Acme.getCleanSteps, step 1: "step" is missing'],
      ["return [{ step: 'no such name', run() {} }] as any;", '"step" must be a string like'],
      ["return [null] as any;", "Acme.getCleanSteps, step 1"],
      [
        "return [defineStep({ step: 'go', argsinfo: { a: {} }, run() {} } as any)];",
        '"argsinfo.a.description" is missing',
      ],
      ["throw new Error('not now');", "not now"],
    ];
    await using rig = await pluginRig(
      {
        "acme.ts": plugin(
          `getCleanSteps(node) { switch (node.uuid) { ${wrong
            .map(([body], index) => `case "${index}": { ${body} }`)
            .join("\n")} default: return []; } }`,
        ),
      },
      {
        factories: [
          builtIn({
            steps: async (kind) => [
              {
                step: kind,
                priority: 0,
                interface: "deploy",
                reboot_requested: false,
                run: async () => "ran",
              },
            ],
          }),
        ],
      },
    );
    await rig.managers.load();
    for (const [index, [, expected]] of wrong.entries()) {
      expect(await rig.managers.steps("clean", { uuid: String(index) }, [])).toMatchObject({ BuiltIn: [{}] });
      const refused = rig.managers.executeStep("clean", "clean", stepCall());
      expect(String(await rejection(refused))).toContain(expected);
    }
    // The deploy steps are as they should be.
    expect(await rig.managers.executeStep("deploy", "deploy", stepCall())).toBe("ran");
    await rig.managers.steps("clean", { uuid: "mended" }, []);
    expect(await rig.managers.executeStep("clean", "clean", stepCall())).toBe("ran");
  });

  test("facts of the wrong shape come from the next manager; decisions about disks do not", async () => {
    const nic = { name: "eth0" } as NetworkInterface;
    await using rig = await loadedRig(
      {
        "acme.ts": plugin(`
          async listNetworkInterfaces() { return [{ name: "eth0" }] as any; }
          async getCpus() { return { count: "many" } as any; }
          async listBlockDevices() { return [{ name: "/dev/sda", size: "big" }] as any; }
          async getOsInstallDevice() { return "sda"; }
          async filterDevice(device, kind) { throw new Error("broken filter"); }`),
      },
      {
        factories: [
          builtIn({
            listNetworkInterfaces: async () => [nic],
            getCpus: async () => ({ count: 4 }) as never,
            listBlockDevices: async () => [],
            getOsInstallDevice: async () => "/dev/sdb",
          }),
        ],
      },
    );
    expect(await rig.managers.dispatch("listNetworkInterfaces")).toEqual([nic]);
    expect(await rig.managers.dispatch("getCpus")).toMatchObject({ count: 4 });
    const errors = rig.records.filter(({ level }) => level === "ERROR").map(({ message }) => message);
    expect(errors).toContainEqual(
      expect.stringContaining('Acme.list_network_interfaces: "[0].mac_address" is missing'),
    );
    expect(errors).toContainEqual(
      expect.stringContaining('Acme.get_cpus: "count" must be an integer of 0 or more, not "many"'),
    );
    expect(await thrower(rig.managers.dispatch("listBlockDevices"))).toThrow(
      'Acme.list_block_devices: "[0].size" must be an integer of 0 or more, not "big"',
    );
    expect(await thrower(rig.managers.dispatch("getOsInstallDevice"))).toThrow("Acme.get_os_install_device");
    // A filter that fails might have hidden the disk.
    expect(await rig.managers.filterDevices("disk", [disk({ name: "/dev/sda" })])).toEqual([]);
    expect(await rig.managers.filterDevices("interface", [nic])).toEqual([nic]);
  });

  test("an answer with fields left out has them null", async () => {
    await using rig = await loadedRig({
      "acme.ts": plugin(`
        async listNetworkInterfaces() { return [{ name: "ib0", mac_address: "aa:bb:cc:dd:ee:ff" }] as any; }
        async filterDevice(device, kind) { return kind === "disk" ? { ...device, model: "hidden" } : null; }`),
    });
    const [nic] = await rig.managers.dispatch("listNetworkInterfaces");
    expect(nic).toMatchObject({
      name: "ib0",
      has_carrier: false,
      lldp: null,
      ipv4_address: null,
      driver: null,
    });
    const [shown] = await rig.managers.filterDevices<BlockDevice>("disk", [disk({ name: "/dev/sda" })]);
    expect(shown).toMatchObject({ name: "/dev/sda", model: "hidden" });
  });
});

/** What a step is refused with. */
async function refusal(rig: PluginRig): Promise<string> {
  const refused = await rejection(rig.managers.executeStep("clean", "go", stepCall()));
  expect(refused).toBeInstanceOf(HardwareManagerConfigurationError);
  return String(refused);
}

// The agent serves, and refuses steps: "a plug-in that throws … never takes the agent down".
describe("files that do not load", () => {
  const cases: [string, string, string][] = [
    ["a mistake in the language", "export default class {\n  foo( {\n}", "line 3 column 1: "],
    ["an import that is not there", 'import "./missing.ts"; export default 1;', "./missing.ts"],
    ["an error while it is run", "const x = JSON.parse('null');\nx.y;\nexport default 1;", "line 2 column "],
    [
      "no default export",
      "export const a = 1;",
      'its default export must be a class that extends HardwareManager of "ironic-agent", not missing',
    ],
    ["another class", "export default class Foo {}", "not the function Foo"],
    [
      "no evaluation",
      'import { HardwareManager } from "ironic-agent"; export default class A extends HardwareManager {}',
      "the method evaluateHardwareSupport is missing",
    ],
    ["an end of its own", "process.exit(4);", "it ended by itself, with exit code 4"],
    [
      "a constructor that throws",
      plugin("constructor(c) { super(c); throw new Error('no licence'); }"),
      "no licence",
    ],
    [
      "a version that is none",
      plugin("override readonly version = 7 as any;"),
      '"version" must be a string that is not empty, not 7',
    ],
  ];
  test.each(cases)("%s", async (_, source, reason) => {
    await using rig = await loadedRig({ "10-good.ts": plugin(""), "20-bad.ts": source });
    const text = `20-bad.ts: the plug-in ${rig.directory}/20-bad.ts cannot be loaded: `;
    const refused = await refusal(rig);
    expect(refused).toContain(text);
    expect(refused).toContain(reason);
    // The others are there, and the reason is not only with the refusal.
    expect(rig.managers.ranking().map(({ className }) => className)).toEqual(["Acme", "BuiltIn"]);
    const errors = rig.records.filter(({ level }) => level === "ERROR").map(({ message }) => message);
    expect(errors).toEqual([expect.stringContaining(reason)]);
    expect(errors[0]).toStartWith("20-bad.ts is left out: the plug-in ");
  });

  test("one that hangs while it is loaded", async () => {
    await using rig = await loadedRig(
      { "a.ts": "for (;;) {}" },
      { values: { hardware_manager_timeout: PATIENCE } },
    );
    expect(await refusal(rig)).toContain("took longer than 4 s to be loaded");
  });

  test("a class name that is taken", async () => {
    await using two = await loadedRig({ "a.ts": plugin(""), "b.js": plugin("").replaceAll(": number", "") });
    expect(await refusal(two)).toContain(`its class name Acme is already that of ${two.directory}/a.ts`);
    await using own = await loadedRig({ "a.ts": plugin("", "GenericHardwareManager") });
    expect(await refusal(own)).toContain("is the name of a built-in hardware manager");
  });

  test("a link that leads nowhere", async () => {
    await using rig = await pluginRig({ "a.ts": plugin("") });
    await symlink("/no/such/file", `${rig.directory}/vendor.ts`);
    await symlink("/no/such/file", `${rig.directory}/vendor`);
    await rig.managers.load();
    expect(rig.managers.broken.map(({ manager, reason }) => [manager.className, reason])).toEqual(
      ["vendor", "vendor.ts"].map((name) => [
        name,
        `the plug-in ${rig.directory}/${name} cannot be loaded: it is a link to a file that is not there`,
      ]),
    );
  });

  test("a file named like another plug-in's class counts all the same", async () => {
    await using rig = await loadedRig({ Acme: "#!/no/such/interpreter\n", "b.ts": plugin("") });
    expect(await refusal(rig)).toContain(`the plug-in ${rig.directory}/Acme cannot be loaded: `);
  });

  test("one that is changed while the agent runs is loaded anew when its process has ended, if it is still the same version", async () => {
    await using rig = await loadedRig({ "acme.ts": stepPlugin("process.exit(1);") });
    await writeFile(`${rig.directory}/acme.ts`, stepPlugin("return 'mended';"));
    await rejection(rig.managers.executeStep("clean", "go", stepCall()));
    expect(await rig.managers.executeStep("clean", "go", stepCall())).toBe("mended");
  });

  test("one whose version is changed while the agent runs is not used any more when its process has ended", async () => {
    await using rig = await loadedRig({ "acme.ts": stepPlugin("process.exit(1);") });
    await writeFile(
      `${rig.directory}/acme.ts`,
      stepPlugin("return 1;").replace("getCleanSteps", "override version = '2'; getCleanSteps"),
    );
    await rejection(rig.managers.executeStep("clean", "go", stepCall()));
    expect(await thrower(rig.managers.executeStep("clean", "go", stepCall()))).toThrow(
      "is no longer what it was when the agent started: restart the agent",
    );
  });
});

test("what no manager has is not found, by the reference's name", async () => {
  await using rig = await loadedRig({
    "acme.ts": stepPlugin(`return context.dispatch("getBmcV6Address");`),
  });
  const error = await rejection(rig.managers.executeStep("clean", "go", stepCall()));
  expect(error).toBeInstanceOf(HardwareManagerMethodNotFound);
  expect(String(error)).toEndWith("Could not find method: get_bmc_v6address");
});
