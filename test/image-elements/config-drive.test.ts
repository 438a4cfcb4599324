// The network as a config drive describes it, turned into files for systemd-networkd by the script of the ramdisk.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const STATIC = resolve(import.meta.dir, "../../image-elements/dib/ironic-agent-ramdisk/static/usr/local");
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "network-data-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** File names and contents that become of a network_data.json. */
function converted(data: unknown): Record<string, string> {
  const network = mkdtempSync(join(directory, "network-"));
  const file = join(network, "..", `${crypto.randomUUID()}.json`);
  writeFileSync(file, JSON.stringify(data));
  const { exitCode, stderr } = Bun.spawnSync(
    ["sh", join(STATIC, "sbin/ironic-agent-config-drive"), "--convert", file],
    {
      env: {
        ...process.env,
        IRONIC_AGENT_NETWORK_DIRECTORY: network,
        IRONIC_AGENT_LIBRARY: join(STATIC, "lib/ironic-agent"),
      },
    },
  );
  if (exitCode !== 0) throw new Error(stderr.toString());
  return Object.fromEntries(
    readdirSync(network).map((name) => [name, readFileSync(join(network, name), "utf8")]),
  );
}

const phy = { id: "port-1", type: "phy", ethernet_mac_address: "52:54:00:00:00:01", mtu: 9000 };

test("a card with addresses of both families, routes and a name server", () => {
  const files = converted({
    links: [phy],
    networks: [
      {
        link: "port-1",
        type: "ipv4",
        ip_address: "192.0.2.10",
        netmask: "255.255.255.0",
        gateway: "192.0.2.1",
        routes: [{ network: "198.51.100.0", netmask: "255.255.254.0", gateway: "192.0.2.254" }],
      },
      {
        link: "port-1",
        type: "ipv6",
        ip_address: "2001:db8::10/64",
        routes: [{ network: "::", netmask: "::", gateway: "2001:db8::1" }],
      },
    ],
    services: [{ type: "dns", address: "192.0.2.53" }],
  });
  expect(files).toEqual({
    "10-ironic-agent-port-1.network": `[Match]
MACAddress=52:54:00:00:00:01
Kind=!*

[Link]
MTUBytes=9000

[Network]
LLDP=no
Address=192.0.2.10/24
Gateway=192.0.2.1
Address=2001:db8::10/64
DNS=192.0.2.53

[DHCPv4]
ClientIdentifier=mac

[Route]
Destination=198.51.100.0/23
Gateway=192.0.2.254

[Route]
Destination=::/0
Gateway=2001:db8::1
`,
  });
});

test("a bond of two cards with a VLAN on it, which asks by DHCP", () => {
  const files = converted({
    links: [
      { id: "a", type: "phy", ethernet_mac_address: "52:54:00:00:00:02" },
      { id: "b", type: "phy", ethernet_mac_address: "52:54:00:00:00:03" },
      {
        id: "bond0",
        type: "bond",
        bond_links: ["a", "b"],
        bond_mode: "802.3ad",
        bond_xmit_hash_policy: "layer3+4",
      },
      {
        id: "storage/1",
        type: "vlan",
        vlan_link: "bond0",
        vlan_id: 101,
        vlan_mac_address: "52:54:00:00:00:04",
      },
    ],
    networks: [{ link: "storage/1", type: "ipv4_dhcp" }],
  });
  expect(Object.keys(files).sort()).toEqual([
    "10-ironic-agent-a.network",
    "10-ironic-agent-b.network",
    "10-ironic-agent-bond0.netdev",
    "10-ironic-agent-bond0.network",
    "10-ironic-agent-storage_1.netdev",
    "10-ironic-agent-storage_1.network",
  ]);
  expect(files["10-ironic-agent-a.network"]).toContain("\nBond=bond0\n");
  expect(files["10-ironic-agent-bond0.netdev"]).toContain("Kind=bond\n");
  expect(files["10-ironic-agent-bond0.netdev"]).toContain("Mode=802.3ad\nTransmitHashPolicy=layer3+4\n");
  expect(files["10-ironic-agent-bond0.network"]).toContain("\nVLAN=vlan101\n");
  expect(files["10-ironic-agent-storage_1.netdev"]).toContain("Name=vlan101\nKind=vlan\n");
  expect(files["10-ironic-agent-storage_1.network"]).toContain("\nDHCP=ipv4\n");
});

test.each([
  ["255.255.255.255", 32],
  ["255.255.128.0", 17],
  ["0.0.0.0", 0],
  ["24", 24],
])("netmask %s is a prefix of %i", (netmask, length) => {
  const networks = [{ link: "port-1", type: "ipv4", ip_address: "192.0.2.10", netmask }];
  const files = converted({ links: [phy], networks });
  expect(files["10-ironic-agent-port-1.network"]).toContain(`\nAddress=192.0.2.10/${length}\n`);
});

test("ffff:ffff:ffff:ff80:: is a prefix of 57", () => {
  const networks = [
    { link: "port-1", type: "ipv6", ip_address: "2001:db8::1", netmask: "ffff:ffff:ffff:ff80::" },
  ];
  const files = converted({ links: [phy], networks });
  expect(files["10-ironic-agent-port-1.network"]).toContain("\nAddress=2001:db8::1/57\n");
});

test("no value can bring a setting of its own, and no name leads out of the directory", () => {
  const files = converted({
    links: [{ ...phy, id: "../../x", mtu: "1500\n[Network]\nDHCP=yes" }],
    networks: [],
  });
  expect(Object.keys(files)).toEqual(["10-ironic-agent-.._.._x.network"]);
  expect(Object.values(files).join("")).not.toMatch(/^DHCP=/m);
});

test("what is no netmask is refused, so that DHCP is asked instead", () => {
  const networks = [{ link: "port-1", type: "ipv4", ip_address: "192.0.2.10", netmask: "255.0.255.x" }];
  expect(() => converted({ links: [phy], networks })).toThrow();
});
