#!/bin/sh
# Tiny Core runs this as root, in the background, at the end of its start: the network, SSH, and the agent.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
# The console's log shows the start; what runs on keeps it open.
exec </dev/null >/dev/console 2>&1
# shellcheck source=/dev/null
. /etc/tinyipa.conf

echo "tinyipa: [$(cut -d. -f1 /proc/uptime) s] starting"
hostname tinyipa
# sudo looks its own name up.
grep -q tinyipa /etc/hosts || echo '127.0.0.1 tinyipa' >>/etc/hosts
ip link set lo up

# What extensions do once they are installed: users, configuration from templates.
for script in /usr/local/tce.installed/*; do
    [ -x "$script" ] && "$script" >>/var/log/extensions.log 2>&1
done

# No device names these: disks of arrays and volume groups, file systems of config drives, the BMC.
for module in vfat iso9660 nls_cp437 nls_iso8859_1 loop raid0 raid1 raid10 raid456 dm_mod ipmi_si ipmi_devintf; do
    modprobe -q "$module" 2>/dev/null
done
if [ -d /sys/firmware/efi ]; then
    modprobe -q efivarfs 2>/dev/null
    grep -qs efivarfs /proc/mounts || mount -t efivarfs efivarfs /sys/firmware/efi/efivars
fi
udevadm settle --timeout="$UDEV_SETTLE_TIMEOUT"

/etc/init.d/dhcp.sh
# In the background: host keys are made at the first start, and the agent is not to wait for them.
[ -x /usr/local/etc/init.d/openssh ] && /usr/local/etc/init.d/openssh start &
/usr/local/lib/tinyipa/rescue &
exec /usr/local/lib/tinyipa/agent
