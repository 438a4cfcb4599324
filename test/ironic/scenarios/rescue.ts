// A deployed machine in trouble: its tenant logs in to the rescue ramdisk, and gets the machine back as it was.

import { check } from "../check.ts";
import type { Scenario } from "../scenario.ts";

const PASSWORD = "Rescue-me, please 1";
const CONSOLE_TIMEOUT_MS = 60_000;
const LOGIN_TIMEOUT_MS = 60_000;

export const rescue: Scenario = {
  name: "rescue",
  about:
    "rescued: the user logs in on the console with the password, no agent is left; unrescued: the system is back",
  async run(stage) {
    const node = await stage.enrol();
    await node.provide();
    await node.deploy();

    await node.rescue(PASSWORD);
    const { machine } = node.managed;
    await machine.waitForConsole(/the user rescue may log in/, { timeout: CONSOLE_TIMEOUT_MS });
    const inShell = await machine.logIn({ user: "rescue", password: PASSWORD }, LOGIN_TIMEOUT_MS);
    const user = await inShell("id -un");
    check(user === "rescue", "the password opens a shell of the user rescue", user);
    const mode = await node.shell("stat -c %a /etc/ipa-rescue-config/ipa-rescue-password");
    check(mode === "600", "nobody but root may read the password's hash", mode);
    // Longer than the ramdisk waits before it starts an agent again.
    const agents = await node.shell("sleep 10; pidof ironic-python-agent || true");
    check(agents === "", "the agent is gone and is not started again", agents);

    await node.unrescue();
  },
};
