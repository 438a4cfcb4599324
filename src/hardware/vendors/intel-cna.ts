// Intel's converged network adapters (driver i40e): their firmware swallows LLDP frames, unless it is told not to.
// Source: hardware specification 10.2, control-plane specification 7.2.

import { errorText } from "../../errors.ts";
import { type HardwareManager, type ManagerContext, Support } from "../manager.ts";

const CLASS = "/sys/class/net";
const DRIVER = "i40e";
const CONTROLS = "/sys/kernel/debug/i40e";

export class IntelCnaHardwareManager implements HardwareManager {
  readonly className = "IntelCnaHardwareManager";
  readonly name = "IntelCnaHardwareManager";
  readonly version = "1.0";

  readonly #context: ManagerContext;

  constructor(context: ManagerContext) {
    this.#context = context;
  }

  async evaluateHardwareSupport(): Promise<number> {
    const { files } = this.#context.system;
    for (const name of await files.list(CLASS)) {
      const module = await files.readLink(`${CLASS}/${name}/device/driver/module`);
      if (module?.split("/").at(-1) === DRIVER) return Support.mainline;
    }
    return Support.none;
  }

  /** Never fails: without the frames an inspection knows less, and nothing else is lost. */
  async initialize(): Promise<void> {
    const { system, config } = this.#context;
    if (!config.get("collect_lldp")) return;
    if ((await system.files.targetKind(CONTROLS)) !== "directory") {
      system.log.warning(
        `${CONTROLS} is not there (is debugfs mounted, and the driver loaded properly?): ` +
          "Intel network cards will keep LLDP frames to themselves",
      );
      return;
    }
    const failures: string[] = [];
    for (const device of await system.files.list(CONTROLS)) {
      try {
        await system.files.writeInPlace(`${CONTROLS}/${device}/command`, "lldp stop");
      } catch (error) {
        failures.push(`${device}: ${errorText(error)}`);
      }
    }
    if (failures.length > 0)
      system.log.warning(`these Intel network cards keep LLDP frames to themselves: ${failures.join("; ")}`);
  }
}
