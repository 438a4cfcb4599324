#!/bin/sh
# Asks for a lease on every network card that is a device, each by a client of its own that keeps asking. Called once more
# when the network has changed.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p /var/run
for file in /var/run/udhcpc.*.pid; do
    [ -f "$file" ] && kill "$(cat "$file")" 2>/dev/null
    rm -f "$file"
done
for path in /sys/class/net/*; do
    card=${path##*/}
    [ -e "$path/device" ] || continue
    ip link set "$card" up
    udhcpc -b -i "$card" -p "/var/run/udhcpc.$card.pid" -s /usr/local/lib/tinyipa/lease -T 2 -A 5 -t 3 >>/var/log/udhcpc.log 2>&1 &
done
