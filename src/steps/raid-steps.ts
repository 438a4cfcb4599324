// The steps of the raid interface as Ironic knows them. A clean step takes the configuration from the node, the deploy step from its
// arguments. Source: hardware specification 7, 9.3; conductor-contract 4.3.

import { SoftwareRAIDError } from "../errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../json.ts";
import { createRaid, validateRaid } from "./raid-create.ts";
import { deleteRaid } from "./raid-delete.ts";
import type { RaidContext, RaidHost } from "./raid-host.ts";
import type { Step } from "./step.ts";

const COMMON = { priority: 0, interface: "raid", reboot_requested: false } as const;

export function deleteConfigurationStep(host: RaidHost): Step {
  return {
    step: "delete_configuration",
    ...COMMON,
    abortable: true,
    run: async (context) => {
      await deleteRaid(context, host);
      return null;
    },
  };
}

export function createConfigurationStep(host: RaidHost): Step {
  return {
    step: "create_configuration",
    ...COMMON,
    abortable: true,
    run: async (context) => createRaid(context, host, targetConfiguration(context.node)),
  };
}

export function applyConfigurationStep(host: RaidHost): Step {
  return {
    step: "apply_configuration",
    ...COMMON,
    argsinfo: {
      raid_config: { description: "The RAID configuration to apply.", required: true },
      delete_existing: {
        description: "Whether existing software RAID arrays are deleted first; the default is true.",
        required: false,
      },
    },
    run: (context, args) => applyRaid(context, host, args.raid_config ?? null, args.delete_existing ?? true),
  };
}

/** @throws SoftwareRAIDError if the node has none; an empty result would fail the step in Ironic without a reason */
function targetConfiguration(node: JsonObject): JsonObject {
  const target = node.target_raid_config;
  if (isJsonObject(target) && Object.keys(target).length > 0) return target;
  throw new SoftwareRAIDError(
    `Node ${String(node.uuid ?? "(unknown)")} has no target_raid_config, so no array can be created: set one with ` +
      "`baremetal node set --target-raid-config` before this step.",
  );
}

/** The configuration is checked before anything is deleted for it. */
async function applyRaid(
  context: RaidContext,
  host: RaidHost,
  raidConfig: Json,
  deleteExisting: Json,
): Promise<JsonObject> {
  if (!isJsonObject(raidConfig) || Object.keys(raidConfig).length === 0)
    throw new SoftwareRAIDError("The argument raid_config is empty or no object; nothing was changed.");
  if (typeof deleteExisting !== "boolean")
    throw new SoftwareRAIDError("The argument delete_existing must be true or false; nothing was changed.");
  await validateRaid(context, host, raidConfig);
  if (deleteExisting) await deleteRaid(context, host);
  return createRaid(context, host, raidConfig);
}
