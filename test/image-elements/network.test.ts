// What the ramdisk's files make of a network, by the real systemd-networkd in a network namespace: addresses by DHCP, asked for as the
// firmware does, and those of a config drive. No bonds and VLANs: the development machine's kernel has neither.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const STATIC = resolve(import.meta.dir, "../../image-elements/dib/ironic-agent-ramdisk/static");
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "networkd-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

// Cards have no kind, veths have one: that line goes, and the names tell which is meant.
const SCRIPT = `
set -eu
mount --make-rprivate /
# Read-only, as in a container: then networkd does not wait for udev to have seen the cards.
mount -t sysfs -o ro sysfs /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/network
mount -t tmpfs tmpfs /etc/systemd/network
ip link set lo up
ip link add static0 address 52:54:00:00:00:01 type veth peer name peer0
ip link add dhcp0 address 52:54:00:00:00:02 type veth peer name peer1
ip link set peer0 up
ip link set peer1 up
ip address add 198.18.0.1/24 dev peer1
dnsmasq --conf-file=/dev/null --user=root --pid-file= --port=0 --interface=peer1 --bind-interfaces \\
  --dhcp-range=198.18.0.100,198.18.0.200,1h --dhcp-leasefile="$1/leases" --keep-in-foreground --log-facility=- >"$1/dnsmasq.log" 2>&1 &
IRONIC_AGENT_LIBRARY="$2/usr/local/lib/ironic-agent" sh "$2/usr/local/sbin/ironic-agent-config-drive" --convert "$1/network_data.json" >/dev/null
sed -i '/^Kind=/d' /run/systemd/network/*.network
sed '/^Kind=/d; s/^Type=.*/Name=dhcp0/' "$2/etc/systemd/network/80-ironic-agent.network" >/etc/systemd/network/80-ironic-agent.network
SYSTEMD_LOG_TARGET=console /lib/systemd/systemd-networkd >"$1/networkd.log" 2>&1 &
tries=300
until ip -4 address show dhcp0 | grep -q 'inet 198' && ip -4 address show static0 | grep -q 'inet 192'; do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || { cat "$1/networkd.log" >&2; exit 1; }
  sleep 0.1
done
ip -4 -json address show dhcp0
ip -json address show static0
ip -4 -json route
`;

interface Address {
  addr_info: { family: string; local: string; prefixlen: number; scope: string }[];
}
interface Route {
  dst: string;
  gateway?: string;
  dev: string;
}

test("addresses by DHCP with the MAC as client, and those of a config drive", async () => {
  const data = {
    links: [{ id: "port0", type: "phy", ethernet_mac_address: "52:54:00:00:00:01" }],
    networks: [
      {
        link: "port0",
        type: "ipv4",
        ip_address: "192.0.2.10",
        netmask: "255.255.255.0",
        gateway: "192.0.2.1",
        routes: [{ network: "198.51.100.0", netmask: "255.255.254.0", gateway: "192.0.2.254" }],
      },
      { link: "port0", type: "ipv6", ip_address: "2001:db8::10", netmask: "ffff:ffff:ffff:ffff::" },
    ],
    services: [{ type: "dns", address: "192.0.2.53" }],
  };
  writeFileSync(join(directory, "network_data.json"), JSON.stringify(data));
  // The process namespace takes both servers down with it.
  const unshare = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
  const child = Bun.spawn([...unshare, "sh", "-c", SCRIPT, "sh", directory, STATIC], {
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(errors);
  const [dhcp, fixed, routes] = output
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line)) as [Address[], Address[], Route[]];

  expect(dhcp[0]?.addr_info[0]?.local).toStartWith("198.18.0.");
  // Client identifier 01 and the MAC, as PXE and iPXE send it: Ironic's DHCP server knows the machine by it.
  expect(await Bun.file(join(directory, "leases")).text()).toMatch(/ 01:52:54:00:00:00:02\n$/);
  const global = fixed[0]?.addr_info.filter(({ scope }) => scope === "global") ?? [];
  expect(global.map(({ local, prefixlen }) => `${local}/${prefixlen}`).sort()).toEqual([
    "192.0.2.10/24",
    "2001:db8::10/64",
  ]);
  const through = (dst: string) =>
    routes.find((route) => route.dst === dst && route.dev === "static0")?.gateway;
  expect([through("default"), through("198.51.100.0/23")]).toEqual(["192.0.2.1", "192.0.2.254"]);
}, 60_000);
