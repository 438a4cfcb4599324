// The settings that Ironic's administrators make for all their agents and hand out with the lookup: one table from the members of
// the answer to the options they override. A value that does not fit is warned about and ignored, never a failed lookup.
// Source: control-plane specification 5.4 and DEV-23, conductor contract 1.2.

import type { Config } from "../config/config.ts";
import { type OptionName, type OptionValue, optionSpec } from "../config/options.ts";
import { InvalidValueError, parseValue } from "../config/values.ts";
import { isJsonObject, type Json, type JsonObject } from "../json.ts";
import type { Logger } from "../system/log.ts";
import { tlsMaterialProblem } from "../system/tls-material.ts";

const ORIGIN = "lookup answer";

type Table = Readonly<Record<string, OptionName>>;

const SETTINGS: Table = {
  disable_deep_image_inspection: "disable_deep_image_inspection",
  permitted_image_formats: "permitted_image_formats",
  enable_bios_bootloader_install: "enable_bios_bootloader_install",
  agent_md5_checksum_enable: "md5_enabled",
  tls_min_version: "tls_min_version",
  tls_cipher_suites: "tls_cipher_suites",
};

/** Objects in the answer, by the members that mean something. */
const GROUPS: Readonly<Record<string, Table>> = {
  metrics: {
    backend: "metrics.backend",
    prepend_host: "metrics.prepend_host",
    prepend_host_reverse: "metrics.prepend_host_reverse",
    prepend_uuid: "metrics.prepend_uuid",
    global_prefix: "metrics.global_prefix",
  },
  metrics_statsd: {
    statsd_host: "metrics_statsd.statsd_host",
    statsd_port: "metrics_statsd.statsd_port",
  },
  agent_containers: {
    allow_arbitrary_containers: "container.allow_arbitrary_containers",
    allowed_containers: "container.allowed_containers",
    container_steps_file: "container.container_steps_file",
    runner: "container.runner",
    pull_options: "container.pull_options",
    run_options: "container.run_options",
  },
};

/** `settings` is the member `config` of the answer; unknown members of it are what newer releases added. */
export function applySettings(settings: JsonObject, config: Config, log: Logger): void {
  // Ironic can only switch the requirement on.
  if (settings.agent_token_required === true) config.override("agent_token_required", true, ORIGIN);
  allowOldBootLoaderInstall(settings, config);
  applyTable(settings, SETTINGS, "");
  for (const [group, table] of Object.entries(GROUPS)) {
    const members = settings[group];
    if (isJsonObject(members)) applyGroup(members, table, group);
    else if (members !== undefined && members !== null) ignore(group, members);
  }

  function applyGroup(members: JsonObject, table: Table, group: string): void {
    applyTable(members, table, `${group}.`);
    for (const unknown of Object.keys(members).filter((name) => !Object.hasOwn(table, name)))
      log.warning(`The lookup answer's ${group}.${unknown} means nothing to this agent and is ignored`);
  }

  function applyTable(members: JsonObject, table: Table, prefix: string): void {
    for (const [name, option] of Object.entries(table)) {
      const value = members[name];
      // Administrators leave most of these unset.
      if (value === undefined || value === null || value === "") continue;
      const fitting = fittingValue(option, value);
      if (fitting === null) ignore(`${prefix}${name}`, value);
      else config.override(option, fitting, ORIGIN);
    }
  }

  function ignore(name: string, value: Json): void {
    log.warning(`The lookup answer's ${name} cannot be used and is ignored`, value);
  }
}

/** Releases that do not know the switch allow what it is about; an operator's own word counts more. */
function allowOldBootLoaderInstall(settings: JsonObject, config: Config): void {
  const name = "enable_bios_bootloader_install";
  if (settings[name] === undefined && config.get(name) === null)
    config.override(name, true, `${ORIGIN} without it`);
}

/** The value of the option's type, or null if it is none. */
function fittingValue(name: OptionName, value: Json): OptionValue<OptionName> | null {
  const spec = optionSpec(name);
  try {
    switch (spec.type) {
      case "bool":
        return typeof value === "boolean" ? value : null;
      case "list":
        return listOfStrings(value, { alsoText: name.startsWith("container.") });
      case "string":
        if (typeof value !== "string") return null;
        // A list of ciphers that nobody knows would cut the agent off from Ironic itself.
        if (name === "tls_cipher_suites" && tlsMaterialProblem({ ciphers: value }) !== null) return null;
        return parseValue(spec, value) as OptionValue<OptionName>;
      default:
        return typeof value === "number"
          ? (parseValue(spec, String(value)) as OptionValue<OptionName>)
          : null;
    }
  } catch (error) {
    if (error instanceof InvalidValueError) return null;
    throw error;
  }
}

/** `alsoText`: the options of container runners were one string in the releases that had them first. */
function listOfStrings(value: Json, { alsoText }: { readonly alsoText: boolean }): readonly string[] | null {
  if (alsoText && typeof value === "string") return value.split(/[\s,]+/).filter((item) => item !== "");
  return Array.isArray(value) && value.every((item) => typeof item === "string") ? value : null;
}
