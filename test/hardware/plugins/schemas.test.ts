import { describe, expect, test } from "bun:test";
import type { Static } from "@sinclair/typebox";
import fc from "fast-check";
import { HardwareManagerConfigurationError } from "../../../src/errors.ts";
import type { LldpData } from "../../../src/hardware/lldp.ts";
import type {
  BlockDevice,
  BootInfo,
  Cpu,
  Inventory,
  Memory,
  NetworkInterface,
  SystemLogs,
  SystemVendor,
  UsbDevice,
} from "../../../src/hardware/manager.ts";
import { checkStep } from "../../../src/hardware/plugins/check-step.ts";
import { byWireName, PLUGIN_METHODS, type PluginMethod } from "../../../src/hardware/plugins/methods.ts";
import type * as schemas from "../../../src/hardware/plugins/schemas.ts";
import { checked, pluginStep, programDescription } from "../../../src/hardware/plugins/schemas.ts";
import { apiError } from "../../../src/hardware/plugins/wire-error.ts";
import { wireName } from "../../../src/hardware/wire-name.ts";

/** The error, which must be of this class: anything else is a crash. */
function complaint(check: () => unknown): string | null {
  try {
    check();
    return null;
  } catch (error) {
    if (!(error instanceof HardwareManagerConfigurationError)) throw error;
    return error.details;
  }
}

describe("anything at all", () => {
  const anything = fc.anything({ withBigInt: true, withDate: true, withMap: true, withTypedArray: true });

  test("as a step is a step or a clear error", () => {
    fc.assert(
      fc.property(anything, (value) => {
        const wrong = complaint(() => checkStep(value, "Acme.getCleanSteps, step 1"));
        if (wrong !== null) expect(wrong).toStartWith("Acme.getCleanSteps, step 1");
      }),
    );
  });

  test("as the answer of any method is the right type or a clear error", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...(Object.keys(PLUGIN_METHODS) as (keyof typeof PLUGIN_METHODS)[])),
        anything,
        (name, value) => {
          const method: PluginMethod = PLUGIN_METHODS[name];
          const wrong = complaint(() => checked(method.result([null, "disk"]), value, `Acme.${name}`));
          if (wrong !== null) expect(wrong).toStartWith(`Acme.${name}: `);
        },
      ),
    );
  });
});

test("a right description with one member made wrong is refused by that member's name", () => {
  const right = {
    protocol: 1,
    name: "Acme",
    version: "1",
    support: 3,
    steps: {
      clean: [
        {
          step: "go",
          priority: 1,
          interface: "deploy",
          reboot_requested: false,
          abortable: true,
          timeout: 5,
        },
      ],
    },
    methods: ["get_bmc_address"],
    initialize: false,
  };
  expect(complaint(() => checked(programDescription, right, "Acme"))).toBeNull();
  const members: (readonly (string | number)[])[] = [
    ...Object.keys(right).map((key) => [key]),
    ...Object.keys(right.steps.clean[0]!).map((key) => ["steps", "clean", 0, key]),
    ["methods", 0],
  ];
  const shown = (path: readonly (string | number)[]) =>
    path.map((part, i) => (typeof part === "number" ? `[${part}]` : i === 0 ? part : `.${part}`)).join("");
  fc.assert(
    fc.property(fc.constantFrom(...members), (path) => {
      const copy = structuredClone(right) as never;
      const parent = path.slice(0, -1).reduce((value: never, key) => value[key], copy);
      (parent as Record<string, unknown>)[path.at(-1)!] = { wrong: "entirely" };
      const wrong = complaint(() => checked(programDescription, copy, "Acme"));
      // `steps` takes no members but the kinds, so there the wrong member is inside.
      expect(wrong).toContain(
        path.length === 1 && path[0] === "steps" ? '"steps.wrong"' : `"${shown(path)}" must be`,
      );
    }),
  );
});

test("numbers JSON cannot hold, and values it cannot hold, are told of", () => {
  const step = { step: "go", run() {} };
  expect(complaint(() => checkStep({ ...step, priority: Number.NaN }, "x"))).toContain('"priority"');
  expect(complaint(() => checkStep({ ...step, priority: 1.5 }, "x"))).toContain(
    '"priority" must be an integer',
  );
  expect(complaint(() => checkStep({ ...step, priority: -1 }, "x"))).toContain("of 0 or more");
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  expect(complaint(() => checked(pluginStep, circular, "Acme"))).toContain("nothing JSON can hold");
});

test("the reference's names and ours are the same methods", () => {
  for (const name of Object.keys(PLUGIN_METHODS) as (keyof typeof PLUGIN_METHODS)[])
    expect(byWireName(wireName(name))).toBe(name);
  expect(wireName("getBmcV6Address")).toBe("get_bmc_v6address");
  expect(byWireName("no_such_method")).toBeNull();
});

test("no type of an error that means something else to conductors gets through", () => {
  for (const type of ["TypeError", "", "not a name", "x", null, 5] as const)
    expect(apiError(type, "d")).toMatchObject({ type: "CommandExecutionError", details: "d" });
  expect(apiError("AcmeError", "d", { code: 200 })).toMatchObject({ type: "AcmeError", code: 500 });
});

test("what a schema lets through is what the type says", () => {
  // The compiler does the work: an answer that passes may be used as its record without looking again.
  const records = {
    networkInterface: (value: Static<typeof schemas.networkInterface>): NetworkInterface => value,
    cpu: (value: Static<typeof schemas.cpu>): Cpu => value,
    memory: (value: Static<typeof schemas.memory>): Memory => value,
    systemVendor: (value: Static<typeof schemas.systemVendor>): SystemVendor => value,
    bootInfo: (value: Static<typeof schemas.bootInfo>): BootInfo => value,
    blockDevice: (value: Static<typeof schemas.blockDevice>): BlockDevice => value,
    usbDevice: (value: Static<typeof schemas.usbDevice>): UsbDevice => value,
    inventory: (value: Static<typeof schemas.inventory>): Inventory => value,
    systemLogs: (value: Static<typeof schemas.systemLogs>): SystemLogs => value,
    lldpData: (value: Static<typeof schemas.lldpData>): LldpData => value,
  };
  const value = {} as never;
  for (const convert of Object.values(records)) expect(convert(value)).toBe(value);
});
