// Keeps a file of container steps from taking the name of something that is there already: a container called erase_devices would be
// run in place of the erase, and the disks would go to the next tenant as they are. Source: hardware specification 10.5.

import { HardwareManagerConfigurationError } from "../../errors.ts";
import type { Json, JsonObject } from "../../json.ts";
import type { StepKind } from "../../steps/step.ts";
import type { HardwareManager } from "../manager.ts";
import type { ContainerStep } from "./steps-file.ts";

const KINDS: readonly StepKind[] = ["clean", "deploy", "service"];

/** The methods of a manager by the reference's names, which is what a step's name means to it (hardware specification 0.3). */
const METHODS = [
  ...["evaluate_hardware_support", "initialize", "get_version", "list_hardware_info", "wait_for_disks"],
  ...["get_clean_steps", "get_deploy_steps", "get_service_steps", "list_network_interfaces", "get_cpus"],
  ...["list_block_devices", "get_memory", "get_os_install_device", "get_bmc_address", "get_bmc_v6address"],
  ...["get_bmc_mac", "get_boot_info", "get_interface_info", "get_system_vendor_info", "get_usb_devices"],
  ...[
    "generate_tls_certificate",
    "erase_block_device",
    "erase_devices",
    "collect_lldp_data",
    "filter_device",
  ],
  ...["get_skip_list_from_node_for_disks", "get_skip_list_from_node_for_raids", "collect_system_logs"],
  ...["list_block_devices_check_skip_list", "full_sync", "execute_bootc_install", "validate_configuration"],
];

/** @throws HardwareManagerConfigurationError if a step of the file has the name of a method or of another step */
export async function assertNewNames(
  path: string,
  own: readonly string[],
  steps: readonly ContainerStep[],
  {
    others,
    node,
    ports,
  }: { readonly others: readonly HardwareManager[]; readonly node: JsonObject; readonly ports: Json },
): Promise<void> {
  const taken = new Set([...METHODS, ...own]);
  for (const manager of others) for (const method of Object.keys(manager.ownMethods ?? {})) taken.add(method);
  const asked = others.flatMap((manager) => KINDS.map((kind) => stepNames(manager, kind, node, ports)));
  for (const name of (await Promise.all(asked)).flat()) taken.add(name);
  const clash = steps.find(({ name }) => taken.has(name));
  if (clash !== undefined)
    throw new HardwareManagerConfigurationError(
      `The file of container steps ${path} cannot be used: a step must not be called "${clash.name}", because a hardware ` +
        "manager has that already",
    );
}

async function stepNames(
  manager: HardwareManager,
  kind: StepKind,
  node: JsonObject,
  ports: Json,
): Promise<string[]> {
  try {
    return ((await manager.steps?.(kind, node, ports)) ?? []).map(({ step }) => step);
  } catch {
    // A plug-in that cannot tell its steps is out of order, and no step at all runs until it can: managers.ts sees to that.
    return [];
  }
}
