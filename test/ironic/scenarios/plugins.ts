// Hardware managers from files in the ramdisk, as vendors and operators bring them.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { check } from "../check.ts";
import { textAt } from "../disk-content.ts";
import { AGENT_PLUGINS, type Scenario } from "../scenario.ts";

/** Where the plug-ins write on the disk. */
const OFFSET = 6 * 1024 ** 3;
const TEMPLATE = "CUSTOM_RIG_STAMP";

export const pluginSteps: Scenario = {
  name: "plugin-steps",
  about: "a plug-in's clean step runs by its priority, its deploy step by a deploy template with arguments",
  async run(stage) {
    const text = "deployed by a template";
    await using _template = await stage.deployTemplate(TEMPLATE, [
      // After write_image, before the boot loader.
      { interface: "deploy", step: "rig_stamp", args: { text }, priority: 70 },
    ]);
    const node = await stage.enrol({ files: [await plugin("stamp.js")] });
    const [disk = ""] = node.managed.machine.diskFiles;
    await node.clean();
    const cleaned = await textAt(disk, OFFSET);
    check(cleaned === `cleaned node ${node.managed.name}`, "the clean step has left its text", cleaned);

    await stage.site.ironic.client.setTraits(node.managed.uuid, [TEMPLATE]);
    await node.deploy({ traits: [TEMPLATE] });
    const deployed = await textAt(disk, OFFSET);
    check(deployed === text, "the deploy step has left its argument", deployed);
  },
};

export const versionMismatch: Scenario = {
  name: "version-mismatch",
  about:
    "a plug-in comes back from a reboot with another version: Ironic starts the cleaning over and finishes it",
  async run(stage) {
    const node = await stage.enrol({ files: [await plugin("firmware.js")] });
    const { machine } = node.managed;
    await node.clean(20);
    // The first boot flashes, the second one sees the mismatch and flashes again, the third one goes on.
    check(machine.boots === 3, "the first step has run twice", `${machine.boots} boots`);
    const { driver_internal_info: info } = await node.managed.record();
    const versions = JSON.stringify(info.hardware_manager_version);
    check(versions.includes('"rig_firmware":"2.0"'), "Ironic knows the new version", versions);
  },
};

async function plugin(name: string) {
  const content = await readFile(join(import.meta.dir, "../plugins", name), "utf8");
  return { path: `${AGENT_PLUGINS}/${name}`, content };
}
