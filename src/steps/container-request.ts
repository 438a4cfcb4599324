// Which container a step is about, and with which options it runs: the operator's list of images and options holds against whatever
// comes with a step. Source: hardware specification 10.5.

import type { Config } from "../config/config.ts";
import { ContainerNotPermittedError, InvalidCommandParamsError } from "../errors.ts";
import type { Json, JsonObject } from "../json.ts";
import { isArgumentWord } from "./argument-word.ts";

/** An image with the options to fetch and to run it; all of them words of their own. */
export type Container = {
  readonly image: string;
  readonly pullOptions: readonly string[];
  readonly runOptions: readonly string[];
};

/** What the operator configured for containers. */
export type ContainerSettings = {
  readonly arbitrary: boolean;
  readonly allowed: readonly string[];
  readonly pullOptions: readonly string[];
  readonly runOptions: readonly string[];
};

/** Something about an image or its options cannot be used; who wrote it decides what error that is. */
export class UnusableContainerError extends Error {}

/** @throws UnusableContainerError for options that would run another image */
export function containerSettings(config: Config): ContainerSettings {
  return {
    arbitrary: config.get("container.allow_arbitrary_containers"),
    allowed: config.get("container.allowed_containers"),
    pullOptions: optionWords("[container]pull_options", [...config.get("container.pull_options")]),
    runOptions: optionWords("[container]run_options", [...config.get("container.run_options")]),
  };
}

/**
 * The container that the arguments of a step ask for. Unless all are allowed, its image must be exactly one of the list, and the
 * options are the configured ones whatever the arguments say.
 * @throws InvalidCommandParamsError, ContainerNotPermittedError
 */
export function requestedContainer(args: JsonObject, settings: ContainerSettings): Container {
  const { container_url: image = null } = args;
  const configured = { pullOptions: settings.pullOptions, runOptions: settings.runOptions };
  try {
    if (typeof image !== "string" || image === "")
      throw new UnusableContainerError("container_url must be text that names a container image");
    assertImage("container_url", image);
    if (settings.arbitrary) return { image, ...configured, ...givenOptions(args) };
  } catch (error) {
    if (!(error instanceof UnusableContainerError)) throw error;
    throw new InvalidCommandParamsError(error.message, { cause: error });
  }
  if (!settings.allowed.some((allowed) => imageName(allowed) === imageName(image)))
    throw new ContainerNotPermittedError(image);
  return { image, ...configured };
}

/** Those that are given of pull_options and run_options; empty ones are not, as to the reference. @throws UnusableContainerError */
export function givenOptions(from: JsonObject): Partial<Pick<Container, "pullOptions" | "runOptions">> {
  const { pull_options: pull = null, run_options: run = null } = from;
  const pullOptions = pull === null ? [] : optionWords("pull_options", pull);
  const runOptions = run === null ? [] : optionWords("run_options", run);
  return {
    ...(pullOptions.length === 0 ? {} : { pullOptions }),
    ...(runOptions.length === 0 ? {} : { runOptions }),
  };
}

/** @throws UnusableContainerError for what the runner would take for an option or for more than an image */
export function assertImage(what: string, image: string): void {
  if (!isArgumentWord(image) || !isArgumentWord(imageName(image)))
    throw new UnusableContainerError(`${what} ${JSON.stringify(image)} is no name of a container image`);
}

/** Without the two prefixes that mean nothing but "from a registry". */
export function imageName(image: string): string {
  return image.replace(/^(?:docker|oci):\/\//, "");
}

/**
 * Options as arguments, given as one text or as a list of texts. White space separates them, also within a text of a list, unless
 * that would leave a word over: then the text is one argument with white space in it.
 * @throws UnusableContainerError for what is neither, and for a word in a place where the runner would take it for the image
 */
export function optionWords(what: string, options: Json): string[] {
  const given = typeof options === "string" ? split(options) : options;
  if (!Array.isArray(given) || !given.every((text) => typeof text === "string"))
    throw new UnusableContainerError(
      `${what} must be text or a list of texts, not ${JSON.stringify(options)}`,
    );
  const words: string[] = [];
  for (const text of given) {
    const parts = split(text);
    const whole = findStray(words, parts) === undefined ? parts : [text.trim()];
    const stray = findStray(words, whole);
    if (stray !== undefined)
      throw new UnusableContainerError(
        `${what}: "${stray}" does not belong to an option, so it would be run as the image. A value with white space needs a list, ` +
          "with the value in a text of its own",
      );
    words.push(...whole);
  }
  return words;
}

function split(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}

/** The first of the words behind `before` that belongs to no option. */
function findStray(before: readonly string[], words: readonly string[]): string | undefined {
  return words.find((word, index) => isStray(word, index === 0 ? before.at(-1) : words[index - 1]));
}

/** An option takes one value at most, and none in a word of its own if it has one behind a `=`. */
function isStray(word: string, before: string | undefined): boolean {
  if (word === "--") return true;
  if (word.startsWith("-")) return false;
  return before === undefined || !before.startsWith("-") || /^--[^=]+=/.test(before);
}
