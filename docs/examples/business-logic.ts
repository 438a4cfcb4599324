// A manager with the rules of one site instead of a driver for some hardware: machines that are too old do not come back from cleaning,
// disks are erased before anything else happens, and the disks of the management controller are nobody's business.

import {
  type BlockDevice,
  CleaningError,
  DeploymentError,
  type DeviceKind,
  defineStep,
  HardwareManager,
  IncompatibleHardwareMethodError,
  InvalidCommandParamsError,
  type JsonObject,
  type ListedDevice,
  passOn,
  Support,
} from "ironic-agent";

const YEAR = 365 * 24 * 3600;
const OLDEST = 5 * YEAR;

export default class SiteRules extends HardwareManager {
  override readonly name = "example_site_rules";
  override readonly version = "2026.1";

  /** The rules are for every machine, and come before what anybody else says. */
  evaluateHardwareSupport(): number {
    return Support.serviceProvider + 1;
  }

  override getCleanSteps() {
    return [
      // First of all, before an hour is spent on erasing.
      defineStep({
        step: "verify_machine_age",
        priority: 200,
        abortable: true,
        run: ({ node, system }) => this.verifyAge(node, system.clock.now()),
      }),
      // A step of the built-in manager with another priority: the step with the highest support counts, and its work is left
      // to the next manager that has a step of this name.
      defineStep({ step: "erase_devices", priority: 100, abortable: true, run: passOn }),
      // The same with something of our own around it: the metadata is erased by the next manager, and then it is noted.
      defineStep({
        step: "erase_devices_metadata",
        priority: 99,
        abortable: true,
        run: async ({ runNext, node, system }) => {
          const result = await runNext();
          system.log.info(`the disks of node ${node.uuid} hold no metadata any more`);
          return result;
        },
      }),
    ];
  }

  override getDeploySteps() {
    return [
      // Priority 0: runs only when a deploy template asks for it, with the arguments of the template.
      defineStep({
        step: "verify_bmc_network",
        argsinfo: { prefix: { description: "What the BMC's address begins with.", required: true } },
        run: async ({ dispatch }, { prefix }) => {
          if (typeof prefix !== "string") throw new InvalidCommandParamsError("prefix must be a text");
          const address = await dispatch("getBmcAddress");
          if (address === null || !address.startsWith(prefix))
            throw new DeploymentError(`the BMC's address is ${address ?? "unknown"}, not in ${prefix}`);
          return { address };
        },
      }),
    ];
  }

  /** Null hides a device from every listing. A device this manager has no opinion on goes to the next one. */
  override async filterDevice(device: ListedDevice, kind: DeviceKind): Promise<ListedDevice | null> {
    if (kind === "disk" && isControllerDisk(device as BlockDevice)) return null;
    throw new IncompatibleHardwareMethodError("no rule for this device");
  }

  private verifyAge(node: JsonObject, now: number): JsonObject {
    const created = typeof node.created_at === "string" ? Date.parse(node.created_at) / 1000 : Number.NaN;
    if (Number.isNaN(created)) throw new CleaningError(`node ${node.uuid} does not say when it was enrolled`);
    const age = now - created;
    if (age > OLDEST)
      throw new CleaningError(
        `node ${node.uuid} was enrolled ${(age / YEAR).toFixed(1)} years ago: to be retired`,
      );
    return { years: Number((age / YEAR).toFixed(2)) };
  }
}

function isControllerDisk({ model, vendor }: BlockDevice): boolean {
  return model === "BMC Virtual Media" || vendor === "AMI";
}
