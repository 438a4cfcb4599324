// A manager for one vendor's card: it finds the card, tells Ironic of it in the inventory, adds what the card knows to the
// collected logs, and upgrades its firmware as a clean step.
//
// Put it into /etc/ironic-python-agent.d/hardware-managers/ of the ramdisk, with the vendor's tool beside it.

import {
  CleaningError,
  defineStep,
  HardwareManager,
  IncompatibleHardwareMethodError,
  type Inventory,
  type JsonObject,
  ProgramFailedError,
  Support,
  type SystemLogs,
} from "ironic-agent";

/** Where the kernel lists PCI devices, and how the card is told from others there. */
const PCI_DEVICES = "/sys/bus/pci/devices";
const VENDOR = "0x1ace";
const DEVICE = "0x4711";

/** The vendor's tool: `acme-card ADDRESS version`, `… flash FILE`, `… status`. */
const TOOL = "/opt/acme/bin/acme-card";
const FIRMWARE = "/opt/acme/firmware/4711.bin";
const NEWEST = "7.2.0";

export default class AcmeCardManager extends HardwareManager {
  // Conductors store the name and compare the version: change the version with every change of this file.
  override readonly name = "acme_card_manager";
  override readonly version = "2";

  async evaluateHardwareSupport(): Promise<number> {
    return (await this.cards()).length > 0 ? Support.serviceProvider : Support.none;
  }

  override getCleanSteps() {
    return [
      defineStep({
        step: "upgrade_acme_firmware",
        priority: 37, // before the disks are erased (10), so that the new firmware does the erasing
        reboot_requested: true, // the card starts its new firmware with the machine
        abortable: false, // a half-written firmware is a dead card
        timeout: 1800,
        argsinfo: {
          force: { description: "Write the firmware even if the card has it already. Default false." },
        },
        run: async ({ report, metrics, signal }, { force }) => {
          const cards = await this.cards();
          const upgraded: string[] = [];
          for (const [index, card] of cards.entries()) {
            report({ phase: `card ${card}`, done: index, total: cards.length, unit: "cards", rate: null });
            if (force !== true && (await this.firmwareOf(card)) === NEWEST) continue;
            await metrics.timer("acme_card.flash").time(() => this.flash(card, signal));
            upgraded.push(card);
          }
          // What a step returns goes to Ironic, and into its log.
          return { upgraded, version: NEWEST };
        },
      }),
    ];
  }

  /** Adds to what the next manager (here the built-in one) tells, instead of replacing it. */
  override async listHardwareInfo(): Promise<Inventory> {
    const inventory = await this.context.next("listHardwareInfo");
    const cards = await Promise.all(
      (await this.cards()).map(async (address) => ({ address, firmware: await this.firmwareOf(address) })),
    );
    return Object.assign(inventory, { acme_cards: cards });
  }

  override async collectSystemLogs(signal?: AbortSignal): Promise<SystemLogs> {
    const outputs: Record<string, string> = {};
    for (const card of await this.cards()) {
      const options = signal === undefined ? {} : { signal };
      const { stdout } = await this.context.system.run([TOOL, card, "status"], options);
      outputs[`acme/${card}`] = stdout;
    }
    return { outputs, files: [] };
  }

  /** PCI addresses of the cards in this machine. */
  private async cards(): Promise<string[]> {
    const { files } = this.context.system;
    const found: string[] = [];
    for (const address of await files.list(PCI_DEVICES)) {
      const vendor = await files.readAttribute(`${PCI_DEVICES}/${address}/vendor`);
      const device = await files.readAttribute(`${PCI_DEVICES}/${address}/device`);
      if (vendor === VENDOR && device === DEVICE) found.push(address);
    }
    return found;
  }

  private async firmwareOf(card: string): Promise<string> {
    const { stdout } = await this.context.system.run([TOOL, card, "version"]);
    return stdout.trim();
  }

  private async flash(card: string, signal: AbortSignal): Promise<void> {
    this.context.system.log.info(`writing firmware ${NEWEST} to the card at ${card}`);
    try {
      await this.context.system.run([TOOL, card, "flash", FIRMWARE], { timeout: 900, signal });
    } catch (error) {
      // The operator reads this in the node's last_error.
      if (error instanceof ProgramFailedError)
        throw new CleaningError(`the firmware of the card at ${card} was not written: ${error.message}`);
      throw error;
    }
  }

  /** A method of its own: other plug-ins ask for it with `context.call("acmeCardFor", interfaceName)`. */
  async acmeCardFor(interfaceName: string): Promise<JsonObject> {
    const target = await this.context.system.files.realPath(`/sys/class/net/${interfaceName}/device`);
    const address = target.slice(target.lastIndexOf("/") + 1);
    if ((await this.cards()).includes(address)) return { address };
    throw new IncompatibleHardwareMethodError(`${interfaceName} is not on a card of ours`);
  }
}
