# From OpenStack's network_data.json (links, networks, services) to the files of systemd-networkd: an object of file names with
# their contents. Links are found by their MAC addresses, because the names of interfaces are not known beforehand.

# A value in one line: a line break in it would begin another setting.
def text: tostring | gsub("[[:cntrl:]]"; " ");
def setting($name; $value): if $value == null or $value == "" then empty else "\($name)=\($value | text)" end;

def bits: {"0": 0, "128": 1, "192": 2, "224": 3, "240": 4, "248": 5, "252": 6, "254": 7, "255": 8}[.] // error("no netmask");
def hex_bits: {"0": 0, "8": 1, "c": 2, "e": 3, "f": 4}[.] // error("no netmask");
# The length of a prefix, from a netmask in any notation.
def prefix_length:
  tostring
  | if test("^[0-9]+$") then tonumber
    elif contains(":") then [ascii_downcase | scan("[0-9a-f]") | hex_bits] | add // 0
    else [split(".")[] | bits] | add
    end;

def address: if (.ip_address // "" | contains("/")) then .ip_address else "\(.ip_address)/\(.netmask // (if .type == "ipv6" then 64 else 24 end) | prefix_length)" end;

# What a network wants on its link.
def network_lines:
  (if .type == "ipv4_dhcp" then "DHCP=ipv4"
   elif .type == "ipv6_dhcp" or .type == "ipv6_dhcpv6-stateful" or .type == "ipv6_dhcpv6-stateless" then "DHCP=ipv6", "IPv6AcceptRA=yes"
   elif .type == "ipv6_slaac" then "IPv6AcceptRA=yes"
   else setting("Address"; address), setting("Gateway"; .gateway)
   end),
  ((.services // [])[] | select(.type == "dns") | setting("DNS"; .address)),
  ((.dns_nameservers // [])[] | setting("DNS"; .));

def route_lines:
  (.routes // [])[]
  | "", "[Route]",
    setting("Destination"; "\(.network)/\(.netmask // 0 | prefix_length)"),
    setting("Gateway"; .gateway);

def is_bond: .type == "bond";
def is_vlan: .type == "vlan";
# Names of interfaces have at most 15 characters.
def interface($index):
  if is_vlan then "vlan\(.vlan_id)"
  elif is_bond then (if (.name // .id | test("^[A-Za-z][A-Za-z0-9_.-]{0,14}$")) then (.name // .id) else "bond\($index)" end)
  else null
  end;
def file_name($kind): "10-ironic-agent-\(.id | text | gsub("[^A-Za-z0-9_.-]"; "_")).\($kind)";

def netdev_lines:
  "[NetDev]",
  setting("Name"; .interface),
  (if is_bond then "Kind=bond", setting("MACAddress"; .ethernet_mac_address),
     "", "[Bond]", setting("Mode"; .bond_mode), setting("TransmitHashPolicy"; .bond_xmit_hash_policy),
     "MIIMonitorSec=\(.bond_miimon // 100)ms"
   else "Kind=vlan", setting("MACAddress"; .vlan_mac_address), "", "[VLAN]", setting("Id"; .vlan_id)
   end);

. as $data
| [($data.links // []) | to_entries[] | .key as $index | .value | .interface = interface($index)] as $links
| ([($data.services // [])[] | select(.type == "dns") | .address]) as $dns
| [
    $links[]
    | . as $link
    | [($data.networks // [])[] | select(.link == $link.id)] as $networks
    | [$links[] | select(is_vlan and .vlan_link == $link.id) | .interface] as $vlans
    | [$links[] | select(is_bond and (.bond_links // [] | index($link.id))) | .interface] as $bonds
    | (select($link.interface != null) | {key: file_name("netdev"), value: [netdev_lines]}),
      {
        key: file_name("network"),
        value: [
          "[Match]",
          (if $link.interface != null then setting("Name"; $link.interface)
           else setting("MACAddress"; $link.ethernet_mac_address), "Kind=!*"
           end),
          "", "[Link]", setting("MTUBytes"; $link.mtu),
          # A link without addresses is up, but nobody waits for its addresses.
          (if ($networks | length) == 0 then "RequiredForOnline=no" else empty end),
          "", "[Network]", "LLDP=no",
          (if ($networks | length) == 0 then "LinkLocalAddressing=no" else empty end),
          ($bonds[] | setting("Bond"; .)),
          ($vlans[] | setting("VLAN"; .)),
          ($networks[] | network_lines),
          (if ($networks | length) > 0 then $dns[] | setting("DNS"; .) else empty end),
          "", "[DHCPv4]", "ClientIdentifier=mac",
          ($networks[] | route_lines)
        ]
      }
    | .value |= join("\n")
  ]
| from_entries
