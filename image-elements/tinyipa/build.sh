#!/bin/bash
# Builds a ramdisk from Tiny Core with the agent's executable: tinyipa.gz and tinyipa.vmlinuz.
# Everything is said by variables, those of the reference where it has one; docs/tinyipa.md explains them.
# Same input, same bytes: files in a fixed order, with the time SOURCE_DATE_EPOCH.

set -euo pipefail
umask 022
export LC_ALL=C

HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=common.sh
. "$HERE/common.sh"

TINYCORE_MIRROR_URL=${TINYCORE_MIRROR_URL:-}
TINYCORE_SHA256SUMS=${TINYCORE_SHA256SUMS:-}
TC_RELEASE=${TC_RELEASE:-15.x}
IRONIC_AGENT=${IRONIC_AGENT:-$HERE/../../dist/ironic-python-agent-linux-x64}
OUTPUT=${OUTPUT:-$HERE}
BRANCH_PATH=${BRANCH_PATH:-}
COMPRESSION=${COMPRESSION:-gzip}
INSTALL_SSH=${INSTALL_SSH:-true}
AUTHORIZE_SSH=${AUTHORIZE_SSH:-false}
SSH_PUBLIC_KEY=${SSH_PUBLIC_KEY:-}
AUTOLOGIN=${AUTOLOGIN:-true}
ENABLE_BIOSDEVNAME=${ENABLE_BIOSDEVNAME:-${TINYIPA_REQUIRE_BIOSDEVNAME:-false}}
TINYIPA_UDEV_SETTLE_TIMEOUT=${TINYIPA_UDEV_SETTLE_TIMEOUT:-60}
EXTRA_EXTENSIONS=${EXTRA_EXTENSIONS:-}
OVERLAY=${OVERLAY:-}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0}

DISTRIBUTION=$TC_RELEASE/x86_64/release/distribution_files
# shellcheck disable=SC2034  # used in common.sh
TCZ=$TC_RELEASE/x86_64/tcz
# shellcheck disable=SC2034
declare -A INSTALLED=()

# What can be wrong is looked at before anything is done -------------------------------------------------------------

[ "$(id -u)" = 0 ] || die "root is needed: device files are unpacked, and the agent is tried in a chroot"
require_programs awk chroot cpio curl depmod find gzip install ldconfig md5sum mktemp od sha256sum sort touch unshare unsquashfs

case $TINYCORE_MIRROR_URL in
'') die "TINYCORE_MIRROR_URL is not set: name a mirror of Tiny Core (http://...), or a folder with the same layout" ;;
http://* | https://*) MIRROR=${TINYCORE_MIRROR_URL%/} ;;
*)
    MIRROR=${TINYCORE_MIRROR_URL#file://}
    [ -d "$MIRROR" ] || die "TINYCORE_MIRROR_URL names no folder: $MIRROR"
    MIRROR=$(cd -- "$MIRROR" && pwd)
    ;;
esac
require_executable "$IRONIC_AGENT"
[ -z "$TINYCORE_SHA256SUMS" ] || require_file TINYCORE_SHA256SUMS "$TINYCORE_SHA256SUMS"
[ -z "$OVERLAY" ] || [ -d "$OVERLAY" ] || die "OVERLAY names no folder: $OVERLAY"
{ [ -d "$OUTPUT" ] && [ -w "$OUTPUT" ]; } || die "OUTPUT is no folder to write to: $OUTPUT"
[[ $BRANCH_PATH =~ ^[A-Za-z0-9._-]*$ ]] || die "BRANCH_PATH may hold letters, digits and ._-, not \"$BRANCH_PATH\""
[[ $SOURCE_DATE_EPOCH =~ ^[0-9]+$ ]] || die "SOURCE_DATE_EPOCH must be seconds since 1970, not \"$SOURCE_DATE_EPOCH\""
[[ $TINYIPA_UDEV_SETTLE_TIMEOUT =~ ^[0-9]+$ ]] ||
    die "TINYIPA_UDEV_SETTLE_TIMEOUT must be a number of seconds, not \"$TINYIPA_UDEV_SETTLE_TIMEOUT\""
case $COMPRESSION in
gzip) COMPRESS=(gzip -n -9) SUFFIX=gz ;;
zstd) COMPRESS=(zstd -q -19 -T0) SUFFIX=zst ;;
xz) COMPRESS=(xz -9 --check=crc32) SUFFIX=xz ;;
*) die "COMPRESSION must be gzip, zstd or xz, not \"$COMPRESSION\"" ;;
esac
require_programs "${COMPRESS[0]}"

key=
if is_true AUTHORIZE_SSH; then
    is_true INSTALL_SSH || die "AUTHORIZE_SSH needs INSTALL_SSH=true"
    key=$SSH_PUBLIC_KEY
    if [ -z "$key" ]; then
        for kind in ed25519 ecdsa rsa dsa; do
            [ -z "$key" ] && [ -f "${HOME:-/root}/.ssh/id_$kind.pub" ] && key=${HOME:-/root}/.ssh/id_$kind.pub
        done
        [ -n "$key" ] || die "AUTHORIZE_SSH needs a key: there is none in ~/.ssh, and SSH_PUBLIC_KEY is not set"
    fi
    require_file "the public SSH key" "$key"
    ! grep -q 'PRIVATE KEY' "$key" || die "$key is a private key; SSH_PUBLIC_KEY wants the public one"
    grep -Eq '(^| )(ssh|ecdsa|sk)-[a-z0-9@.-]+ AAAA' "$key" || die "$key holds no public SSH key"
fi
autologin=false
if is_true AUTOLOGIN; then autologin=true; fi
extensions=()
while read -r name; do
    case $name in '' | '#'*) ;; *) extensions+=("$name") ;; esac
done <"$HERE/extensions.lst"
if is_true INSTALL_SSH; then extensions+=(openssh); fi
if is_true ENABLE_BIOSDEVNAME; then extensions+=(biosdevname); fi
read -ra more <<<"${EXTRA_EXTENSIONS//,/ }"
extensions+=("${more[@]}")
for name in "${extensions[@]}"; do require_name "$name"; done

# The tree -----------------------------------------------------------------------------------------------------------

# Beside the result, so that it is renamed and not copied at the end.
WORK=$(mktemp -d "$OUTPUT/.tinyipa-building.XXXXXX")
trap 'rm -rf -- "$WORK"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
TREE=$WORK/tree
mkdir "$TREE"

say "fetching Tiny Core $TC_RELEASE"
fetch_checked "$DISTRIBUTION/corepure64.gz" "$WORK/core.gz"
fetch_checked "$DISTRIBUTION/vmlinuz64" "$WORK/vmlinuz"
(cd "$TREE" && gzip -dc "$WORK/core.gz" | cpio --extract --make-directories --no-absolute-filenames --quiet) \
    2>"$WORK/cpio.err" || die "corepure64.gz cannot be unpacked: $(tail -n 1 "$WORK/cpio.err")"

kernels=("$TREE"/lib/modules/*)
{ [ ${#kernels[@]} -eq 1 ] && [ -d "${kernels[0]}" ]; } || die "corepure64.gz holds no kernel modules, or those of several kernels"
KERNEL=${kernels[0]##*/}
for file in etc/inittab etc/passwd etc/shadow etc/sudoers; do
    [ -f "$TREE/$file" ] || die "corepure64.gz is not what it was in known releases: it has no /$file"
done

say "unpacking extensions"
for name in "${extensions[@]}"; do
    install_extension "$name"
done

say "putting in the agent"
install -D -m 755 -- "$IRONIC_AGENT" "$TREE/usr/local/bin/ironic-python-agent"
ln -sf ironic-python-agent "$TREE/usr/local/bin/ironic-collect-introspection-data"
mkdir -p "$TREE"/etc/ironic-python-agent.d/hardware-managers "$TREE"/etc/ipa-rescue-config "$TREE"/var/log
put bootlocal.sh opt/bootlocal.sh 755
put dhcp.sh etc/init.d/dhcp.sh 755
put autologin sbin/autologin 755
for name in agent console lease rescue; do
    put "$name" "usr/local/lib/tinyipa/$name" 755
done
printf 'AUTOLOGIN=%s\nUDEV_SETTLE_TIMEOUT=%s\n' "$autologin" "$TINYIPA_UDEV_SETTLE_TIMEOUT" >"$TREE/etc/tinyipa.conf"
# Tiny Core logs in on the first virtual terminal only, and servers are watched on a serial line.
printf '::respawn:/usr/local/lib/tinyipa/console\n' >>"$TREE/etc/inittab"
# Nobody gets in as tc by leaving the password empty, except by the automatic login or with a key.
sed -i 's/^tc:[^:]*:/tc:*:/' "$TREE/etc/shadow"
if [ -f "$TREE/etc/init.d/tc-config" ]; then
    # Compressed swap in memory would take away what an image may need.
    sed -i '/^# Main/a NOZSWAP=1' "$TREE/etc/init.d/tc-config"
fi
if is_true INSTALL_SSH; then
    put sshd_config usr/local/etc/ssh/sshd_config 600
fi
if [ -n "$key" ]; then
    install -d -m 755 "$TREE/home/tc"
    install -d -m 700 "$TREE/home/tc/.ssh"
    install -m 600 -- "$key" "$TREE/home/tc/.ssh/authorized_keys"
    chown -R "$(awk -F: '$1 == "tc" { print $3 ":" $4 }' "$TREE/etc/passwd")" "$TREE/home/tc"
fi
[ -z "$OVERLAY" ] || cp -a --no-preserve=ownership -- "$OVERLAY/." "$TREE/"

say "finishing"
for directory in doc man info locale; do
    rm -rf -- "${TREE:?}/usr/local/share/$directory" "${TREE:?}/usr/share/$directory"
done
# In the tree the link is absolute, and depmod would follow it on this machine.
if [ -L "$TREE/lib/modules/$KERNEL/kernel.tclocal" ]; then
    ln -sfn "../../../usr/local/lib/modules/$KERNEL/kernel" "$TREE/lib/modules/$KERNEL/kernel.tclocal"
fi
depmod -b "$TREE" "$KERNEL" 2>"$WORK/depmod.err" || die "depmod failed: $(tail -n 1 "$WORK/depmod.err")"
grep -qs '^/usr/local/lib$' "$TREE/etc/ld.so.conf" || echo /usr/local/lib >>"$TREE/etc/ld.so.conf"
ldconfig -X -r "$TREE" 2>"$WORK/ldconfig.err" || die "ldconfig failed: $(tail -n 1 "$WORK/ldconfig.err")"
rm -rf -- "$TREE/var/cache/ldconfig"

# Says what no look at a header can: a C library that is too old, or one that is not there. The runtime wants /proc and /dev; the
# mounts go with their namespace.
# shellcheck disable=SC2016
try='mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" /usr/local/bin/ironic-python-agent --version'
unshare --mount --net --pid --fork sh -c "$try" "$TREE" >"$WORK/agent.out" 2>&1 ||
    die "the agent does not run in Tiny Core $TC_RELEASE: $(tail -n 1 "$WORK/agent.out")"

find "$TREE" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
# No device numbers and inodes of this machine in it.
(cd "$TREE" && find . -mindepth 1 -print0 | sort -z |
    cpio --create --null --format=newc --reproducible --quiet) | "${COMPRESS[@]}" >"$WORK/ramdisk"

name=tinyipa${BRANCH_PATH:+-$BRANCH_PATH}
mv -f -- "$WORK/ramdisk" "$OUTPUT/$name.$SUFFIX"
mv -f -- "$WORK/vmlinuz" "$OUTPUT/$name.vmlinuz"
sort -k 2 "$WORK/sources" >"$OUTPUT/$name.sources"
for file in "$name.$SUFFIX" "$name.vmlinuz"; do
    (cd "$OUTPUT" && sha256sum "$file" >"$file.sha256")
done
say "made $OUTPUT/$name.$SUFFIX ($(($(stat -c %s "$OUTPUT/$name.$SUFFIX") / 1000000)) MB) and $name.vmlinuz"
