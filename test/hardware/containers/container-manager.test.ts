// hardware 13.92, control-plane 11.100

import { describe, expect, test } from "bun:test";
import { Config } from "../../../src/config/config.ts";
import type { OptionValues } from "../../../src/config/options.ts";
import {
  ContainerNotPermittedError,
  HardwareManagerConfigurationError,
  InvalidCommandParamsError,
} from "../../../src/errors.ts";
import { BUILT_IN_MANAGERS } from "../../../src/hardware/built-in.ts";
import type { ManagerFactory } from "../../../src/hardware/manager.ts";
import { applySettings } from "../../../src/ironic/lookup-settings.ts";
import type { JsonObject } from "../../../src/json.ts";
import type { StepKind } from "../../../src/steps/step.ts";
import { type RecordedProgram, recordedSystem } from "../../support/recorded-system.ts";
import { rejection, thrower } from "../../support/rejection.ts";
import { managersOn, RAMDISK_FILES } from "../support.ts";

const PATH = "/etc/ironic-python-agent.d/mysteps.yaml";
const STEP = {
  name: "burn",
  image: "quay.io/burn:1",
  interface: "deploy",
  priority: 20,
  reboot_requested: true,
  abortable: false,
};

type Machine = {
  readonly steps?: readonly object[];
  readonly programs?: Record<string, RecordedProgram>;
  readonly values?: Partial<OptionValues>;
  readonly more?: readonly ManagerFactory[];
};

async function loaded({ steps = [], programs = { podman: {} }, values = {}, more = [] }: Machine = {}) {
  const { system, managers } = managersOn(
    { files: { ...RAMDISK_FILES, [PATH]: JSON.stringify({ steps }) }, programs },
    { disk_wait_attempts: 0, ...values },
    [...BUILT_IN_MANAGERS, ...more],
  );
  await managers.load();
  const ran = () =>
    system.calls.map((argv) => argv.join(" ")).filter((line) => /^(podman|docker) (pull|run)/.test(line));
  const execute = (name: string, args: JsonObject = {}, kind: StepKind = "clean") => {
    const signal = new AbortController().signal;
    return managers.executeStep(kind, name, { node: {}, ports: [], args, signal, report: () => undefined });
  };
  return { system, managers, ran, execute };
}

describe("the manager", () => {
  const versions = async (programs: Record<string, RecordedProgram>) =>
    (await loaded({ programs })).managers.versions();

  test("is there where podman or docker works", async () => {
    const version = { ContainerHardwareManager: "2", generic_hardware_manager: "1.2" };
    expect(await versions({ podman: {} })).toEqual(version);
    expect(await versions({ docker: {} })).toEqual(version);
    expect(await versions({ podman: { exitCode: 125 }, docker: {} })).toEqual(version);
    expect(await versions({})).toEqual({ generic_hardware_manager: "1.2" });
    expect(await versions({ podman: { exitCode: 125 } })).toEqual({ generic_hardware_manager: "1.2" });
  });

  test("lists its own steps and those of the file, with a priority of theirs in cleaning only", async () => {
    const { managers } = await loaded({ steps: [STEP] });
    for (const kind of ["clean", "deploy", "service"] as const) {
      const { ContainerHardwareManager: steps } = await managers.steps(kind, {}, []);
      const own = {
        ...{ priority: 0, interface: "deploy", reboot_requested: false, abortable: true },
        argsinfo: {
          container_url: { description: expect.any(String), required: true },
          pull_options: { description: expect.any(String), required: false },
          run_options: { description: expect.any(String), required: false },
        },
      };
      expect(steps).toEqual([
        { step: "generic_container_step", ...own },
        { step: "container_clean_step", ...own },
        {
          step: "burn",
          priority: kind === "clean" ? 20 : 0,
          interface: "deploy",
          reboot_requested: true,
          abortable: false,
        },
      ] as never);
    }
  });
});

describe("a step of the file", () => {
  test("fetches its image and runs it, with its options, in any kind of operation", async () => {
    const steps = [{ ...STEP, pull_options: "--quiet", run_options: ["--rm", "-v /dev:/dev"] }];
    for (const kind of ["clean", "deploy", "service"] as const) {
      const { execute, ran } = await loaded({ steps });
      expect(await execute("burn", {}, kind)).toBeNull();
      expect(ran()).toEqual([
        "podman pull --quiet quay.io/burn:1",
        "podman run --rm -v /dev:/dev quay.io/burn:1",
      ]);
    }
  });

  test("has the configured runner and options where it says nothing, and takes none from arguments", async () => {
    const values = { "container.runner": "docker", "container.pull_options": ["-q"] } as const;
    const { execute, ran } = await loaded({ steps: [STEP], programs: { podman: {}, docker: {} }, values });
    await execute("burn", { container_url: "evil", run_options: "--privileged", image: "evil" });
    expect(ran()).toEqual(["docker pull -q quay.io/burn:1", "docker run --rm --network=host quay.io/burn:1"]);
  });

  test("must not have the name of anything that is there already", async () => {
    const plugin: ManagerFactory = () => ({
      ...{ className: "Acme", name: "Acme", version: "1" },
      evaluateHardwareSupport: async () => 3,
      steps: async (kind) =>
        kind === "deploy"
          ? [
              {
                step: "acme",
                priority: 0,
                interface: "deploy",
                reboot_requested: false,
                run: async () => null,
              },
            ]
          : [],
      ownMethods: { polish: async () => null },
    });
    const names = [
      ...["erase_devices", "erase_devices_metadata", "write_image", "burnin_disk", "delete_configuration"],
      ...[
        "erase_block_device",
        "list_block_devices",
        "get_clean_steps",
        "full_sync",
        "evaluate_hardware_support",
      ],
      ...["generic_container_step", "container_clean_step", "acme", "polish"],
    ];
    for (const name of names) {
      const { managers, execute, ran } = await loaded({ steps: [STEP, { ...STEP, name }], more: [plugin] });
      for (const kind of ["clean", "deploy", "service"] as const) {
        const listed = managers.steps(kind, {}, []);
        expect(await rejection(listed)).toBeInstanceOf(HardwareManagerConfigurationError);
        expect(await thrower(listed)).toThrow(`${PATH} cannot be used: a step must not be called "${name}"`);
      }
      expect(await rejection(execute(name))).toBeInstanceOf(
        name === "acme" ? Error : HardwareManagerConfigurationError,
      );
      expect(ran()).toEqual([]);
    }
  });

  test("a broken file is an error of every list of steps", async () => {
    const { managers } = await loaded({ steps: [{ name: "burn" }] });
    expect(await thrower(managers.steps("clean", {}, []))).toThrow(
      /mysteps\.yaml cannot be used: step "burn" has no image/,
    );
  });
});

describe("a step with arguments", () => {
  const values = { "container.allowed_containers": ["quay.io/good:1"] };

  test("runs an image of the list with the configured options, by either of its names", async () => {
    const { system, execute, ran } = await loaded({ values });
    const asked = { container_url: "docker://quay.io/good:1", run_options: ["--privileged"], trusted: true };
    expect(await execute("generic_container_step", asked)).toBeNull();
    const expected = [
      "podman pull docker://quay.io/good:1",
      "podman run --rm --network=host docker://quay.io/good:1",
    ];
    expect(ran()).toEqual(expected);
    await execute("container_clean_step", asked, "service");
    expect(ran()).toEqual([...expected, ...expected]);
    const warnings = system.records.filter(({ level }) => level === "WARNING").map(({ message }) => message);
    expect(warnings).toContainEqual(expect.stringContaining("is now called generic_container_step"));
  });

  test("runs no other image, and nothing at all for bad arguments", async () => {
    const { execute, ran } = await loaded({ values });
    expect(
      await rejection(execute("generic_container_step", { container_url: "quay.io/bad" })),
    ).toBeInstanceOf(ContainerNotPermittedError);
    expect(await rejection(execute("generic_container_step"))).toBeInstanceOf(InvalidCommandParamsError);
    expect(ran()).toEqual([]);
  });

  test("the prefixes stay away from a runner that would take them for something else", async () => {
    const run = async (runner: "podman" | "docker", image: string) => {
      const machine = await loaded({
        programs: { [runner]: {} },
        values: { ...values, "container.runner": runner },
      });
      await machine.execute("generic_container_step", { container_url: image });
      return machine.ran()[0];
    };
    expect(await run("podman", "oci://quay.io/good:1")).toBe("podman pull quay.io/good:1");
    expect(await run("docker", "docker://quay.io/good:1")).toBe("docker pull quay.io/good:1");
  });

  test("follows what Ironic said in its answer to the lookup", async () => {
    const config = Config.of({});
    applySettings(
      { agent_containers: { allowed_containers: ["quay.io/new:2"], runner: "docker", run_options: "--rm" } },
      config,
      recordedSystem().log,
    );
    const values = {
      "container.allowed_containers": config.get("container.allowed_containers"),
      "container.runner": config.get("container.runner"),
      "container.run_options": config.get("container.run_options"),
    };
    const { execute, ran } = await loaded({ programs: { docker: {} }, values });
    await execute("generic_container_step", { container_url: "quay.io/new:2" });
    expect(ran()).toEqual(["docker pull quay.io/new:2", "docker run --rm quay.io/new:2"]);
  });
});

describe("what goes wrong", () => {
  const values = { "container.allow_arbitrary_containers": true };
  const asked = { container_url: "quay.io/any" };

  test("a runner that does not work is an error of the configuration", async () => {
    const { execute } = await loaded({ programs: { docker: {} }, values });
    const ended = execute("generic_container_step", asked);
    expect(await rejection(ended)).toBeInstanceOf(HardwareManagerConfigurationError);
    expect(await thrower(ended)).toThrow(
      "Containers cannot be run with podman ([container]runner): cannot run podman",
    );
  });

  test("options in the configuration that would run another image are one, too", async () => {
    const { execute, ran } = await loaded({
      values: { "container.run_options": ["--rm", "hello", "world"] },
    });
    expect(await rejection(execute("generic_container_step", asked))).toBeInstanceOf(
      HardwareManagerConfigurationError,
    );
    expect(ran()).toEqual([]);
  });

  test("an image that cannot be had is not run; a container that fails is an error with its words", async () => {
    const gone = await loaded({
      programs: { podman: {}, "podman pull quay.io/any": { exitCode: 125, stderr: "manifest unknown" } },
      values,
    });
    expect(await thrower(gone.execute("generic_container_step", asked))).toThrow(
      /exit code 125.*manifest unknown/,
    );
    expect(gone.ran()).toHaveLength(1);
    const run = "podman run --rm --network=host quay.io/any";
    const failing = await loaded({
      programs: { podman: {}, [run]: { exitCode: 3, stderr: "disk is worn" } },
      values,
    });
    expect(await thrower(failing.execute("generic_container_step", asked))).toThrow(
      /exit code 3.*disk is worn/,
    );
  });

  test("what a container printed is in the log", async () => {
    const { system, execute } = await loaded({
      programs: { podman: { stdout: "firmware is up to date\n" } },
      values,
    });
    await execute("generic_container_step", asked);
    expect(system.records.map(({ message }) => message)).toContain(
      "container quay.io/any: firmware is up to date",
    );
  });
});
