// What happens to a node over its life, and to several of them at the same time.

import { check } from "../check.ts";
import { signaturesOn } from "../disk-content.ts";
import type { Scenario } from "../scenario.ts";
import type { StageNode } from "../stage-node.ts";

const SHELL_TIMEOUT_MS = 60_000;

export const deployAgain: Scenario = {
  name: "deploy-again",
  about: "undeployed through cleaning, then deployed again with another image",
  async run(stage) {
    const node = await stage.enrol({ firmware: "uefi" });
    await node.provide();
    await node.deploy();
    await node.undeploy();
    const [disk = ""] = node.managed.machine.diskFiles;
    const signatures = await signaturesOn(disk);
    check(signatures.length === 0, "nothing is recognised on the disk after cleaning", signatures.join(", "));
    await node.deploy({ format: "qcow2" });
  },
};

export const twoAtOnce: Scenario = {
  name: "two-at-once",
  about:
    "two machines deployed at the same time, one BIOS and raw, one UEFI and qcow2; each sees its own BMC",
  async run(stage) {
    const first = await stage.enrol({ firmware: "bios" });
    const second = await stage.enrol({ firmware: "uefi", disks: [{ bus: "nvme" }] });
    await Promise.all([first.provide(), second.provide()]);
    await Promise.all([
      first.when(
        "write image",
        () => first.deploy(),
        () => seesItsBmc(first),
      ),
      second.when(
        "write image",
        () => second.deploy({ format: "qcow2" }),
        () => seesItsBmc(second),
      ),
    ]);
  },
};

/** What ipmitool reads from inside the machine, through the KCS interface: the agent's own way to its BMC. */
async function seesItsBmc({ managed }: StageNode): Promise<void> {
  const printed = await managed.machine.shell("ipmitool lan print 1", SHELL_TIMEOUT_MS);
  check(printed.includes(managed.bmcMac), `the machine's BMC has the address ${managed.bmcMac}`, printed);
}

export const tlsRequired: Scenario = {
  name: "tls-required",
  about: "the conductor refuses agents without TLS (require_tls)",
  async run(stage) {
    await using _ironic = await stage.configured({ agent: { require_tls: true } });
    const node = await stage.enrol();
    await node.provide();
    await node.deploy();
    const { agent } = node.managed;
    check(agent?.url.startsWith("https://") === true, "the agent's address is https", String(agent?.url));
    check(agent?.certificateFile !== null, "Ironic holds the agent's certificate", "no certificate");
  },
};
