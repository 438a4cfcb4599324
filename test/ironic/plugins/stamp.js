// A plug-in for the rig: its steps leave a text on the disk, where the host finds it.

import { defineStep, HardwareManager, Support } from "ironic-agent";

const DISK = "/dev/vda";
/** Behind everything an image brings; the same number in scenarios/plugins.ts. */
const OFFSET = 6 * 1024 ** 3;

async function stamp({ system, assertMayDestroy, report }, text) {
  await assertMayDestroy(DISK, "stamp");
  report({ phase: `stamping ${DISK}`, done: 0, total: 1, unit: "stamps", rate: null });
  await using disk = await system.blockDevices.open(DISK, "write-exclusive");
  await disk.write(new TextEncoder().encode(`${text}\n`), OFFSET);
  await disk.flush();
  system.log.info(`stamped ${DISK} with "${text}"`);
  return { stamped: DISK };
}

const cleanStep = defineStep({
  step: "rig_stamp_cleaned",
  // After the metadata is erased, which the rig does at 10.
  priority: 5,
  run: (context) => stamp(context, `cleaned node ${context.node.name}`),
});

const deployStep = defineStep({
  step: "rig_stamp",
  argsinfo: { text: { description: "what to write", required: true } },
  run: (context, { text }) => stamp(context, text),
});

export default class Stamp extends HardwareManager {
  name = "rig_stamp";

  evaluateHardwareSupport() {
    return Support.mainline;
  }

  getCleanSteps() {
    return [cleanStep];
  }

  getDeploySteps() {
    return [deployStep];
  }
}
