// The agent's side of Ironic's `iscsi` deploy interface (up to Wallaby): the conductor writes the disk itself.

import { Type } from "@sinclair/typebox";
import {
  DEFAULT_PORTAL_PORT,
  type IscsiRequest,
  startIscsiTarget,
  validateIscsiRequest,
} from "../steps/iscsi-target.ts";
import { defineExtension, syncCommand } from "./command.ts";
import { about, optional } from "./param-types.ts";

const params = Type.Object({
  iqn: about("Name of the target; one is made up without it.", optional(Type.String())),
  wipe_disk_metadata: about(
    "Whether partition tables and signatures on the disk are destroyed first.",
    optional(Type.Boolean()),
  ),
  portal_port: about(`TCP port to listen on (${DEFAULT_PORTAL_PORT}).`, optional(Type.Integer())),
});

type Params = (typeof params)["static"];

export const iscsi = defineExtension("iscsi", {
  start_iscsi_target: syncCommand({
    summary: "Offers the install disk over iSCSI, as LUN 1, to whoever connects.",
    params,
    validate: (given) => validateIscsiRequest(requestOf(given)),
    async run({ services, signal }, given) {
      const { system, config, managers, deployment } = services;
      const context = {
        ...{ system, config, deployment, signal },
        installDevice: (options: { readonly refresh: boolean }) =>
          managers.dispatch("getOsInstallDevice", options),
      };
      return { iscsi_target_iqn: await startIscsiTarget(context, requestOf(given)) };
    },
  }),
});

function requestOf({ iqn, portal_port, wipe_disk_metadata }: Params): IscsiRequest {
  return {
    // Empty says the same as null.
    iqn: iqn || null,
    port: portal_port ?? DEFAULT_PORTAL_PORT,
    wipeDiskMetadata: wipe_disk_metadata ?? false,
  };
}
