// The ramdisk's logs in the conductor's hands, where operators look after a failure.

import { check } from "../check.ts";
import type { Scenario } from "../scenario.ts";

const WRONG_SHA256 = "0".repeat(64);
const EXPECTED = [
  "ps",
  "df",
  "ip_addr",
  "lsblk",
  "lshw",
  "mdstat",
  "dmesg",
  "var/log/ironic-python-agent.log",
];

export const ramdiskLogs: Scenario = {
  name: "ramdisk-logs",
  about:
    "Ironic fetches the ramdisk's logs after a cleaning, after a failed deployment and after a successful one",
  async run(stage) {
    const node = await stage.enrol();
    const complete = async (what: string, label?: "cleaning") => {
      const names = await node.logsFetched(label);
      const missing = EXPECTED.filter((name) => !names.includes(name));
      check(missing.length === 0, `the logs of ${what} hold ${missing.join(", ")}`, names.join(", "));
    };
    await node.clean();
    await complete("a cleaning", "cleaning");
    await node.failsToDeploy({ sha256: WRONG_SHA256 }, /checksum/i);
    await complete("a failed deployment");
    const before = await node.logArchives();
    await node.deploy();
    await complete("a deployment");
    const after = await node.logArchives();
    check(
      after.length === before.length + 1,
      "a successful deployment's logs are fetched once",
      after.join(", "),
    );
  },
};
