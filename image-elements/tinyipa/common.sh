# shellcheck shell=bash
# What build.sh is made of: messages, files from a mirror or a folder, extensions. Sourced, not run.

# One line, and nothing half-made stays: the exit trap of build.sh removes it.
die() {
    printf 'tinyipa: %s\n' "$*" >&2
    exit 1
}

say() {
    printf 'tinyipa: %s\n' "$*"
}

# is_true NAME: whether the variable says true; anything but true and false is an error.
is_true() {
    case "${!1}" in
    true | True | 1 | yes) return 0 ;;
    false | False | 0 | no | '') return 1 ;;
    *) die "$1 must be true or false, not \"${!1}\"" ;;
    esac
}

require_programs() {
    local program missing=()
    for program in "$@"; do
        command -v "$program" >/dev/null || missing+=("$program")
    done
    [ ${#missing[@]} -eq 0 ] || die "not installed here: ${missing[*]}"
}

# require_file WHAT FILE: it is there, readable and not empty.
require_file() {
    [ -e "$2" ] || die "$1 $2 does not exist"
    [ -f "$2" ] || die "$1 $2 is not a file"
    [ -r "$2" ] || die "$1 $2 cannot be read"
    [ -s "$2" ] || die "$1 $2 is empty"
}

# require_executable FILE: an ELF program for x86-64, the only machine of corepure64.
require_executable() {
    local header machine
    require_file "the agent's executable" "$1"
    header=$(od -An -tx1 -N 20 "$1" | tr -d ' \n')
    [ "${header:0:10}" = 7f454c4602 ] || die "the agent's executable $1 is not a 64-bit ELF program"
    machine=${header:36:4}
    case $machine in
    3e00) ;;
    b700) die "the agent's executable $1 is for arm64, and Tiny Core's corepure64 is for x86-64" ;;
    *) die "the agent's executable $1 is for another machine (ELF number 0x${machine:2:2}${machine:0:2}), not for x86-64" ;;
    esac
}

# fetch PATH FILE [optional]: a file of the mirror. With "optional" a file that is not there is no error: returns 1.
# A mirror that sends less than a kilobyte per second for a minute counts as gone.
fetch() {
    local path=$1 file=$2 optional=${3:-} status
    case $MIRROR in
    /*)
        if [ ! -e "$MIRROR/$path" ]; then
            [ -z "$optional" ] || return 1
            die "the mirror has no $path: $MIRROR"
        fi
        cp -- "$MIRROR/$path" "$file" || die "$MIRROR/$path cannot be read"
        ;;
    *)
        status=$(curl --silent --show-error --location --retry 3 --connect-timeout 20 --speed-limit 1000 --speed-time 60 \
            --output "$file" --write-out '%{http_code}' "$MIRROR/$path" 2>"$WORK/curl.err") ||
            die "$MIRROR/$path cannot be fetched: $(tail -n 1 "$WORK/curl.err")"
        case $status in
        2*) ;;
        404)
            rm -f -- "$file"
            [ -z "$optional" ] || return 1
            die "the mirror has no $path: $MIRROR"
            ;;
        *) die "$MIRROR/$path cannot be fetched: HTTP status $status" ;;
        esac
        ;;
    esac
}

# fetch_checked PATH FILE [optional]: as fetch, compared with the checksums there are, and noted in the list of sources.
# The mirror's own are MD5 and tell damage, not forgery; for that TINYCORE_SHA256SUMS names a list of an earlier build.
fetch_checked() {
    local path=$1 file=$2 optional=${3:-} wanted found
    fetch "$path" "$file" "$optional" || return 1
    found=$(sha256sum <"$file")
    found=${found%% *}
    if [ -n "$TINYCORE_SHA256SUMS" ]; then
        wanted=$(awk -v path="$path" '$2 == path { print $1 }' "$TINYCORE_SHA256SUMS")
        [ -n "$wanted" ] || die "$path is not in $TINYCORE_SHA256SUMS"
        [ "$wanted" = "$found" ] || die "$path is not what $TINYCORE_SHA256SUMS says: SHA-256 $found"
    elif fetch "$path.md5.txt" "$WORK/md5" optional; then
        wanted=$(awk '{ print $1; exit }' "$WORK/md5")
        [ "$wanted" = "$(md5sum <"$file" | cut -d ' ' -f 1)" ] || die "$path is damaged: its MD5 is not $wanted"
    fi
    printf '%s  %s\n' "$found" "$path" >>"$WORK/sources"
}

# require_name NAME: the name of an extension, which becomes part of a path.
require_name() {
    [[ $1 =~ ^[A-Za-z0-9][A-Za-z0-9._+-]*\??$ ]] || die "\"$1\" is no name of an extension"
}

# install_extension NAME: unpacks it into the tree, after what it depends on. Each once.
install_extension() {
    local name=${1%.tcz} optional='' dependency
    case $name in *\?) name=${name%\?} optional=optional ;; esac
    name=${name//KERNEL/$KERNEL}
    require_name "$name"
    [ -z "${INSTALLED[$name]:-}" ] || return 0
    INSTALLED["$name"]=yes
    local file=$WORK/extension.$name
    if ! fetch_checked "$TCZ/$name.tcz" "$file" "$optional"; then
        say "the mirror has no $name.tcz: left out"
        return 0
    fi
    if fetch "$TCZ/$name.tcz.dep" "$WORK/dep.$name" optional; then
        while read -r dependency; do
            [ -z "$dependency" ] || install_extension "$dependency"
        done < <(tr -d '\r' <"$WORK/dep.$name")
    fi
    unsquashfs -quiet -no-progress -force -dest "$TREE" "$file" >"$WORK/unsquashfs.log" 2>&1 ||
        die "$name.tcz cannot be unpacked: $(tail -n 1 "$WORK/unsquashfs.log")"
    rm -f -- "$file"
}

# put SOURCE TARGET MODE: one of our files into the tree.
put() {
    install -D -m "$3" -- "$HERE/files/$1" "$TREE/$2"
}
