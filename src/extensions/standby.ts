// What a conductor asks outside of steps: the old way to write an image, and the end of a deployment.

import { Type } from "@sinclair/typebox";
import { changePower } from "../steps/power.ts";
import { syncDisks } from "../steps/sync.ts";
import { validateImageInfo, writeImage } from "../steps/write-image.ts";
import { asyncCommand, defineExtension, syncCommand } from "./command.ts";
import { jsonObject, optional } from "./param-types.ts";

const noParams = Type.Object({});

export const standby = defineExtension("standby", {
  /** Train to Wallaby, and third parties; later conductors run the deploy step `write_image`. */
  prepare_image: asyncCommand({
    params: Type.Object({ image_info: jsonObject, configdrive: optional(Type.String()) }),
    validate: ({ image_info }, { config }) => validateImageInfo(config, image_info),
    run({ services, signal, report }, { image_info, configdrive }) {
      const { system, config, deployment, managers } = services;
      const context = {
        system,
        config,
        deployment,
        signal,
        report,
        node: managers.node.current ?? {},
        installDevice: (options: { readonly refresh: boolean }) =>
          managers.dispatch("getOsInstallDevice", options),
      };
      return writeImage(context, image_info, configdrive ?? null);
    },
  }),

  /** Reboots, into what was written if the conductor has changed the boot device. */
  run_image: asyncCommand({
    params: noParams,
    run: ({ services, signal }) => changePower({ ...services, signal }, "reboot"),
  }),

  power_off: asyncCommand({
    params: noParams,
    run: ({ services, signal }) => changePower({ ...services, signal }, "poweroff"),
  }),

  sync: syncCommand({
    params: noParams,
    run: ({ services, signal }) => syncDisks(services.system, signal),
  }),

  get_partition_uuids: syncCommand({
    params: noParams,
    run: async ({ services }) => services.deployment.partitionUuids,
  }),
});
