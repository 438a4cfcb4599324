// What a conductor asks outside of steps: the old way to write an image, and the end of a deployment.

import { Type } from "@sinclair/typebox";
import { HardwareManagerMethodNotFound } from "../errors.ts";
import type { WriteImageContext } from "../steps/image-job.ts";
import { changePower } from "../steps/power.ts";
import { syncDisks } from "../steps/sync.ts";
import { validateImageInfo, writeImage } from "../steps/write-image.ts";
import { asyncCommand, type CommandContext, defineExtension, syncCommand } from "./command.ts";
import { jsonObject, optional } from "./param-types.ts";

const noParams = Type.Object({});

const imageParams = { image_info: jsonObject, configdrive: optional(Type.String()) };

export const standby = defineExtension("standby", {
  /** Train to Wallaby, and third parties; later conductors run the deploy step `write_image`. */
  prepare_image: asyncCommand({
    params: Type.Object(imageParams),
    validate: ({ image_info }, { config }) => validateImageInfo(config, image_info),
    run: (context, { image_info, configdrive }) =>
      writeImage(imageContext(context), image_info, configdrive ?? null),
  }),

  /**
   * The same for third parties that prepare machines ahead: no conductor sends it, and later agents have no such command. It writes
   * the image in any case, which `force` asks of the reference.
   */
  cache_image: asyncCommand({
    params: Type.Object({ ...imageParams, force: optional(Type.Boolean()) }),
    validate: ({ image_info }, { config }) => validateImageInfo(config, image_info),
    async run(context, { image_info, configdrive }) {
      const text = await writeImage(imageContext(context), image_info, configdrive ?? null);
      return text.replace(" written to device ", " cached to device ");
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
    async run({ services: { system, managers }, signal }) {
      await syncDisks(system, signal);
      await managers.dispatchAll("fullSync").catch((error: unknown) => {
        // Most machines have nothing that the kernel does not know how to flush.
        if (!(error instanceof HardwareManagerMethodNotFound)) throw error;
      });
    },
  }),

  get_partition_uuids: syncCommand({
    params: noParams,
    async run({ services: { system, deployment } }) {
      if (deployment.image === null)
        system.log.warning("The partition UUIDs are asked for, but this agent has not written an image yet");
      return deployment.partitionUuids;
    },
  }),
});

function imageContext({ services, signal, report }: CommandContext): WriteImageContext {
  const { system, config, deployment, managers } = services;
  return {
    system,
    config,
    deployment,
    signal,
    report,
    node: managers.node.current ?? {},
    installDevice: (options) => managers.dispatch("getOsInstallDevice", options),
  };
}
