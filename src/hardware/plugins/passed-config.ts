// The options as a plug-in's process gets them: all but the secret ones.

import { Config } from "../../config/config.ts";
import { OPTION_NAMES, type OptionValues, optionSpec } from "../../config/options.ts";
import { isJsonObject, type Json, type JsonObject } from "../../json.ts";

export function passedConfig(config: Config): JsonObject {
  const open = OPTION_NAMES.filter((name) => optionSpec(name).secret !== true);
  // Values are texts, numbers, booleans, null and lists of texts.
  return Object.fromEntries(open.map((name) => [name, config.get(name) as Json]));
}

/** The other end. Only the agent writes what is read here, so it is not checked again. */
export function receivedConfig(values: Json | undefined): Config {
  return Config.of(isJsonObject(values) ? (values as Partial<OptionValues>) : {});
}
