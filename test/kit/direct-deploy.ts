// The `direct` deployment of an image, whole disk or partition, step by step as Ironic 21.4 runs it. Steps in the agent end the
// conductor's turn: it lets go of the lock and goes on when a heartbeat shows that the step is done. Steps of its own
// follow each other under one lock, so that heartbeats in between come to nothing. The `iscsi` deployment of releases up to
// Wallaby has the same steps, but for one: the conductor writes the image.

import { type Json, type JsonObject, member } from "../../src/json.ts";
import { pythonText } from "../../src/python-text.ts";
import { AgentInProgressError, type Command } from "./agent-client.ts";
import { buildConfigDrive, type ConfigDriveData } from "./config-drive.ts";
import type { WriteLun } from "./iscsi-writer.ts";
import { errorText, judge } from "./judgement.ts";
import { type Step, stepName } from "./node.ts";
import { type Operation, OperationClosed, OperationFailed } from "./operation.ts";
import { byPriority, messageOf, type Task } from "./task.ts";

export type BootMode = "bios" | "uefi";

export interface DeployRequest {
  image: {
    url: string;
    diskFormat: "raw" | "qcow2";
    /** Either this (MD5 or, by its length, another) or the pair below. */
    checksum?: string;
    osHashAlgo?: string;
    osHashValue?: string;
    /** `rootfs_uuid` of the image's metadata: what a whole disk needs beside itself to boot from a software RAID in BIOS mode. */
    rootUuid?: string;
    /** The image is a root file system, and the disk is to be divided so, in MiB. */
    partitions?: { root: number; swap?: number; ephemeral?: number };
  };
  bootMode: BootMode;
  /** Data to build the image from, or what travels on the wire already (base64 or a URL), or none. */
  configDrive?: ConfigDriveData | string | null;
  /** `[agent]stream_raw_images`; true unless said otherwise, as in Ironic. */
  streamRawImages?: boolean;
  /** The `iscsi` deploy interface: what writes the disk that the agent offers (iscsi-writer.ts). */
  overIscsi?: WriteLun;
  /** Steps of the agent to run besides, with `priority`: above 80 before the image is written, below after it. */
  steps?: readonly Step[];
}

/** A failure that Ironic's deploy interface handles by itself, instead of leaving it to who runs the steps. */
class HandledFailure extends Error {
  override readonly name = "HandledFailure";
}

interface FailureHandling {
  collectLogs: boolean;
  powerOff: boolean;
}

/** A step that failed in the agent: the machine stays on with the agent in it, but its token is forgotten. */
const STEP_FAILED: FailureHandling = { collectLogs: true, powerOff: false };
/** A step that could not be run at all, and a time-out. */
const STEP_NOT_RUN: FailureHandling = { collectLogs: false, powerOff: false };
/** `[deploy]power_off_after_deploy_failure`, on by default, means only failures of the conductor's own. */
const OWN_FAILURE: FailureHandling = { collectLogs: true, powerOff: true };

/** "wait": the agent works and a heartbeat will tell. */
type Outcome = "done" | "wait";

interface DeployStep {
  step: Step;
  inBand: boolean;
  run: () => Promise<Outcome>;
}

export class DirectDeploy implements Operation {
  readonly kind = "deploy";
  readonly #task: Task;
  readonly #request: DeployRequest;
  readonly #steps: readonly DeployStep[];
  readonly #end = Promise.withResolvers<void>();
  /** Index of the step in progress. */
  #at = 0;
  /** The agent was busy when the step in progress was to be started: do it again. */
  #retry = false;

  constructor(task: Task, request: DeployRequest) {
    this.#task = task;
    this.#request = request;
    const own = (
      name: string,
      priority: number,
      run: () => Promise<Outcome>,
      inBand = false,
    ): DeployStep => ({
      step: { interface: "deploy", step: name, priority },
      inBand,
      run,
    });
    const requested = (request.steps ?? []).map(
      (step): DeployStep => ({ step, inBand: true, run: () => this.#executeInAgent(step) }),
    );
    this.#steps = [
      own("deploy", 100, () => this.#bootAgent()),
      request.overIscsi === undefined
        ? own("write_image", 80, () => this.#writeImage(), true)
        : own("write_image", 80, () => this.#writeOverIscsi()),
      own("prepare_instance_boot", 60, () => this.#prepareInstanceBoot()),
      own("tear_down_agent", 40, () => this.#tearDownAgent()),
      own("boot_instance", 20, () => this.#bootInstance()),
      ...requested,
    ].sort((one, other) => byPriority(one.step, other.step));
  }

  get finished(): Promise<void> {
    return this.#end.promise;
  }

  async begin(): Promise<void> {
    const { node } = this.#task;
    node.lastError = null;
    const { image, bootMode, configDrive } = this.#request;
    node.instanceInfo = {
      ...node.instanceInfo,
      image_source: image.url,
      image_url: image.url,
      capabilities: { boot_mode: bootMode },
      image_type: image.partitions === undefined ? "whole-disk" : "partition",
      // Data stays an object in the record: the image is built when the step is sent.
      ...(configDrive ? { configdrive: configDrive as Json } : {}),
    };
    this.#task.setState("deploying");
    await this.#guarded("Failed to prepare to deploy", () => this.#runFrom(0));
  }

  /** A heartbeat in "wait call-back". */
  async heartbeat(): Promise<void> {
    const task = this.#task;
    if (!task.node.cachedSteps.has("deploy")) {
      const loaded = await this.#guarded("Failed to load in-band deploy steps", () =>
        task.refreshSteps("deploy"),
      );
      if (loaded === undefined) return;
    }
    await this.#guarded("Failed to process the next deploy step", () => this.#processNextStep());
  }

  async timedOut(): Promise<void> {
    const { uuid } = this.#task.node;
    await this.#fail(`Timeout reached while waiting for callback for node ${uuid}`, STEP_NOT_RUN);
  }

  close(): void {
    this.#end.reject(new OperationClosed());
  }

  async #fail(lastError: string, { collectLogs, powerOff }: FailureHandling): Promise<void> {
    const { node, signal } = this.#task;
    if (signal.aborted) return this.close();
    if (collectLogs) await this.#task.collectLogs("failure");
    node.lastError = lastError;
    this.#task.close();
    try {
      if (powerOff) await this.#task.powerOff();
    } catch (error) {
      this.#task.warn(`Failed to power off after the failure: ${messageOf(error)}`);
    }
    node.wipeAgent();
    this.#task.setState("deploy failed");
    this.#task.emit({ type: "failed", node: node.uuid, kind: "deploy", lastError });
    this.#end.reject(new OperationFailed(lastError));
  }

  async #processNextStep(): Promise<void> {
    const current = this.#current();
    const judgement = judge(await this.#task.agent.commands(), "deploy", current.step);
    const named = `deploy step ${pythonText(current.step)} on node ${this.#task.node.uuid}`;
    switch (judgement.verdict) {
      case "fresh":
        // First heartbeat of this boot: the step that booted the agent is done by that.
        if (!this.#retry) this.#task.stepFinished("deploy", current.step);
        return await this.#goOn();
      case "wait":
        if (this.#retry && judgement.reason !== "the step is running") await this.#goOn();
        return;
      case "succeeded":
        if (current.step.reboot_requested === true) return await this.#task.bootRamdisk();
        this.#task.stepFinished("deploy", current.step);
        return await this.#goOn();
      case "failed":
        return await this.#fail(
          `Deploy step ${stepName(current.step)} failed on node ${this.#task.node.uuid}. ${judgement.error}`,
          STEP_FAILED,
        );
      case "version-mismatch":
        // Unlike cleaning, a deployment goes on from where it is.
        await this.#task.refreshSteps("deploy");
        return await this.#goOn();
      case "unknown-status":
        return await this.#fail(
          `Agent returned unknown status for ${named} : ${judgement.status}.`,
          STEP_FAILED,
        );
    }
  }

  /** Runs the next step, or the one in progress once more if the agent was busy. */
  async #goOn(): Promise<void> {
    this.#task.setState("deploying");
    const next = this.#retry ? this.#at : this.#at + 1;
    this.#retry = false;
    await this.#runFrom(next);
  }

  /** Runs steps until one has to wait for the agent, or the node is active. */
  async #runFrom(first: number): Promise<void> {
    for (this.#at = first; this.#at < this.#steps.length; this.#at++) {
      const { step, inBand, run } = this.#current();
      this.#task.stepStarted("deploy", step, inBand);
      let outcome: Outcome;
      try {
        outcome = await run();
      } catch (error) {
        if (!(error instanceof AgentInProgressError)) {
          const lastError = `Deploy step ${stepName(step)} failed: ${messageOf(error)}`;
          if (error instanceof HandledFailure) return await this.#fail(lastError, OWN_FAILURE);
          return await this.#fail(`${lastError}.`, STEP_NOT_RUN);
        }
        this.#retry = true;
        this.#task.emit({ type: "agent-busy", node: this.#task.node.uuid, command: error.command });
        outcome = "wait";
      }
      if (outcome === "wait") return this.#task.setState("wait call-back");
      this.#task.stepFinished("deploy", step);
    }
    this.#task.close();
    this.#task.setState("active");
    this.#task.emit({ type: "finished", node: this.#task.node.uuid, kind: "deploy" });
    this.#end.resolve();
  }

  // --- The steps ---

  async #bootAgent(): Promise<Outcome> {
    await this.#task.bootRamdisk();
    return "wait";
  }

  async #writeImage(): Promise<Outcome> {
    const { node } = this.#task;
    const configdrive = await wireConfigDrive(this.#request.configDrive, node.uuid, node.name);
    return await this.#executeInAgent({
      interface: "deploy",
      step: "write_image",
      args: { image_info: imageInfo(this.#request, node.uuid, configdrive), configdrive },
    });
  }

  async #writeOverIscsi(): Promise<Outcome> {
    const { node, agent, settings } = this.#task;
    const { image, configDrive, overIscsi } = this.#request;
    const iqn = `iqn.2008-10.org.openstack:${node.uuid}`;
    const answer = await agent.startIscsiTarget(iqn, settings.iscsiPortalPort);
    if (answer.command_status === "FAILED") {
      const reason = errorText(answer.command_error ?? null);
      throw new HandledFailure(
        `Failed to start the iSCSI target to deploy the node ${node.uuid}. Error: ${reason}`,
      );
    }
    const lun = { address: new URL(node.agent?.url ?? "").hostname, port: settings.iscsiPortalPort, iqn };
    try {
      const content = { image, configDrive: await wireConfigDrive(configDrive, node.uuid, node.name) };
      await overIscsi?.(lun, content);
    } catch (error) {
      throw new HandledFailure(`Deploy failed for instance ${node.uuid}. Error: ${messageOf(error)}`);
    }
    return "done";
  }

  async #executeInAgent(step: Step): Promise<Outcome> {
    await this.#task.executeStep("deploy", step);
    return "wait";
  }

  /**
   * A whole disk in BIOS mode brings all that it needs, unless it is on a software RAID; with UEFI the firmware must be told
   * about its boot loader, and a partition image always needs one.
   */
  async #prepareInstanceBoot(): Promise<Outcome> {
    const { node, agent, settings } = this.#task;
    const { image, bootMode, overIscsi } = this.#request;
    // What it wrote itself it knows.
    const uuids = overIscsi === undefined ? (await agent.getPartitionUuids()).command_result : {};
    const wholeDisk = image.partitions === undefined;
    const softwareRaid = isSoftwareRaid(node.targetRaidConfig);
    if (wholeDisk && bootMode === "bios" && !softwareRaid) return "done";

    const known = member(uuids, "root uuid") ?? null;
    let command: Command | null = await agent.installBootloader({
      rootUuid: softwareRaid ? (image.rootUuid ?? known) : known,
      espUuid: wholeDisk || bootMode === "bios" ? null : (member(uuids, "efi system partition uuid") ?? null),
      bootMode,
    });
    for (let attempt = 0; command?.command_status === "RUNNING"; attempt++) {
      if (attempt >= settings.commandWaitAttempts) {
        throw new Error(`Timeout executing command install_bootloader on node ${node.uuid}`);
      }
      await this.#task.pause(settings.commandWaitInterval);
      command = await agent.lastCommand("install_bootloader");
    }
    if (command?.command_status !== "SUCCEEDED") {
      const reason = errorText(command?.command_error ?? null);
      throw new HandledFailure(`Failed to install a bootloader when deploying node ${node.uuid}: ${reason}`);
    }
    return "done";
  }

  async #tearDownAgent(): Promise<Outcome> {
    await this.#task.collectLogs("success");
    await this.#task.softPowerOff();
    return "done";
  }

  async #bootInstance(): Promise<Outcome> {
    await this.#task.bootDisk();
    return "done";
  }

  #current(): DeployStep {
    const step = this.#steps[this.#at];
    if (step === undefined) throw new Error("The deployment has no step in progress.");
    return step;
  }

  /** Runs part of a heartbeat; an error in it fails the deployment with the context that Ironic gives. */
  async #guarded<T>(context: string, body: () => Promise<T>): Promise<T | undefined> {
    try {
      return await body();
    } catch (error) {
      await this.#fail(`${context}: ${messageOf(error)}`, OWN_FAILURE);
      return undefined;
    }
  }
}

/** `image_info` as the conductor sends it for a whole-disk image. */
function imageInfo(request: DeployRequest, nodeUuid: string, configdrive: string | null): JsonObject {
  const { image } = request;
  return {
    id: image.url.slice(image.url.lastIndexOf("/") + 1),
    urls: [image.url],
    disk_format: image.diskFormat,
    container_format: null,
    stream_raw_images: request.streamRawImages ?? true,
    ...(image.checksum === undefined ? {} : { checksum: image.checksum }),
    ...(image.osHashAlgo === undefined ? {} : { os_hash_algo: image.osHashAlgo }),
    ...(image.osHashValue === undefined ? {} : { os_hash_value: image.osHashValue }),
    node_uuid: nodeUuid,
    ...(configdrive === null ? {} : { configdrive }),
    ...(image.partitions === undefined ? {} : partitionInfo(request)),
  };
}

/** What the conductor adds for a partition image: everything it has, null where it has nothing. */
function partitionInfo({ image: { partitions }, bootMode }: DeployRequest): JsonObject {
  return {
    ...{ kernel: null, ramdisk: null, image_type: "partition" },
    root_gb: Math.floor((partitions?.root ?? 0) / 1024),
    root_mb: partitions?.root ?? 0,
    swap_mb: partitions?.swap ?? 0,
    ephemeral_mb: partitions?.ephemeral ?? 0,
    ephemeral_format: null,
    preserve_ephemeral: false,
    deploy_boot_mode: bootMode,
    boot_option: "local",
  };
}

function isSoftwareRaid(targetRaidConfig: JsonObject): boolean {
  const disks = targetRaidConfig.logical_disks;
  return Array.isArray(disks) && disks.some((disk) => member(disk, "controller") === "software");
}

async function wireConfigDrive(
  configDrive: DeployRequest["configDrive"],
  uuid: string,
  name: string | null,
): Promise<string | null> {
  if (configDrive === undefined || configDrive === null || typeof configDrive === "string") {
    return configDrive ?? null;
  }
  return await buildConfigDrive(configDrive, { uuid, name });
}
