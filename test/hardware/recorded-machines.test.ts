// The whole inventory of every recorded machine, compared with what was configured.

import { expect, test } from "bun:test";
import { guessRootDisk } from "../../src/hardware/install-device.ts";
import { CONFIGURED, diskKey, expectConfigured } from "./recording/configured.ts";
import { loadMachine } from "./recording/recording.ts";
import { managersOn } from "./support.ts";

for (const [name, { rootDisk }] of Object.entries(CONFIGURED))
  test(`${name} is what was configured`, async () => {
    const { managers } = managersOn(await loadMachine(name), { disk_wait_attempts: 0 });
    await managers.load();
    const inventory = await managers.inventory({ useCache: false });
    expectConfigured(inventory, name);
    const guessed = guessRootDisk(inventory.disks);
    expect(guessed === undefined ? null : diskKey(guessed)).toBe(rootDisk);
  });
