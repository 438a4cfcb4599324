// What an agent does to its machine and must not do to ours: rebooting it, switching it off, taking its network down, making interfaces.
// The executable in QEMU, commanded through its API. Run with `bun test test/vm`.

import { describe, expect, test } from "bun:test";
import { askedFor, bootAgent } from "./agent-machine.ts";

const TIMEOUT = 900_000;
/** Milliseconds. A conductor polls 7 times, 5 s apart. */
const GONE = 35_000;

describe.skipIf(!askedFor)("a machine", () => {
  test(
    "reboots, is locked down, and goes off",
    async () => {
      await using agent = await bootAgent({
        firmware: "bios",
        disks: [{ bus: "virtio", serial: "DISK1", sizeBytes: 5 * 2 ** 30 }],
        configuration: "enable_vlan_interfaces = eth0.10,nosuch.5\n",
      });
      const { machine } = agent;

      // control-plane 11.65
      const inventory = (await agent.post("poll.get_hardware_info")).command_result;
      expect(inventory).toMatchObject({
        interfaces: [{ name: "eth0", mac_address: "52:54:00:00:00:01" }, { name: "eth0.10" }],
      });
      expect(await agent.shell("ip -d link show eth0.10")).toMatch(/vlan protocol 802.1Q id 10 /);
      await machine.waitForConsole(/WARNING .*VLAN nosuch.5 is not created/, { timeout: 10_000 });

      // control-plane 11.77
      const waits = async () =>
        Number(await agent.shell("grep -c 'the root disk is' /var/log/ironic-python-agent.log"));
      const caches = async (uuid: string) => {
        const before = await waits();
        await agent.post("clean.get_clean_steps", { node: { uuid }, ports: [] });
        return (await waits()) - before;
      };
      expect(await caches("11111111-2222-3333-4444-555555555551")).toBe(1);
      expect(await caches("11111111-2222-3333-4444-555555555551")).toBe(0);
      expect(await caches("11111111-2222-3333-4444-555555555552")).toBe(1);

      // control-plane 11.94, contract 10.56: this ramdisk has no journal
      const { system_logs } = (await agent.post("log.collect_system_logs")).command_result as {
        system_logs: string;
      };
      const list = Bun.spawn(["tar", "-tz"], { stdin: Buffer.from(system_logs, "base64"), stdout: "pipe" });
      const members = (await new Response(list.stdout).text()).trimEnd().split("\n");
      expect(members).toEqual(
        expect.arrayContaining(["dmesg", "ps", "df", "ip_addr", "lsblk", "mdstat", "mount"]),
      );
      expect(members).not.toContain("journal");
      expect(members.some((member) => member.startsWith("var/log/"))).toBe(true);

      // control-plane 11.96, contract 10.53: answered first; the hardware clock is set without any ntp_server
      expect(await agent.post("standby.run_image")).toMatchObject({
        command_name: "run_image",
        command_status: "RUNNING",
        command_result: null,
      });
      await machine.waitForExit(60_000);
      expect(machine.consoleText()).toMatch(/ran hwclock -v --systohc/);
      await agent.boot();
      // Nothing is known of the boot before.
      expect(await agent.commands()).toEqual([]);

      // control-plane 11.98, contract 10.57
      const process = await agent.shell("pidof ironic-python-agent");
      expect(await agent.post("system.lockdown")).toMatchObject({
        command_name: "lockdown",
        command_status: "SUCCEEDED",
        command_error: null,
        command_result: null,
      });
      const locked = performance.now();
      while (await agent.answers()) await Bun.sleep(200);
      expect(performance.now() - locked).toBeLessThan(GONE);
      await machine.waitForConsole(/INFO .*The agent is locked down/, { timeout: GONE });
      expect(await agent.shell("cat /sys/class/net/eth0/flags")).toMatch(/^0x[0-9a-f]*[02468ace]$/);
      expect(await agent.shell("pidof ironic-python-agent")).toBe(process);
      await machine.powerOff();

      await agent.boot();
      expect(await agent.post("standby.power_off")).toMatchObject({ command_status: "RUNNING" });
      await machine.waitForExit(60_000);
    },
    TIMEOUT,
  );
});
