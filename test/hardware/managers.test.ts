import { describe, expect, test } from "bun:test";
import {
  BlockDeviceError,
  CleaningError,
  HardwareManagerMethodNotFound,
  HardwareManagerNotFound,
  IncompatibleHardwareMethodError,
  VersionMismatch,
} from "../../src/errors.ts";
import type { HardwareManager } from "../../src/hardware/manager.ts";
import type { HardwareManagers } from "../../src/hardware/managers.ts";
import type { Json, JsonObject } from "../../src/json.ts";
import type { Step } from "../../src/steps/step.ts";
import { rejection, thrower } from "../support/rejection.ts";
import { managersOn } from "./support.ts";

type Given = Partial<HardwareManager> & { className: string; support?: number };

/** A manager with just the given methods. */
function manager({ support = 1, ...given }: Given): HardwareManager {
  return {
    name: given.className,
    version: "1.0",
    evaluateHardwareSupport: async () => support,
    ...given,
  };
}

async function load(...given: Given[]): Promise<HardwareManagers> {
  const { managers } = managersOn(
    {},
    {},
    given.map((one) => () => manager(one)),
  );
  await managers.load();
  return managers;
}

function step(name: string, priority = 0, run: Step["run"] = async () => null): Step {
  return { step: name, priority, interface: "deploy", reboot_requested: false, run };
}

const call = () => ({
  node: { uuid: "u" } as JsonObject,
  ports: [] as Json,
  args: {} as JsonObject,
  signal: new AbortController().signal,
  report: () => {},
});

async function incompatible(): Promise<never> {
  throw new IncompatibleHardwareMethodError("not mine");
}

describe("loading", () => {
  // control-plane 11.70
  test("all are evaluated once, then initialized by support, equals in the order they were found", async () => {
    const events: string[] = [];
    const watched = (className: string, support: number): Given => ({
      className,
      evaluateHardwareSupport: async () => {
        events.push(`evaluate ${className}`);
        return support;
      },
      initialize: async () => {
        events.push(`initialize ${className}`);
      },
    });
    const managers = await load(
      watched("A", 1),
      watched("None", 0),
      watched("B", 3),
      watched("C", 1),
      watched("D", 7),
    );
    await managers.steps("clean", {}, []);
    expect(events).toEqual([
      "evaluate A",
      "evaluate None",
      "evaluate B",
      "evaluate C",
      "evaluate D",
      "initialize D",
      "initialize B",
      "initialize A",
      "initialize C",
    ]);
  });

  test("no manager for this machine is an error that names those asked", async () => {
    expect(await thrower(load({ className: "A", support: 0 }, { className: "B", support: -1 }))).toThrow(
      new HardwareManagerNotFound("none of these supports this machine: A, B"),
    );
  });
});

test("those who only look evaluate, and initialize nothing", async () => {
  let initialized = 0;
  const { managers } = managersOn({}, {}, [
    () =>
      manager({
        className: "A",
        initialize: async () => {
          initialized += 1;
        },
        getBmcAddress: async () => "192.0.2.1",
      }),
  ]);
  await managers.evaluate();
  expect(await managers.dispatch("getBmcAddress")).toBe("192.0.2.1");
  expect(initialized).toBe(0);
});

test("an aborted load ends between two managers, and its signal reaches the initialization", async () => {
  const stop = new AbortController();
  const events: string[] = [];
  const watched = (className: string) => () =>
    manager({
      className,
      initialize: async (signal) => {
        events.push(`${className} ${signal === stop.signal}`);
        stop.abort(new Error("told to stop"));
      },
    });
  const { managers } = managersOn({}, {}, [watched("A"), watched("B")]);
  expect(String(await rejection(managers.load(stop.signal)))).toContain("told to stop");
  expect(events).toEqual(["A true"]);
});

describe("dispatch to one", () => {
  // control-plane 11.71
  // hardware 13.56
  test("the first that has the method answers; null is an answer", async () => {
    const managers = await load(
      { className: "Low", getBmcAddress: async () => "192.0.2.1" },
      { className: "Without", support: 3 },
      { className: "Null", support: 2, getBmcAddress: async () => null },
    );
    expect(await managers.dispatch("getBmcAddress")).toBeNull();
  });

  test("incompatible hands over to the next", async () => {
    const managers = await load(
      { className: "Vendor", support: 2, getBmcAddress: incompatible },
      { className: "Generic", getBmcAddress: async () => "192.0.2.1" },
    );
    expect(await managers.dispatch("getBmcAddress")).toBe("192.0.2.1");
  });

  test("other errors end it", async () => {
    const managers = await load(
      {
        className: "Vendor",
        support: 2,
        listBlockDevices: async () => {
          throw new BlockDeviceError("broken");
        },
      },
      { className: "Generic", listBlockDevices: async () => [] },
    );
    expect(await thrower(managers.dispatch("listBlockDevices"))).toThrow(new BlockDeviceError("broken"));
  });

  // control-plane 11.72
  test("nobody: the method is named as the reference names it", async () => {
    const managers = await load({ className: "Vendor", listBlockDevices: incompatible });
    const failed = managers.dispatch("listBlockDevices");
    expect(await rejection(failed)).toBeInstanceOf(HardwareManagerMethodNotFound);
    expect(await thrower(failed)).toThrow("Could not find method: list_block_devices");
  });

  test("arguments arrive, and the method may use its manager", async () => {
    class Counting implements HardwareManager {
      readonly className = "Counting";
      readonly name = "counting";
      readonly version = "1";
      readonly #seen: unknown[] = [];
      async evaluateHardwareSupport() {
        return 1;
      }
      async getOsInstallDevice(options?: { readonly refresh?: boolean }) {
        this.#seen.push(options);
        return JSON.stringify(this.#seen);
      }
    }
    const { managers } = managersOn({}, {}, [() => new Counting()]);
    await managers.load();
    expect(await managers.dispatch("getOsInstallDevice", { refresh: true })).toBe('[{"refresh":true}]');
  });
});

describe("asking those that come after", () => {
  test("a manager adds to the next one's answer", async () => {
    const { managers } = managersOn({}, {}, [
      () => manager({ className: "Generic", getBmcAddress: async () => "192.0.2.1" }),
      (context) => {
        const vendor = manager({
          className: "Vendor",
          support: 2,
          getBmcAddress: async () => `vendor ${await context.dispatchAfter(vendor, "getBmcAddress")}`,
        });
        return vendor;
      },
    ]);
    await managers.load();
    expect(await managers.dispatch("getBmcAddress")).toBe("vendor 192.0.2.1");
  });

  test("after the last there is nobody", async () => {
    const { managers } = managersOn({}, {}, [
      (context) => {
        const only = manager({
          className: "Only",
          getBmcAddress: () => context.dispatchAfter(only, "getBmcAddress"),
        });
        return only;
      },
    ]);
    await managers.load();
    expect(await thrower(managers.dispatch("getBmcAddress"))).toThrow(
      "Could not find method: get_bmc_address",
    );
  });
});

describe("methods that only plug-ins know", () => {
  const own = (className: string, answer: () => Promise<Json>, support = 1): Given => ({
    className,
    support,
    ownMethods: { greet: answer },
  });

  test("are asked like the others: by support, and one may pass", async () => {
    const managers = await load(
      own("Low", async () => "low"),
      own("High", incompatible, 2),
      { className: "Without", support: 3, ownMethods: {} },
    );
    expect(await managers.dispatchOwn("greet", [])).toBe("low");
  });

  test("nobody: the name as it was given, and nothing of the object's own", async () => {
    const managers = await load(own("A", incompatible));
    for (const name of ["greet", "toString", "constructor"])
      expect(await thrower(managers.dispatchOwn(name, []))).toThrow(`Could not find method: ${name}`);
  });
});

describe("filtering devices", () => {
  // control-plane 10, filter_device
  test("the first manager with an opinion hides or changes; without one the device stays", async () => {
    const [a, b, c] = ["a", "b", "c"].map((name) => ({ name: `/dev/${name}` }) as never);
    const managers = await load(
      { className: "Low", filterDevice: async (device) => ({ ...device, model: "seen by low" }) as never },
      {
        className: "High",
        support: 2,
        filterDevice: async (device, kind) => {
          expect(kind).toBe("disk");
          if ("name" in device && device.name === "/dev/a") return null;
          if ("name" in device && device.name === "/dev/b")
            return { ...device, model: "seen by high" } as never;
          return incompatible();
        },
      },
    );
    expect(await managers.filterDevices("disk", [a, b, c] as never[])).toEqual([
      { name: "/dev/b", model: "seen by high" },
      { name: "/dev/c", model: "seen by low" },
    ] as never);
    expect(await (await load({ className: "None" })).filterDevices("disk", [a] as never[])).toEqual([
      a,
    ] as never);
  });

  test("a filter that fails fails the listing", async () => {
    const managers = await load({
      className: "A",
      filterDevice: async () => {
        throw new BlockDeviceError("broken");
      },
    });
    expect(await thrower(managers.filterDevices("disk", [{}] as never[]))).toThrow(
      new BlockDeviceError("broken"),
    );
  });
});

describe("dispatch to all", () => {
  test("answers by class name, without those that pass", async () => {
    const managers = await load(
      { className: "A", getBmcAddress: async () => null },
      { className: "B", support: 2, getBmcAddress: incompatible },
      { className: "C", support: 3, getBmcAddress: async () => "192.0.2.1" },
      { className: "D" },
    );
    expect([...(await managers.dispatchAll("getBmcAddress"))]).toEqual([
      ["C", "192.0.2.1"],
      ["A", null],
    ]);
  });

  test("nobody is the same error as for one", async () => {
    const managers = await load({ className: "A", getBmcAddress: incompatible }, { className: "B" });
    expect(await thrower(managers.dispatchAll("getBmcAddress"))).toThrow(
      "Could not find method: get_bmc_address",
    );
  });
});

describe("versions", () => {
  const two: Given[] = [
    { className: "A", name: "generic_hardware_manager", version: "1.2" },
    { className: "B", name: "site", version: "7" },
  ];

  test("names to versions; equal names keep the last", async () => {
    expect((await load(...two)).versions()).toEqual({ generic_hardware_manager: "1.2", site: "7" });
    const same = await load(
      { className: "A", name: "x", version: "1", support: 2 },
      { className: "B", name: "x", version: "2" },
    );
    expect(same.versions()).toEqual({ x: "2" });
  });

  // hardware 13.55
  test("the whole map must be equal; null and absent are not checked", async () => {
    const managers = await load(...two);
    managers.checkVersions(null);
    managers.checkVersions(undefined);
    managers.checkVersions({ site: "7", generic_hardware_manager: "1.2" });
    const different: Json[] = [
      {},
      { site: "7" },
      { site: "7", generic_hardware_manager: "1.1" },
      { site: "7", generic_hardware_manager: "1.2", more: "1" },
      "1.2",
      [],
    ];
    for (const provided of different) expect(() => managers.checkVersions(provided)).toThrow(VersionMismatch);
    expect(() => managers.checkVersions({ site: "8" })).toThrow(
      "Current versions: {'generic_hardware_manager': '1.2', 'site': '7'}, versions used by ironic: {'site': '8'}",
    );
  });
});

describe("step listing", () => {
  const listing = (steps: readonly Step[]) => ({ steps: async () => steps });

  // control-plane 11.73, 11.74; hardware 13.54
  test("support decides between equal names, then priority, then the class name", async () => {
    const managers = await load(
      { className: "Zeta", ...listing([step("by_support", 99), step("by_priority", 5), step("by_name", 1)]) },
      { className: "Alpha", ...listing([step("by_priority", 6), step("by_name", 1)]) },
      { className: "Vendor", support: 2, ...listing([step("by_support", 1)]) },
      { className: "Loser", ...listing([step("by_support", 100)]) },
    );
    const steps = await managers.steps("clean", {}, []);
    const names = Object.fromEntries(
      Object.entries(steps).map(([name, list]) => [name, list.map((one) => one.step)]),
    );
    expect(names).toEqual({ Vendor: ["by_support"], Alpha: ["by_priority", "by_name"] });
  });

  test("only what Ironic knows goes out", async () => {
    const full = {
      ...step("erase", 10),
      abortable: true,
      argsinfo: { force: { description: "now", required: false } },
      helper: "not for the wire",
    };
    const managers = await load({ className: "A", ...listing([full, step("plain")]) });
    expect(await managers.steps("clean", {}, [])).toEqual({
      A: [
        {
          step: "erase",
          priority: 10,
          interface: "deploy",
          reboot_requested: false,
          abortable: true,
          argsinfo: { force: { description: "now", required: false } },
        },
        { step: "plain", priority: 0, interface: "deploy", reboot_requested: false },
      ],
    });
  });

  test("managers see kind, node and ports", async () => {
    const managers = await load({
      className: "A",
      steps: async (kind, node, ports) => [step(`${kind} ${node.uuid} ${JSON.stringify(ports)}`)],
    });
    const [listed] = (await managers.steps("deploy", { uuid: "u" }, [1])).A ?? [];
    expect(listed?.step).toBe("deploy u [1]");
  });
});

describe("executing a step", () => {
  test("the first manager that has it runs it, with arguments and context", async () => {
    const managers = await load(
      { className: "Low", steps: async () => [step("go", 99, async () => "low")] },
      {
        className: "High",
        support: 2,
        getOsInstallDevice: async (options) => `/dev/sda ${options?.refresh}`,
        steps: async () => [
          step("go", 0, async (context, args) => [
            args.seconds ?? null,
            context.node.uuid ?? null,
            await context.installDevice({ refresh: true }),
          ]),
        ],
      },
    );
    const result = await managers.executeStep("clean", "go", { ...call(), args: { seconds: 5 } });
    expect(result).toEqual([5, "u", "/dev/sda true"]);
  });

  test("one that passes hands over; nobody is an error with the step's name", async () => {
    const managers = await load(
      {
        className: "Vendor",
        support: 2,
        steps: async () => [step("go", 0, incompatible), step("alone", 0, incompatible)],
      },
      { className: "Generic", steps: async () => [step("go", 0, async () => "generic")] },
    );
    expect(await managers.executeStep("clean", "go", call())).toBe("generic");
    expect(await thrower(managers.executeStep("clean", "alone", call()))).toThrow(
      "Could not find method: alone",
    );
    expect(await rejection(managers.executeStep("clean", "unknown", call()))).toBeInstanceOf(
      HardwareManagerMethodNotFound,
    );
  });

  test("a step may run the one below it, with arguments of its own", async () => {
    const managers = await load(
      {
        className: "Generic",
        steps: async () => [step("go", 0, async (_, args) => ["generic", args.a ?? null])],
      },
      {
        className: "Vendor",
        support: 2,
        steps: async () => [
          step("go", 0, async (context) => ["vendor", (await context.next?.({ a: 2 })) ?? null]),
        ],
      },
    );
    expect(await managers.executeStep("clean", "go", { ...call(), args: { a: 1 } })).toEqual([
      "vendor",
      ["generic", 2],
    ]);
  });

  test("a failing step fails as it is, and nobody else tries", async () => {
    const managers = await load(
      {
        className: "Vendor",
        support: 2,
        steps: async () => [
          step("go", 0, async () => {
            throw new CleaningError("disk on fire");
          }),
        ],
      },
      { className: "Generic", steps: async () => [step("go")] },
    );
    expect(await thrower(managers.executeStep("clean", "go", call()))).toThrow(
      new CleaningError("disk on fire"),
    );
  });
});

describe("the inventory", () => {
  async function counting(failures = 0) {
    let collections = 0;
    const managers = await load({
      className: "A",
      listHardwareInfo: async () => {
        collections += 1;
        if (collections <= failures) throw new BlockDeviceError("not now");
        return { hostname: `collection ${collections}` } as never;
      },
    });
    return async (useCache: boolean) => (await managers.inventory({ useCache })).hostname;
  }

  // hardware 13.10
  test("the first one is remembered; asking again neither uses nor replaces it", async () => {
    const inventory = await counting();
    expect(await inventory(false)).toBe("collection 1");
    expect(await inventory(true)).toBe("collection 1");
    expect(await inventory(false)).toBe("collection 2");
    expect(await inventory(true)).toBe("collection 1");
  });

  test("two at the same time collect once", async () => {
    const inventory = await counting();
    expect(await Promise.all([inventory(true), inventory(true)])).toEqual(["collection 1", "collection 1"]);
  });

  test("a failed one is not remembered", async () => {
    const inventory = await counting(1);
    expect(await thrower(inventory(true))).toThrow("not now");
    expect(await inventory(true)).toBe("collection 2");
  });
});
