// A deployment driven against a scripted agent over real HTTP: the order of messages of the conductor contract (6.3), and
// what becomes of agents that answer badly (2.3 to 2.8).

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { JsonObject } from "../../src/json.ts";
import { thrower } from "../support/rejection.ts";
import { testCertificate } from "./certificate.ts";
import type { DeployRequest } from "./direct-deploy.ts";
import { Lab, MAC, UUID } from "./lab.ts";
import { fault, succeeded } from "./scripted-agent.ts";

const CERTIFICATE = await testCertificate("127.0.0.1");

const REQUEST: DeployRequest = {
  image: { url: "http://images/disk.raw", diskFormat: "raw", osHashAlgo: "sha256", osHashValue: "40aa" },
  bootMode: "bios",
  configDrive: "H4sIcGxhY2Vob2xkZXI=",
};

let lab: Lab;
beforeEach(() => {
  lab = new Lab();
});
afterEach(() => lab[Symbol.asyncDispose]());

test("boots the ramdisk with the parameters that Ironic passes", async () => {
  await lab.begin(lab.conductor.deploy(lab.node, REQUEST));
  expect(lab.power.boots).toHaveLength(1);
  const boot = lab.power.boots[0]!;
  if (boot.device !== "ramdisk") throw new Error("not the ramdisk");
  expect(boot.kernelParameters).toContain(`ipa-api-url=${lab.conductor.url}`);
  expect(boot.kernelParameters).toContain("ipa-debug=1");
  expect(boot.kernelParameters).toContain("BOOTIF=52:54:00:aa:bb:01");
  expect(boot.kernelParameters.join(" ")).toMatch(/ipa-global-request-id=req-[0-9a-f-]{36}/);
  expect(boot.kernelParameters.join(" ")).not.toContain("token");
});

test("a whole disk in BIOS mode: the messages and states of the contract", async () => {
  const { end } = await lab.begin(lab.conductor.deploy(lab.node, REQUEST));
  await lab.heartbeat();
  expect(lab.agent.names).toEqual(["get_deploy_steps", "execute_deploy_step"]);
  await lab.heartbeat();
  expect(lab.agent.names).toHaveLength(2);
  lab.agent.finishStep("deploy");
  await lab.heartbeat();
  await end;
  expect(lab.agent.names.slice(2)).toEqual(["get_partition_uuids", "power_off"]);
  expect(lab.agent.received.map(({ wait }) => wait)).toEqual(["true", "false", "true", "false"]);
  const states = lab.events.filter((event) => event.type === "state").map(({ to }) => to);
  expect(states).toEqual([
    "deploying",
    "wait call-back",
    "deploying",
    "wait call-back",
    "deploying",
    "active",
  ]);
  expect(lab.power.boots.map(({ device }) => device)).toEqual(["ramdisk", "disk"]);
  expect(lab.power.plugPulled).toBe(0);
  expect(lab.node.token).toBeNull();
});

test("write_image carries image, config drive, lab.node, ports and version", async () => {
  await lab.begin(lab.conductor.deploy(lab.node, REQUEST));
  await lab.heartbeat();
  const { params } = lab.agent.received[1]!;
  expect(params.step).toEqual({
    interface: "deploy",
    step: "write_image",
    args: {
      configdrive: "H4sIcGxhY2Vob2xkZXI=",
      image_info: {
        id: "disk.raw",
        urls: ["http://images/disk.raw"],
        disk_format: "raw",
        container_format: null,
        stream_raw_images: true,
        os_hash_algo: "sha256",
        os_hash_value: "40aa",
        node_uuid: UUID,
        configdrive: "H4sIcGxhY2Vob2xkZXI=",
      },
    },
  });
  expect(params.deploy_version).toEqual({ generic_hardware_manager: "1.1" });
  expect(params.ports).toMatchObject([{ address: MAC, pxe_enabled: true, node_uuid: UUID }]);
  expect(params.node).toMatchObject({
    uuid: UUID,
    instance_info: { configdrive: "H4sIcGxhY2Vob2xkZXI=" },
    driver_internal_info: { agent_secret_token: "******", agent_erase_devices_iterations: 1 },
  });
  expect(lab.agent.received[0]!.params.node).toMatchObject({ instance_info: { configdrive: "******" } });
});

test("UEFI adds the boot loader, and waits until it is installed", async () => {
  const { end } = await lab.begin(lab.conductor.deploy(lab.node, { ...REQUEST, bootMode: "uefi" }));
  lab.agent.on("image.install_bootloader", () => {
    setTimeout(() => lab.agent.finish(), 20);
    return { command_status: "RUNNING" };
  });
  await lab.heartbeat();
  lab.agent.finishStep("deploy");
  await lab.heartbeat();
  await end;
  expect(lab.agent.names.slice(2)).toEqual(["get_partition_uuids", "install_bootloader", "power_off"]);
  expect(lab.agent.received[3]!.params).toEqual({
    root_uuid: "0x1a2b3c4d",
    efi_system_part_uuid: null,
    prep_boot_part_uuid: null,
    target_boot_mode: "uefi",
  });
});

test("a partition image: how the disk is divided, and always a boot loader", async () => {
  const image = { ...REQUEST.image, partitions: { root: 2048, swap: 64 } };
  const { end } = await lab.begin(lab.conductor.deploy(lab.node, { ...REQUEST, image, bootMode: "uefi" }));
  const uuids = { "root uuid": "1be26c0b-03f2", "efi system partition uuid": "ABCD-EF01" };
  lab.agent.on("standby.get_partition_uuids", () => succeeded(uuids));
  lab.agent.on("image.install_bootloader", () => succeeded(null));
  await lab.heartbeat();
  lab.agent.finishStep("deploy");
  await lab.heartbeat();
  await end;
  expect(lab.agent.received[1]!.params).toMatchObject({
    step: {
      args: {
        image_info: {
          ...{ image_type: "partition", root_gb: 2, root_mb: 2048, swap_mb: 64, ephemeral_mb: 0 },
          ...{ ephemeral_format: null, preserve_ephemeral: false, deploy_boot_mode: "uefi" },
          boot_option: "local",
        },
      },
    },
    node: { driver_internal_info: { is_whole_disk_image: false } },
  });
  expect(lab.agent.received[3]!.params).toEqual({
    ...{ root_uuid: "1be26c0b-03f2", efi_system_part_uuid: "ABCD-EF01" },
    ...{ prep_boot_part_uuid: null, target_boot_mode: "uefi" },
  });
});

test("a whole disk on a software RAID in BIOS mode: GRUB by the root file system of the image's metadata", async () => {
  lab.node.targetRaidConfig = { logical_disks: [{ controller: "software", raid_level: "1" }] };
  const image = { ...REQUEST.image, rootUuid: "1be26c0b-03f2" };
  const { end } = await lab.begin(lab.conductor.deploy(lab.node, { ...REQUEST, image }));
  lab.agent.on("image.install_bootloader", () => succeeded(null));
  await lab.heartbeat();
  lab.agent.finishStep("deploy");
  await lab.heartbeat();
  await end;
  expect(lab.agent.received[3]!.params).toMatchObject({
    ...{ root_uuid: "1be26c0b-03f2", efi_system_part_uuid: null, target_boot_mode: "bios" },
  });
});

// contract 6.5
describe("the iscsi deploy interface", () => {
  const IQN = `iqn.2008-10.org.openstack:${UUID}`;

  test("has the agent offer the disk, writes it, and only then sets up booting", async () => {
    const written: unknown[] = [];
    const overIscsi: DeployRequest["overIscsi"] = async (lun, content) => {
      written.push([...lab.agent.names, lun, content]);
    };
    lab.agent.on("iscsi.start_iscsi_target", () => succeeded({ iscsi_target_iqn: IQN }));
    lab.agent.on("image.install_bootloader", () => succeeded(null));
    const { end } = await lab.begin(
      lab.conductor.deploy(lab.node, { ...REQUEST, bootMode: "uefi", overIscsi }),
    );
    await lab.heartbeat();
    await end;
    expect(lab.agent.names).toEqual([
      "get_deploy_steps",
      "start_iscsi_target",
      "install_bootloader",
      "power_off",
    ]);
    expect(lab.agent.received[1]).toEqual({
      name: "iscsi.start_iscsi_target",
      params: { iqn: IQN, portal_port: 3260, wipe_disk_metadata: true },
      wait: "true",
    });
    expect(lab.agent.received[2]!.params).toMatchObject({ root_uuid: null, target_boot_mode: "uefi" });
    expect(written).toEqual([
      [
        ...["get_deploy_steps", "start_iscsi_target"],
        { address: "127.0.0.1", port: 3260, iqn: IQN },
        { image: REQUEST.image, configDrive: REQUEST.configDrive },
      ],
    ]);
  });

  test("an agent that cannot offer it fails the deployment with its reason", async () => {
    lab.agent.on("iscsi.start_iscsi_target", () => ({
      command_status: "FAILED",
      command_error: {
        type: "ISCSIError",
        code: 500,
        message: "Error starting iSCSI target",
        details: "why",
      },
    }));
    const { end } = await lab.begin(
      lab.conductor.deploy(lab.node, { ...REQUEST, overIscsi: () => Promise.reject(new Error("written")) }),
    );
    await lab.heartbeat();
    expect(await thrower(end)).toThrow(/Failed to start the iSCSI target to deploy the node .* why/);
    expect(lab.node.provisionState).toBe("deploy failed");
  });
});

test("the agent is reached over TLS with nothing but its own certificate", async () => {
  await lab[Symbol.asyncDispose]();
  lab = new Lab({ requireTls: true }, { tls: CERTIFICATE });
  await lab.begin(lab.conductor.deploy(lab.node, REQUEST));
  await lab.heartbeat();
  expect(lab.agent.names).toEqual(["get_deploy_steps", "execute_deploy_step"]);
});

test("another certificate than the announced one fails the deployment", async () => {
  await lab[Symbol.asyncDispose]();
  lab = new Lab({ maxCommandAttempts: 1 }, { tls: CERTIFICATE });
  const { end } = await lab.begin(lab.conductor.deploy(lab.node, REQUEST));
  const other = await testCertificate("127.0.0.1");
  await lab.heartbeat({ agent_verify_ca: other.cert });
  expect(await thrower(end)).toThrow(
    "Failed to load in-band deploy steps: Connection to agent failed: Failed to connect to the agent running on",
  );
  expect(lab.agent.names).toEqual([]);
});

test("further steps run by priority around the image", async () => {
  const step = (name: string, priority: number) => ({ interface: "raid", step: name, priority, args: {} });
  const request = { ...REQUEST, steps: [step("after", 70), step("before", 90)] };
  const { end } = await lab.begin(lab.conductor.deploy(lab.node, request));
  for (let count = 0; count < 3; count++) {
    await lab.heartbeat();
    lab.agent.finishStep("deploy");
  }
  await lab.heartbeat();
  await end;
  const steps = lab.agent.received.filter(({ name }) => name.endsWith("execute_deploy_step"));
  expect(steps.map(({ params }) => (params.step as JsonObject).step)).toEqual([
    "before",
    "write_image",
    "after",
  ]);
});

test("a failed step ends in deploy failed with its details, logs collected and the machine still on", async () => {
  const { end } = await lab.begin(lab.conductor.deploy(lab.node, REQUEST));
  await lab.heartbeat();
  lab.agent.finish({
    command_status: "FAILED",
    command_error: { type: "ImageChecksumError", code: 500, message: "m", details: "wrong checksum" },
  });
  await lab.heartbeat();
  const lastError = `Deploy step deploy.write_image failed on node ${UUID}. wrong checksum`;
  expect(await thrower(end)).toThrow(lastError);
  expect(lab.node).toMatchObject({ provisionState: "deploy failed", lastError, maintenance: false });
  expect(lab.agent.names.at(-1)).toBe("collect_system_logs");
  expect(lab.power.isOn).toBe(true);
  // Its token is forgotten, so the agent's next heartbeats are refused.
  expect(await thrower(lab.heartbeat())).toThrow("Invalid or missing agent token received.");
  expect(lab.events.map(({ type }) => type)).toContain("ramdisk-logs");
});

test("an unknown status fails the deployment", async () => {
  const { end } = await lab.begin(lab.conductor.deploy(lab.node, REQUEST));
  await lab.heartbeat();
  lab.agent.finish({ command_status: "WEIRD" });
  await lab.heartbeat();
  expect(await thrower(end)).toThrow(
    /Agent returned unknown status for deploy step \{'interface': 'deploy', 'step': 'write_image'.* : WEIRD\./,
  );
});

test("an error that is a string fails the deployment", async () => {
  const { end } = await lab.begin(lab.conductor.deploy(lab.node, REQUEST));
  await lab.heartbeat();
  lab.agent.finish({ command_status: "FAILED", command_error: "boom" });
  await lab.heartbeat();
  expect(await thrower(end)).toThrow(/Failed to process the next deploy step: .*boom/);
});

test("an HTTP error to a step fails the deployment with the agent's words", async () => {
  const { end } = await lab.begin(lab.conductor.deploy(lab.node, REQUEST));
  lab.agent.on("deploy.execute_deploy_step", () => fault(400, "Invalid command parameters: no"));
  await lab.heartbeat();
  expect(await thrower(end)).toThrow(
    `Deploy step deploy.write_image failed: Agent API for node ${UUID} returned HTTP status code 400 with error: Invalid command parameters: no.`,
  );
  // Who runs the steps fetches no logs; only failed steps have that done.
  expect(lab.agent.names).not.toContain("collect_system_logs");
});

test("an HTTP error without faultstring fails the deployment", async () => {
  const { end } = await lab.begin(lab.conductor.deploy(lab.node, REQUEST));
  lab.agent.on("deploy.execute_deploy_step", () => Response.json({ oops: 1 }, { status: 500 }));
  await lab.heartbeat();
  expect(await thrower(end)).toThrow("HTTP 500 without a faultstring");
});

test.each([
  [{}, "Keys: {'deploy_steps', 'hardware_manager_version'} are missing from result: {}."],
  [{ deploy_steps: {} }, "hardware_manager_version"],
  [
    { deploy_steps: { m: [{ interface: "deploy", step: "x" }] }, hardware_manager_version: {} },
    "invalid deploy step. Keys: {'priority'} are missing from step: {'interface': 'deploy', 'step': 'x'}.",
  ],
])("steps that Ironic cannot take fail the deployment: %j", async (result, text) => {
  const { end } = await lab.begin(lab.conductor.deploy(lab.node, REQUEST));
  lab.agent.on("deploy.get_deploy_steps", () => succeeded(result));
  await lab.heartbeat();
  expect(await thrower(end)).toThrow(text);
});

test.each([409, 500])("a busy agent (HTTP %d) gets the step again at the next heartbeat", async (status) => {
  await lab.begin(lab.conductor.deploy(lab.node, REQUEST));
  lab.agent.on("deploy.execute_deploy_step", () => fault(status, "Agent is busy: executing command x"));
  await lab.heartbeat();
  expect(lab.node.provisionState).toBe("wait call-back");
  lab.agent.on("deploy.execute_deploy_step", () => ({ command_status: "RUNNING" }));
  await lab.heartbeat();
  expect(lab.agent.names.slice(1)).toEqual(["execute_deploy_step", "execute_deploy_step"]);
  expect(lab.agent.entries.at(-1)).toMatchObject({ command_status: "RUNNING" });
});

test("a version mismatch reads the steps again and goes on", async () => {
  const { end } = await lab.begin(lab.conductor.deploy(lab.node, REQUEST));
  await lab.heartbeat();
  lab.agent.finish({ command_status: "CLEAN_VERSION_MISMATCH" });
  await lab.heartbeat();
  await end;
  expect(lab.agent.names.slice(2)).toEqual(["get_deploy_steps", "get_partition_uuids", "power_off"]);
});

test("a foreign entry at the end of the list stalls the deployment, as it does with Ironic", async () => {
  await lab.begin(lab.conductor.deploy(lab.node, REQUEST));
  await lab.heartbeat();
  lab.agent.finishStep("deploy");
  lab.agent.entries.push({ ...lab.agent.entries[0]!, command_name: "prepare_image" });
  await lab.heartbeat();
  await lab.heartbeat();
  expect(lab.node.provisionState).toBe("wait call-back");
  expect(lab.agent.names).toHaveLength(2);
});

test("an agent that refuses target_boot_mode gets the older command; a failing boot loader fails the node", async () => {
  const { end } = await lab.begin(lab.conductor.deploy(lab.node, { ...REQUEST, bootMode: "uefi" }));
  lab.agent.on("image.install_bootloader", (params) =>
    "target_boot_mode" in params
      ? fault(400, "unexpected keyword argument")
      : { command_status: "FAILED", command_error: { details: "no ESP" } },
  );
  await lab.heartbeat();
  lab.agent.finishStep("deploy");
  await lab.heartbeat();
  expect(await thrower(end)).toThrow(
    `Deploy step deploy.prepare_instance_boot failed: Failed to install a bootloader when deploying node ${UUID}: no ESP`,
  );
});

test("a machine that does not power off has its plug pulled, and the deployment goes on", async () => {
  const { end } = await lab.begin(lab.conductor.deploy(lab.node, REQUEST));
  lab.agent.on("standby.power_off", () => ({ command_status: "RUNNING" }));
  await lab.heartbeat();
  lab.agent.finishStep("deploy");
  await lab.heartbeat();
  await end;
  expect(lab.power.plugPulled).toBe(1);
  expect(
    lab.events.some((event) => event.type === "warning" && event.message.includes("hard power off")),
  ).toBe(true);
});

test("heartbeats during the conductor's own steps come to nothing", async () => {
  const { end } = await lab.begin(lab.conductor.deploy(lab.node, REQUEST));
  lab.agent.on("standby.get_partition_uuids", async () => {
    expect((await lab.agent.heartbeat()).status).toBe(202);
    while (!lab.events.some((event) => event.type === "heartbeat" && event.outcome === "dropped"))
      await Bun.sleep(1);
    return succeeded({});
  });
  await lab.heartbeat();
  lab.agent.finishStep("deploy");
  await lab.heartbeat();
  await end;
  expect(lab.agent.names).toEqual([
    "get_deploy_steps",
    "execute_deploy_step",
    "get_partition_uuids",
    "power_off",
  ]);
});

test("logs that are always collected are fetched while the agent still runs", async () => {
  await lab[Symbol.asyncDispose]();
  lab = new Lab({ deployLogsCollect: "always" });
  const { end } = await lab.begin(lab.conductor.deploy(lab.node, REQUEST));
  await lab.heartbeat();
  lab.agent.finishStep("deploy");
  await lab.heartbeat();
  await end;
  expect(lab.agent.names.slice(2)).toEqual(["get_partition_uuids", "collect_system_logs", "power_off"]);
  expect(lab.seen("ramdisk-logs")?.archive).toEqual(Buffer.from("logs"));
});

test("logs that are never collected are not fetched after a failure either", async () => {
  await lab[Symbol.asyncDispose]();
  lab = new Lab({ deployLogsCollect: "never" });
  const { end } = await lab.begin(lab.conductor.deploy(lab.node, REQUEST));
  await lab.heartbeat();
  lab.agent.finish({ command_status: "FAILED", command_error: { details: "d" } });
  await lab.heartbeat();
  await thrower(end);
  expect(lab.agent.names).not.toContain("collect_system_logs");
});

test("a conductor told to ignore heartbeats accepts them and does nothing", async () => {
  lab.conductor.faults.ignoreHeartbeats = true;
  await lab.begin(lab.conductor.deploy(lab.node, REQUEST));
  await lab.heartbeat();
  expect(lab.agent.names).toEqual([]);
  expect(lab.seen("heartbeat")).toMatchObject({ outcome: "dropped" });
  lab.conductor.faults.ignoreHeartbeats = false;
  await lab.heartbeat();
  expect(lab.agent.names).toEqual(["get_deploy_steps", "execute_deploy_step"]);
});

test("a node that never calls fails when its time is up", async () => {
  await lab[Symbol.asyncDispose]();
  lab = new Lab({ callbackTimeout: 1 });
  expect(await thrower(lab.conductor.deploy(lab.node, REQUEST))).toThrow(
    `Timeout reached while waiting for callback for node ${UUID}`,
  );
  expect(lab.node.provisionState).toBe("deploy failed");
});

test("progress of a running step reaches the observers and decides nothing", async () => {
  await lab[Symbol.asyncDispose]();
  lab = new Lab({ progressInterval: 1 });
  await lab.begin(lab.conductor.deploy(lab.node, REQUEST));
  const progress = { phase: "writing", done: 5, total: 10, unit: "bytes", rate: null };
  lab.agent.on("deploy.execute_deploy_step", () => ({
    command_status: "RUNNING",
    command_progress: progress,
  }));
  await lab.heartbeat();
  while (lab.seen("step-progress") === undefined) await Bun.sleep(1);
  expect(lab.seen("step-progress")).toMatchObject({ progress, step: { step: "write_image" } });
  lab.agent.finish({ command_status: "FAILED", command_error: { details: "x" } });
  await Bun.sleep(10);
  expect(lab.node.provisionState).toBe("wait call-back");
});
test("a node takes one operation at a time", async () => {
  await lab.begin(lab.conductor.deploy(lab.node, REQUEST));
  expect(await thrower(lab.conductor.clean(lab.node))).toThrow("another operation is under way");
});

test("closing the conductor ends an operation that waits, and leaves the machine alone", async () => {
  const { end } = await lab.begin(lab.conductor.deploy(lab.node, REQUEST));
  await lab.conductor[Symbol.asyncDispose]();
  expect(await thrower(end)).toThrow("The conductor was closed.");
  expect(lab.power.isOn).toBe(true);
});
