// The collector that everything else is optional to: the inventory, once the machine has its addresses.
// Rules: control-plane specification 8.2, 8.3, 8.5.

import { guessRootDisk } from "../hardware/install-device.ts";
import type { Collector } from "./collector.ts";
import { waitForDhcp } from "./dhcp-wait.ts";

export const collectDefault: Collector = async ({ system, config, managers, collectors, signal }) => {
  await waitForDhcp(system, config, managers, signal);
  const inventory = await managers.inventory({ useCache: true });
  const rootDisk = guessRootDisk(inventory.disks);
  return {
    inventory,
    ...(rootDisk === undefined ? {} : { root_disk: rootDisk }),
    boot_interface: inventory.boot.pxe_interface,
    configuration: {
      collectors: [...collectors],
      managers: managers.ranking().map(({ name, version }) => ({ name, version })),
    },
  };
};
