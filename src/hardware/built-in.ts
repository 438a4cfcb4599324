// The hardware managers built into the agent. Later ones of equal support come after earlier ones.

import { ContainerHardwareManager } from "./containers/container-manager.ts";
import { GenericHardwareManager } from "./generic-manager.ts";
import type { ManagerFactory } from "./manager.ts";
import { IntelCnaHardwareManager } from "./vendors/intel-cna.ts";
import { MellanoxDeviceHardwareManager } from "./vendors/mellanox.ts";

export const BUILT_IN_MANAGERS: readonly ManagerFactory[] = [
  (context) => new GenericHardwareManager(context),
  (context) => new MellanoxDeviceHardwareManager(context),
  (context) => new IntelCnaHardwareManager(context),
  (context) => new ContainerHardwareManager(context),
];
