// Deploys with the embedded conductor, and turns its events into the demo's phases.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { EmbeddedConductor } from "../kit/conductor.ts";
import type { ConductorEvent } from "../kit/events.ts";
import { writeLun } from "../kit/iscsi-writer.ts";
import { stepName } from "../kit/node.ts";
import { DEFAULT_SETTINGS } from "../kit/settings.ts";
import { type AgentFacts, type Deployment, type Driver, type Excerpt, fingerprintOf } from "./driver.ts";
import { MachinePower } from "./machine-power.ts";
import { amount, type Phases } from "./phases.ts";

/** As a deploy template brings it in: before the image is written. */
const BUILD_RAID = { interface: "raid", step: "apply_configuration", priority: 90 };

export class EmbeddedDriver implements Driver {
  readonly name = "embedded conductor";
  readonly qemuArguments = [];
  readonly #options: { readonly iscsi: boolean };

  constructor(options: { readonly iscsi: boolean }) {
    this.#options = options;
  }

  async deploy(deployment: Deployment, phases: Phases, signal: AbortSignal): Promise<AgentFacts> {
    await using conductor = EmbeddedConductor.start({
      hostname: deployment.address,
      settings: {
        requireTls: true,
        deployLogsCollect: "always",
        kernelParameters: [
          ...DEFAULT_SETTINGS.kernelParameters,
          "console=ttyS0",
          // Without it the kernel panics when a loaded machine lets the emulated timer wait.
          "no_timer_check",
          ...deployment.kernelParameters,
        ],
        // The same 35 seconds as Ironic's, looked at more often.
        powerOffInterval: 1000,
        powerOffAttempts: 35,
        commandWaitInterval: 1000,
        commandWaitAttempts: 600,
      },
    });
    const power = new MachinePower(deployment.machine, deployment.ramdisk);
    const { raid, image } = deployment;
    const { uuid, name, macs } = deployment.node;
    const capabilities = `boot_mode:${deployment.bootMode},boot_option:local`;
    const node = conductor.enrol(
      {
        ...{ uuid, name, macs, properties: { cpu_arch: "x86_64", capabilities } },
        ...(raid === null ? {} : { targetRaidConfig: raid }),
      },
      power,
    );
    const story = new Story(deployment, phases);
    conductor.observe((event) => story.tell(event));

    phases.begin("power on");
    const deployed = conductor.deploy(node, {
      image: {
        url: image.url,
        diskFormat: image.format,
        osHashAlgo: "sha256",
        osHashValue: image.sha256,
        rootUuid: image.rootUuid,
        ...(image.partitions === undefined
          ? {}
          : { partitions: { root: image.partitions.rootGiB * 1024, swap: image.partitions.swapMiB } }),
      },
      steps: raid === null ? [] : [{ ...BUILD_RAID, args: { raid_config: raid, delete_existing: true } }],
      bootMode: deployment.bootMode,
      configDrive: deployment.configDrive,
      ...(this.#options.iscsi ? { overIscsi: writeLun } : {}),
    });
    await orAborted(deployed, signal);
    if (story.facts === null) throw new Error("The node is active, but no agent has ever called.");
    return story.facts;
  }

  /** It has told everything as it went. */
  excerpts(): readonly Excerpt[] {
    return [];
  }

  /** The conductor ends with the deployment. */
  async [Symbol.asyncDispose](): Promise<void> {}
}

/** Which event begins and ends which phase. */
class Story {
  facts: AgentFacts | null = null;
  readonly #deployment: Deployment;
  readonly #phases: Phases;
  #imageStartedAt = 0;

  constructor(deployment: Deployment, phases: Phases) {
    this.#deployment = deployment;
    this.#phases = phases;
  }

  tell(event: ConductorEvent): void {
    const phases = this.#phases;
    switch (event.type) {
      case "power-on":
        phases.begin(event.boot.device === "disk" ? "boot from disk" : "agent starts");
        return;
      case "lookup":
        this.#lookup(event);
        return;
      case "heartbeat":
        this.#heartbeat(event);
        return;
      case "heartbeat-refused":
        // Once the conductor has switched off, a last heartbeat is refused as a matter of course.
        if (phases.current !== "power off") phases.note(`heartbeat refused: ${event.status} ${event.reason}`);
        return;
      case "steps":
        if (phases.current === "deploy steps") phases.end(event.steps.map(stepName).join(", "));
        return;
      case "step-started":
        this.#stepStarted(event.step.step);
        return;
      case "step-progress":
        if (phases.current === "write image") phases.progress(event.progress);
        return;
      case "step-finished":
        this.#stepFinished(event.step.step);
        return;
      case "ramdisk-logs":
        writeFileSync(join(this.#deployment.directory, "ramdisk-logs.tar.gz"), event.archive);
        return;
      case "agent-busy":
        phases.note(`the agent is busy, ${event.command} is sent again later`);
        return;
      case "warning":
        phases.note(event.message);
        return;
    }
  }

  #lookup(event: ConductorEvent & { type: "lookup" }): void {
    if (this.#phases.current !== "agent starts") return;
    if (event.status !== 200) {
      this.#phases.note(`lookup of ${event.addresses.join(", ")}: ${event.status}`);
      return;
    }
    this.#phases.end(`lookup of ${event.addresses.join(", ")}`);
    this.#phases.begin("first heartbeat");
  }

  #heartbeat(event: ConductorEvent & { type: "heartbeat" }): void {
    if (this.facts !== null || event.outcome !== "processed") return;
    const certificate = event.agentVerifyCa;
    this.facts = {
      version: event.agentVersion,
      url: event.callbackUrl,
      fingerprint: certificate === null ? null : fingerprintOf(certificate),
    };
    this.#phases.end(`agent ${event.agentVersion} at ${event.callbackUrl}`);
    this.#phases.begin("deploy steps");
  }

  #stepStarted(step: string): void {
    if (step === "write_image") {
      this.#imageStartedAt = performance.now();
      this.#phases.begin("write image");
    } else if (step === BUILD_RAID.step) {
      this.#phases.begin("build RAID");
    } else if (step === "prepare_instance_boot" && this.#needsBootLoader()) {
      this.#phases.begin("install boot loader");
    } else if (step === "tear_down_agent") {
      this.#phases.begin("power off");
    }
  }

  #stepFinished(step: string): void {
    if (step === "write_image") {
      const bytes = this.#deployment.image.virtualSizeBytes;
      const rate = bytes / ((performance.now() - this.#imageStartedAt) / 1000);
      this.#phases.end(`${amount(bytes, "bytes")}, ${amount(rate, "bytes")}/s`);
    } else if ([BUILD_RAID.step, "prepare_instance_boot", "tear_down_agent"].includes(step)) {
      this.#phases.end();
    }
  }

  /** A whole disk brings its own, which a BIOS finds by itself unless it is on a RAID. */
  #needsBootLoader(): boolean {
    const { bootMode, image, raid } = this.#deployment;
    return bootMode === "uefi" || image.partitions !== undefined || raid !== null;
  }
}

async function orAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    signal.throwIfAborted();
    await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
