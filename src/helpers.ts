// The operator's helpers: what the agent sees of a machine and offers to do with it, as JSON for people and for jq.

import type { Config } from "./config/config.ts";
import { BUILT_IN_MANAGERS } from "./hardware/built-in.ts";
import { HardwareManagers } from "./hardware/managers.ts";
import { Deployment } from "./steps/deployment.ts";
import type { System } from "./system/system.ts";

/** The inventory as JSON, as Ironic gets it. */
export async function describeInventory(system: System, config: Config): Promise<string> {
  const managers = await loadManagers(system, config);
  return JSON.stringify(await managers.inventory({ useCache: true }), null, 2);
}

/** The steps of all kinds as JSON, by kind and manager, with the managers' versions. */
export async function describeSteps(system: System, config: Config): Promise<string> {
  const managers = await loadManagers(system, config);
  const steps = {
    clean_steps: await managers.steps("clean", {}, []),
    deploy_steps: await managers.steps("deploy", {}, []),
    service_steps: await managers.steps("service", {}, []),
    hardware_manager_version: managers.versions(),
  };
  return JSON.stringify(steps, null, 2);
}

/** A helper shows the machine as it is now: it does not wait for a disk. */
async function loadManagers(system: System, config: Config): Promise<HardwareManagers> {
  config.override("disk_wait_attempts", 0, "helper");
  const managers = new HardwareManagers({
    system,
    config,
    deployment: new Deployment(),
    factories: BUILT_IN_MANAGERS,
  });
  await managers.load();
  return managers;
}
