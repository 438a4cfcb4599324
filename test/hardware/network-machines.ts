// sysfs of made-up machines with network cards.

import type { RecordedFile } from "../support/recorded-system.ts";
import { RAMDISK_FILES } from "./support.ts";

export const DEVICE: RecordedFile = { link: "../../../devices/0000:00:03.0" };

/** sysfs of cards with the given addresses, numbered in their order. */
export function cards(addresses: Readonly<Record<string, string>>): Record<string, RecordedFile> {
  const files: Record<string, RecordedFile> = { ...RAMDISK_FILES };
  for (const [index, [name, address]] of Object.entries(addresses).entries()) {
    files[`/sys/class/net/${name}/ifindex`] = `${index + 1}\n`;
    files[`/sys/class/net/${name}/address`] = `${address}\n`;
    files[`/sys/class/net/${name}/device`] = DEVICE;
    files["/sys/devices/0000:00:03.0/vendor"] = "0x8086\n";
  }
  return files;
}
