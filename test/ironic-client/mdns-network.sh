#!/bin/sh
# A network of its own for one command: a pair of cards, eth0 with an IPv4 and an IPv6 address. Nothing leaves it.
set -e
ip link set lo up
ip link add name eth0 type veth peer name eth1
ip addr add 192.0.2.2/24 dev eth0
ip addr add 2001:db8::2/64 dev eth0 nodad
# eth1 is only there for eth0 to be up: without an address of its own nothing is asked there.
ip link set eth1 addrgenmode none
ip link set eth0 up
ip link set eth1 up
exec "$@"
