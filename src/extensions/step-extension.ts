// Clean, deploy and service steps differ in nothing but the words: one maker for the three extensions.
// Source: control-plane specification 4.4 and 7.5–7.7, conductor-contract 3.2.

import { Type } from "@sinclair/typebox";
import {
  CleaningError,
  CommandExecutionError,
  DeploymentError,
  RestError,
  ServicingError,
} from "../errors.ts";
import { isJsonObject, type JsonObject } from "../json.ts";
import { pythonText } from "../python-text.ts";
import type { StepKind } from "../steps/step.ts";
import { redactValue } from "../system/redact.ts";
import { asyncCommand, defineExtension, type Extension, syncCommand } from "./command.ts";
import { about, jsonList, jsonObject } from "./param-types.ts";
import { shorten } from "./shorten.ts";

const STEP_ERRORS = { clean: CleaningError, deploy: DeploymentError, service: ServicingError } as const;

const nodeParams = {
  node: about("The node, as Ironic's API shows it.", jsonObject),
  ports: about("Its ports.", jsonList),
};

/** `<kind>.get_<kind>_steps` and `<kind>.execute_<kind>_step`. */
export function stepExtension(kind: StepKind): Extension {
  return defineExtension(kind, {
    [`get_${kind}_steps`]: syncCommand({
      summary: `The ${kind} steps that this machine offers, by hardware manager.`,
      params: Type.Object(nodeParams),
      async run({ services: { managers } }, { node, ports }) {
        await managers.node.cache(node);
        return {
          [`${kind}_steps`]: await managers.steps(kind, node, ports),
          hardware_manager_version: managers.versions(),
        };
      },
    }),

    [`execute_${kind}_step`]: asyncCommand({
      summary: `Runs one ${kind} step. \`${kind}_version\`, a map of hardware managers to versions, keeps it from running with any others.`,
      params: Type.Object({
        step: about("The step as it was listed, with its `args`.", jsonObject),
        ...nodeParams,
      }),
      unknownParams: "pass",
      async run({ services: { managers, metrics }, signal, report }, { step, node, ports }, others) {
        const { [`${kind}_version`]: version, ...extra } = others;
        await managers.node.cache(node);
        managers.checkVersions(version);
        const { name, args } = readStep(kind, step);
        const call = { node, ports, args: { ...extra, ...args }, signal, report };
        const timer = metrics.timer(`ironic_python_agent.steps.${kind}.${name}`);
        const work = timer.time(() => managers.executeStep(kind, name, call));
        const result = await work.catch((error: unknown) => {
          throw stepError(kind, name, error);
        });
        // The conductor compares interface and name of the echo with the step it waits for.
        return { [`${kind}_result`]: result, [`${kind}_step`]: redactValue(shorten(step)) };
      },
    }),
  });
}

function readStep(kind: StepKind, step: JsonObject): { name: string; args: JsonObject } {
  const shown = () => pythonText(redactValue(shorten(step)) as JsonObject);
  if (typeof step.step !== "string")
    throw new CommandExecutionError(`Malformed ${kind}_step, no "step" key: ${shown()}`);
  const args = step.args ?? {};
  if (!isJsonObject(args))
    throw new CommandExecutionError(`Malformed ${kind}_step, "args" is not an object: ${shown()}`);
  return { name: step.step, args };
}

/** Errors of the API keep their type; what nobody foresaw gets the type of the step's kind. */
function stepError(kind: StepKind, name: string, error: unknown): RestError {
  if (error instanceof RestError) return error;
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new STEP_ERRORS[kind](`Unexpected exception performing ${kind} step ${name}. ${text}`, {
    cause: error,
  });
}
