// The file with the steps that an operator wants to run in containers: YAML as the reference's library reads it (1.1, where `yes` is
// true). It is trusted, and it is checked to the last value, because a step that is not the one meant may run on every
// machine of a site. Source: hardware specification 10.5.

import { parseDocument } from "yaml";
import { errorText, HardwareManagerConfigurationError } from "../../errors.ts";
import { isJsonObject, type JsonObject } from "../../json.ts";
import {
  assertImage,
  type Container,
  givenOptions,
  UnusableContainerError,
} from "../../steps/container-request.ts";
import { FileError } from "../../system/files.ts";
import type { System } from "../../system/system.ts";

export type ContainerStep = {
  readonly name: string;
  readonly priority: number;
  readonly interface: string;
  readonly reboot_requested: boolean;
  readonly abortable: boolean;
  readonly container: Pick<Container, "image"> & Partial<Container>;
};

const STEP_KEYS = ["name", "image", "priority", "interface", "reboot_requested", "abortable"];

/**
 * The steps of a file; none if there is no such file.
 * @throws HardwareManagerConfigurationError naming the file, the step and what is wrong
 */
export async function readContainerSteps(system: System, path: string): Promise<ContainerStep[]> {
  let text: string;
  try {
    text = await system.files.readText(path);
  } catch (error) {
    if (error instanceof FileError && error.code === "ENOENT") return [];
    throw new HardwareManagerConfigurationError(
      `The file of container steps cannot be used: ${errorText(error)}`,
      { cause: error },
    );
  }
  try {
    return parseContainerSteps(text);
  } catch (error) {
    if (!(error instanceof UnusableContainerError)) throw error;
    throw new HardwareManagerConfigurationError(
      `The file of container steps ${path} cannot be used: ${error.message}`,
      { cause: error },
    );
  }
}

/** @throws UnusableContainerError */
export function parseContainerSteps(text: string): ContainerStep[] {
  const content = parseYaml(text);
  if (content === null) return [];
  if (!isJsonObject(content) || !Object.hasOwn(content, "steps"))
    throw new UnusableContainerError('it must be a mapping with the key "steps"');
  const steps: unknown = content.steps;
  if (steps === null) return [];
  if (!Array.isArray(steps)) throw new UnusableContainerError('"steps" must be a list');
  const parsed = steps.map(parseStep);
  const names = parsed.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new UnusableContainerError(`it has two steps with the name "${twice}"`);
  return parsed;
}

/** What there is of unknown tags and the like is no YAML that anybody meant. */
function parseYaml(text: string): unknown {
  try {
    const document = parseDocument(text, { version: "1.1", logLevel: "error" });
    const [fault] = [...document.errors, ...document.warnings];
    if (fault !== undefined) throw fault;
    return document.toJS();
  } catch (error) {
    // The library's words: where it is, and what; and its limit on what aliases may grow into.
    throw new UnusableContainerError(`it is no YAML: ${errorText(error).trimEnd()}`, { cause: error });
  }
}

function parseStep(value: unknown, index: number): ContainerStep {
  const step: JsonObject = isJsonObject(value) ? value : {};
  const what = typeof step.name === "string" ? `step "${step.name}"` : `step ${index + 1}`;
  if (!isJsonObject(value)) throw new UnusableContainerError(`${what} must be a mapping`);
  const missing = STEP_KEYS.filter((key) => !Object.hasOwn(step, key));
  if (missing.length > 0) throw new UnusableContainerError(`${what} has no ${missing.join(", ")}`);
  const { name, image, priority, interface: stepInterface, reboot_requested, abortable } = step;
  const wrong = (key: string, must: string) =>
    new UnusableContainerError(`${what}: ${key} must be ${must}, not ${JSON.stringify(step[key])}`);
  if (typeof name !== "string" || name === "") throw wrong("name", "text");
  if (typeof image !== "string") throw wrong("image", "text");
  if (typeof priority !== "number" || !Number.isSafeInteger(priority) || priority < 0)
    throw wrong("priority", "a whole number of 0 or more");
  if (typeof stepInterface !== "string" || stepInterface === "") throw wrong("interface", "text");
  if (typeof reboot_requested !== "boolean") throw wrong("reboot_requested", "true or false");
  if (typeof abortable !== "boolean") throw wrong("abortable", "true or false");
  assertImage(`${what}: image`, image);
  return {
    ...{ name, priority, interface: stepInterface, reboot_requested, abortable },
    container: { image, ...options(what, step) },
  };
}

function options(what: string, step: JsonObject): Partial<Container> {
  try {
    return givenOptions(step);
  } catch (error) {
    if (!(error instanceof UnusableContainerError)) throw error;
    throw new UnusableContainerError(`${what}: ${error.message}`, { cause: error });
  }
}
