// The boot loader of a written image; a command of its own because the conductor calls it after write_image.

import { Type } from "@sinclair/typebox";
import { installBootLoader } from "../steps/boot-loader.ts";
import { asyncCommand, defineExtension } from "./command.ts";
import { about, optional } from "./param-types.ts";

export const image = defineExtension("image", {
  install_bootloader: asyncCommand({
    summary: "Makes the written image bootable.",
    params: Type.Object({
      root_uuid: about(
        'UUID of the root file system; null or "0x00000000" for a whole-disk image without a known root.',
        Type.Union([Type.String(), Type.Null()]),
      ),
      efi_system_part_uuid: about("UUID of the EFI system partition.", optional(Type.String())),
      prep_boot_part_uuid: about("UUID of the PReP boot partition, on ppc64.", optional(Type.String())),
      /** Train does not send it. */
      target_boot_mode: about("bios (the default) or uefi.", optional(Type.String())),
      ignore_bootloader_failure: about(
        "Whether a failure to set up booting is only a warning; the option of that name decides without it.",
        optional(Type.Boolean()),
      ),
    }),
    run({ services, signal }, params) {
      const { system, config, managers, deployment } = services;
      return installBootLoader(
        {
          system,
          config,
          signal,
          deployment,
          installDevice: (options) => managers.dispatch("getOsInstallDevice", options),
        },
        {
          // Empty says the same as null.
          rootUuid: params.root_uuid || null,
          efiSystemPartUuid: params.efi_system_part_uuid || null,
          prepBootPartUuid: params.prep_boot_part_uuid || null,
          targetBootMode: params.target_boot_mode || "bios",
          ignoreBootloaderFailure: params.ignore_bootloader_failure ?? null,
        },
      );
    },
  }),
});
