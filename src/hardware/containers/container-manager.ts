// The manager of machines whose ramdisk can run containers: steps that run an image of the operator's choice, named by the
// arguments of a step or by a file in the ramdisk. Source: hardware specification 10.5.

import { HardwareManagerConfigurationError } from "../../errors.ts";
import type { Json, JsonObject } from "../../json.ts";
import {
  type Container,
  type ContainerSettings,
  containerSettings,
  requestedContainer,
  UnusableContainerError,
} from "../../steps/container-request.ts";
import { type ContainerRunner, runContainer, runnerWorks } from "../../steps/run-container.ts";
import type { Step, StepContext, StepKind } from "../../steps/step.ts";
import { type HardwareManager, type ManagerContext, Support } from "../manager.ts";
import { assertNewNames } from "./new-names.ts";
import { type ContainerStep, readContainerSteps } from "./steps-file.ts";

const STEP = "generic_container_step";
/** The name it had in the release that had it first. */
const FORMER_STEP = "container_clean_step";

const ARGUMENTS: NonNullable<Step["argsinfo"]> = {
  container_url: {
    description: "The image to run, as podman or docker name it; docker:// or oci:// may precede it.",
    required: true,
  },
  pull_options: {
    description:
      "Options to fetch it with, as text or a list; ignored unless arbitrary containers are allowed.",
    required: false,
  },
  run_options: {
    description:
      "Options to run it with, as text or a list; ignored unless arbitrary containers are allowed.",
    required: false,
  },
};

export class ContainerHardwareManager implements HardwareManager {
  readonly className = "ContainerHardwareManager";
  readonly name = "ContainerHardwareManager";
  readonly version = "2";

  readonly #context: ManagerContext;

  constructor(context: ManagerContext) {
    this.#context = context;
  }

  async evaluateHardwareSupport(): Promise<number> {
    const works =
      (await runnerWorks(this.#context, "podman")) || (await runnerWorks(this.#context, "docker"));
    return works ? Support.mainline : Support.none;
  }

  /** @throws HardwareManagerConfigurationError if the file of steps is no good: nobody knows then what it should have had */
  async steps(kind: StepKind, node: JsonObject, ports: Json): Promise<readonly Step[]> {
    const { system, config, managers } = this.#context;
    const path = config.get("container.container_steps_file");
    const fromFile = await readContainerSteps(system, path);
    if (fromFile.length > 0) {
      const others = managers().filter((manager) => manager !== this);
      await assertNewNames(path, [STEP, FORMER_STEP], fromFile, { others, node, ports });
    }
    return [
      this.#requested(STEP),
      this.#requested(FORMER_STEP),
      ...fromFile.map((step) => this.#fixed(kind, step)),
    ];
  }

  /** A step whose arguments name the image. */
  #requested(step: string): Step {
    return {
      ...{ step, priority: 0, interface: "deploy", reboot_requested: false, abortable: true },
      argsinfo: ARGUMENTS,
      run: async (context, args) => {
        if (step === FORMER_STEP)
          context.system.log.warning(
            `The step ${FORMER_STEP} is now called ${STEP}; the old name will go away`,
          );
        return this.#run(context, requestedContainer(args, this.#settings()));
      },
    };
  }

  /** A step of the operator's file: what comes with it at run time changes nothing. */
  #fixed(kind: StepKind, { name, priority, container, ...rest }: ContainerStep): Step {
    return {
      step: name,
      // Only cleaning runs steps on its own.
      priority: kind === "clean" ? priority : 0,
      interface: rest.interface,
      reboot_requested: rest.reboot_requested,
      abortable: rest.abortable,
      run: async (context) => {
        const { pullOptions, runOptions } = this.#settings();
        return this.#run(context, { pullOptions, runOptions, ...container });
      },
    };
  }

  async #run(context: StepContext, container: Container): Promise<null> {
    await runContainer(context, this.#context.config.get("container.runner") as ContainerRunner, container);
    return null;
  }

  #settings(): ContainerSettings {
    try {
      return containerSettings(this.#context.config);
    } catch (error) {
      if (!(error instanceof UnusableContainerError)) throw error;
      throw new HardwareManagerConfigurationError(error.message, { cause: error });
    }
  }
}
