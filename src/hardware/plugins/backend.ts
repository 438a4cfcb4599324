// What the two forms of plug-ins have in common: a TypeScript file in a process of its own (module-plugin.ts), and any other program
// that is started for each question (program-plugin.ts).

import type { Json, JsonObject } from "../../json.ts";
import type { StepContext, StepKind } from "../../steps/step.ts";
import type { Work } from "../manager.ts";
import type { PluginMethodName } from "./methods.ts";
import type { ListedStep } from "./schemas.ts";

/** Every method rejects when the plug-in fails, in whatever way: with an error that names it and says what it was asked. */
export interface PluginBackend {
  evaluate(): Promise<number>;
  initialize(signal: AbortSignal | undefined): Promise<void>;
  listSteps(kind: StepKind, node: JsonObject, ports: Json): Promise<readonly ListedStep[]>;
  runStep(kind: StepKind, step: ListedStep, context: StepContext, args: JsonObject): Promise<Json>;
  /** `args` without what is in `work`. */
  answer(method: PluginMethodName, args: Json[], work: Partial<Work>): Promise<unknown>;
  /** As a part of `work` it may take as long as that does; otherwise it has the time of any question. */
  answerOwn(method: string, args: Json[], work: Partial<Work>): Promise<Json>;
  /** Ends all its processes. Never rejects. */
  stop(): Promise<void>;
}

export type PluginDescription = {
  readonly className: string;
  readonly name: string;
  readonly version: string;
  /** Names of PLUGIN_METHODS, and its own. */
  readonly methods: readonly string[];
  readonly initializes: boolean;
};
