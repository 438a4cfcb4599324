// What a conductor asks outside of steps: the old way to write an image, and the end of a deployment.

import { Type } from "@sinclair/typebox";
import { HardwareManagerMethodNotFound } from "../errors.ts";
import type { WriteImageContext } from "../steps/image-job.ts";
import { changePower } from "../steps/power.ts";
import { syncDisks } from "../steps/sync.ts";
import { bringImage, validateImageInfo, writeImage } from "../steps/write-image.ts";
import { asyncCommand, type CommandContext, defineExtension, syncCommand } from "./command.ts";
import { about, jsonObject, optional } from "./param-types.ts";

const noParams = Type.Object({});

const imageParams = {
  image_info: about("What Ironic says of the image: id, urls, checksum, disk_format and so on.", jsonObject),
  configdrive: about(
    "The config drive: gzip in base64, its URL, or its parts (meta_data, network_data, user_data, vendor_data).",
    optional(Type.Union([Type.String(), jsonObject])),
  ),
};

export const standby = defineExtension("standby", {
  /** Train to Wallaby, and third parties; later conductors run the deploy step `write_image`. */
  prepare_image: asyncCommand({
    summary: "Writes an image, and the config drive if there is one, to the install disk.",
    params: Type.Object(imageParams),
    validate: ({ image_info }, { config }) => validateImageInfo(config, image_info),
    run: (context, { image_info, configdrive }) =>
      writeImage(imageContext(context), image_info, configdrive ?? null),
  }),

  /** The same for third parties that prepare machines ahead: no conductor sends it, and later agents have no such command. */
  cache_image: asyncCommand({
    summary: "The same as prepare_image, for machines that are prepared ahead of their deployment.",
    params: Type.Object({
      ...imageParams,
      force: about("Write the image even if the very same is on the disk already.", optional(Type.Boolean())),
    }),
    validate: ({ image_info }, { config }) => validateImageInfo(config, image_info),
    async run(context, { image_info, configdrive, force }) {
      const { id, disk, identifiers, kept } = await bringImage(
        imageContext(context),
        image_info,
        configdrive ?? null,
        { force: force ?? false },
      );
      return `image (${id}) ${kept ? "already present on" : "cached to"} device ${disk} ${identifiers}`;
    },
  }),

  /** Reboots, into what was written if the conductor has changed the boot device. */
  run_image: asyncCommand({
    summary: "Reboots the machine, into what was written if the boot device has been changed.",
    params: noParams,
    run: ({ services, signal }) => changePower({ ...services, signal }, "reboot"),
  }),

  power_off: asyncCommand({
    summary: "Powers the machine off, with all file systems flushed.",
    params: noParams,
    run: ({ services, signal }) => changePower({ ...services, signal }, "poweroff"),
  }),

  sync: syncCommand({
    summary: "Flushes all file systems to their disks.",
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
    summary: "The UUIDs of the partitions of the image that was written last.",
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
