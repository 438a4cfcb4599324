// A node as the conductor knows it: Ironic's record with its wire names, the ports, the exclusive lock, and the two
// views of the record that leave the conductor: the one in a lookup answer and the one in an agent command.

import { randomBytes } from "node:crypto";
import { isJsonObject, type Json, type JsonObject } from "../../src/json.ts";
import type { PowerControl } from "./power.ts";

export type ProvisionState =
  | "enroll"
  | "available"
  | "deploying"
  | "wait call-back"
  | "active"
  | "deploy failed"
  | "cleaning"
  | "clean wait"
  | "clean failed";

/** States in which the API answers a lookup when `[api]restrict_lookup` is on, as it is by default. */
export const LOOKUP_STATES: ReadonlySet<ProvisionState> = new Set([
  "deploying",
  "wait call-back",
  "cleaning",
  "clean wait",
]);

/** States in which a heartbeat means anything. */
export const HEARTBEAT_STATES: ReadonlySet<ProvisionState> = LOOKUP_STATES;

/** Of these, the states in which a heartbeat is stored and nothing else happens. */
export const RECORD_ONLY_STATES: ReadonlySet<ProvisionState> = new Set(["deploying", "cleaning"]);

/** States in which the conductor waits for the agent to call. */
export const WAITING_STATES: ReadonlySet<ProvisionState> = new Set(["wait call-back", "clean wait"]);

export type StepKind = "clean" | "deploy";

/** A step as it travels: the agent's own members (argsinfo, reboot_requested, …) stay in it. */
export type Step = JsonObject & { interface: string; step: string };

export function stepName(step: Step): string {
  return `${step.interface}.${step.step}`;
}

/** Ironic's test for "the same step": interface and name, nothing else. */
export function sameStep(one: Step, other: Step): boolean {
  return one.interface === other.interface && one.step === other.step;
}

export type Port = JsonObject & { uuid: string; address: string; pxe_enabled: boolean };

export interface NodeSpec {
  uuid: string;
  name?: string;
  /** MAC addresses; the node boots its ramdisk from the first. */
  macs: readonly [string, ...string[]];
  properties?: JsonObject;
  driverInfo?: JsonObject;
  instanceInfo?: JsonObject;
  targetRaidConfig?: JsonObject;
}

/** What the conductor has learnt about the agent that is running now. Wiped whenever it switches the machine off. */
export interface AgentRecord {
  url: string;
  version: string;
  /** PEM text that the agent's TLS certificate is verified with. */
  verifyCa: string | null;
}

/** The exclusive lock of a node. Nobody waits for it: who does not get it goes away, as with Ironic's heartbeats. */
export class NodeLock {
  #held = false;

  get held(): boolean {
    return this.#held;
  }

  /** The lock, released when disposed of, or null when somebody else has it. */
  tryAcquire(): Disposable | null {
    if (this.#held) return null;
    this.#held = true;
    return {
      [Symbol.dispose]: () => {
        this.#held = false;
      },
    };
  }
}

export class Node {
  readonly uuid: string;
  readonly name: string | null;
  readonly ports: readonly Port[];
  readonly power: PowerControl;
  readonly lock = new NodeLock();
  provisionState: ProvisionState = "available";
  lastError: string | null = null;
  maintenance = false;
  properties: JsonObject;
  driverInfo: JsonObject;
  instanceInfo: JsonObject;
  targetRaidConfig: JsonObject;
  /** Step in progress of the operation under way. */
  currentStep: { kind: StepKind; step: Step } | null = null;
  token: string | null = null;
  agent: AgentRecord | null = null;
  /** `hardware_manager_version` of the agent, sent back with each step. One value serves all kinds of steps. */
  hardwareManagerVersion: Json = null;
  readonly cachedSteps = new Map<StepKind, readonly Step[]>();

  constructor(spec: NodeSpec, power: PowerControl) {
    this.uuid = spec.uuid;
    this.name = spec.name ?? null;
    this.power = power;
    this.properties = spec.properties ?? {};
    this.driverInfo = spec.driverInfo ?? {};
    this.instanceInfo = spec.instanceInfo ?? {};
    this.targetRaidConfig = spec.targetRaidConfig ?? {};
    this.ports = spec.macs.map((mac, index) => ({
      id: index + 1,
      uuid: crypto.randomUUID(),
      node_id: 1,
      node_uuid: spec.uuid,
      address: mac.toLowerCase(),
      extra: {},
      local_link_connection: {},
      portgroup_id: null,
      pxe_enabled: index === 0,
      internal_info: {},
      physical_network: null,
      is_smartnic: false,
      name: null,
      created_at: new Date().toISOString(),
      updated_at: null,
    }));
  }

  /** Makes the token of this boot: 43 URL-safe characters, as Python's secrets.token_urlsafe() makes them. */
  createToken(): string {
    this.token = randomBytes(32).toString("base64url");
    return this.token;
  }

  /** Forgets the agent: done with every power-off by the conductor, since the next boot gets a new token. */
  wipeAgent(): void {
    this.token = null;
    this.agent = null;
    this.cachedSteps.clear();
  }

  /** The `node` of a lookup answer. */
  lookupView(apiUrl: string): JsonObject {
    return {
      uuid: this.uuid,
      properties: this.properties,
      instance_info: maskSecrets(this.instanceInfo, ["image_url"]),
      driver_internal_info: maskSecrets(this.#driverInternalInfo()),
      links: [
        { href: `${apiUrl}/v1/nodes/${this.uuid}`, rel: "self" },
        { href: `${apiUrl}/nodes/${this.uuid}`, rel: "bookmark" },
      ],
    };
  }

  /** The `node` parameter of commands: the whole record, secrets masked. */
  commandView(options: { withConfigDrive: boolean }): JsonObject {
    const instanceInfo = maskSecrets(this.instanceInfo);
    if (options.withConfigDrive && this.instanceInfo.configdrive !== undefined) {
      instanceInfo.configdrive = this.instanceInfo.configdrive;
    }
    return {
      ...UNUSED_MEMBERS,
      id: 1,
      uuid: this.uuid,
      name: this.name,
      driver: "ipmi",
      deploy_interface: "direct",
      driver_info: maskSecrets(this.driverInfo),
      driver_internal_info: maskSecrets(this.#driverInternalInfo()),
      properties: this.properties,
      instance_info: instanceInfo,
      target_raid_config: this.targetRaidConfig,
      provision_state: this.provisionState,
      target_provision_state: this.currentStep?.kind === "deploy" ? "active" : "available",
      power_state: "power on",
      maintenance: this.maintenance,
      last_error: this.lastError,
      clean_step: this.currentStep?.kind === "clean" ? this.currentStep.step : {},
      deploy_step: this.currentStep?.kind === "deploy" ? this.currentStep.step : {},
    };
  }

  #driverInternalInfo(): JsonObject {
    const info: JsonObject = {
      agent_erase_devices_iterations: 1,
      agent_erase_devices_zeroize: true,
      agent_continue_if_secure_erase_failed: false,
      agent_continue_if_ata_erase_failed: false,
      agent_enable_nvme_secure_erase: true,
      agent_enable_ata_secure_erase: true,
      agent_erase_skip_read_only: false,
      disk_erasure_concurrency: 4,
      is_whole_disk_image: this.instanceInfo.image_type !== "partition",
    };
    if (this.token !== null) info.agent_secret_token = this.token;
    if (this.agent !== null) {
      info.agent_url = this.agent.url;
      info.agent_version = this.agent.version;
    }
    if (this.hardwareManagerVersion !== null) info.hardware_manager_version = this.hardwareManagerVersion;
    return info;
  }
}

const MASK = "******";
const SECRET_KEY = /password|secret|token|configdrive/i;

/** A copy in which every value under a key that sounds secret is masked, whatever its type, at any depth. */
export function maskSecrets(record: JsonObject, furtherKeys: readonly string[] = []): JsonObject {
  const masked = ([key, value]: [string, Json]): [string, Json] => {
    if (SECRET_KEY.test(key) || furtherKeys.includes(key)) return [key, MASK];
    return [key, isJsonObject(value) ? maskSecrets(value, furtherKeys) : value];
  };
  return Object.fromEntries(Object.entries(record).map(masked));
}

/** Members of Ironic 21.4's record that nothing here uses; agents and plug-ins may look at them all the same. */
const UNUSED_MEMBERS: JsonObject = {
  allocation_id: null,
  automated_clean: null,
  bios_interface: "no-bios",
  boot_interface: "ipxe",
  boot_mode: null,
  chassis_id: null,
  conductor_affinity: 1,
  conductor_group: "",
  console_enabled: false,
  console_interface: "no-console",
  created_at: "2024-01-01T00:00:00.000000",
  description: null,
  extra: {},
  fault: null,
  inspect_interface: "no-inspect",
  inspection_finished_at: null,
  inspection_started_at: null,
  instance_uuid: null,
  lessee: null,
  maintenance_reason: null,
  management_interface: "ipmitool",
  network_data: {},
  network_interface: "noop",
  owner: null,
  power_interface: "ipmitool",
  protected: false,
  protected_reason: null,
  provision_updated_at: null,
  raid_config: {},
  raid_interface: "agent",
  rescue_interface: "no-rescue",
  reservation: "embedded",
  resource_class: null,
  retired: false,
  retired_reason: null,
  secure_boot: null,
  shard: null,
  storage_interface: "noop",
  target_power_state: null,
  traits: { objects: [] },
  updated_at: null,
  vendor_interface: "no-vendor",
};
