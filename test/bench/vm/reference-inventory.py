"""Runs the external programs that the Python agent runs from the evaluation of its hardware managers to the end of its first inventory,
in its order, one after the other, and reads the files it reads; nothing else.

Usage: reference-inventory.py 6.4|newest. Release 6.4 asks a BMC on eleven channels, twice, even where there is none, and runs lshw
twice; the newest asks only a BMC that is there, runs lshw once, and looks for multipath. Written after the hardware specification (0.3, 1
to 5), not after the agent's sources. Prints JSON: seconds since the interpreter was ready, and each program with its seconds.
"""

import json
import os
import re
import subprocess
import sys
import time

CHANNELS = range(1, 12)
IPMI_MODULES = ("ipmi_msghandler", "ipmi_devintf", "ipmi_si")

started = time.monotonic()
newest = sys.argv[1] == "newest"
programs = []
multipath_active = False


def run(*argv):
    """Output of a program, whatever its exit code."""
    begun = time.monotonic()
    try:
        result = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env=dict(os.environ, LC_ALL="C"), check=False)
        output, code = result.stdout.decode(errors="replace"), result.returncode
    except OSError:
        output, code = "", None
    programs.append({"argv": argv, "code": code, "seconds": time.monotonic() - begun})
    return output


def read(path):
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def entries(path):
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []


def succeeds(*argv):
    run(*argv)
    return programs[-1]["code"] == 0


def block_device_rows():
    """Kernel name and type of each."""
    if newest:
        columns = "KNAME,MODEL,SIZE,ROTA,TYPE,UUID,PARTUUID,SERIAL,WWN,LOG-SEC,PHY-SEC,TRAN"
        rows = json.loads(run("lsblk", "-bia", "--json", "-o" + columns))["blockdevices"]
        return [(row["kname"], row["type"]) for row in rows]
    output = run("lsblk", "-Pbia", "-oKNAME,MODEL,SIZE,ROTA,TYPE")
    return re.findall('KNAME="([^"]*)".*TYPE="([^"]*)"', output)


def block_devices():
    run("udevadm", "settle")
    for link in entries("/dev/disk/by-path"):
        os.path.realpath("/dev/disk/by-path/" + link)
    for name, kind in block_device_rows():
        if multipath_active and succeeds("multipath", "-c", "/dev/" + name):
            run("multipath", "-ll", "/dev/" + name)
        if kind == "disk":
            read("/run/udev/data/b" + read("/sys/class/block/%s/dev" % name).strip())
            read("/sys/class/block/%s/device/vendor" % name)
            entries("/sys/block/%s/device/scsi_device" % name)


def evaluate():
    global multipath_active
    if succeeds("iscsistart", "-f"):
        run("iscsistart", "-b")
    run("mdadm", "--assemble", "--scan", "--verbose")
    if newest:
        load_ipmi_drivers()
        for module in ("dm_multipath", "multipath"):
            run("modprobe", module)
        run("multipathd")
        multipath_active = succeeds("multipath", "-ll")
        for program in ("podman", "docker"):
            run(program, "--version")
    # Waiting for the root disk looks at the disks once.
    block_devices()


def interfaces():
    for name in entries("/sys/class/net"):
        if os.path.exists("/sys/class/net/%s/device" % name):
            for attribute in ("address", "carrier", "device/vendor", "device/device"):
                read("/sys/class/net/%s/%s" % (name, attribute))
            run("biosdevname", "-i", name)


def pipeline(command):
    return run("sh", "-c", command).strip()


def load_ipmi_drivers():
    for module in IPMI_MODULES:
        run("modprobe", module)


def bmc_address():
    if not newest:
        load_ipmi_drivers()
    for channel in CHANNELS:
        address = pipeline("ipmitool lan print %d | awk '/IP Address[ \\t]*:/ {print $4}'" % channel)
        if address not in ("", "0.0.0.0"):
            return


def bmc_v6_address():
    if not newest:
        load_ipmi_drivers()
    for channel in CHANNELS:
        enables = pipeline(
            "ipmitool lan6 print %d enables | awk '/IPv6\\/IPv4 Addressing Enables[ \\t]*:/ {print $NF}'" % channel)
        if enables not in ("ipv6", "both"):
            continue
        for kind in ("dynamic_addr", "static_addr"):
            output = run("ipmitool", "lan6", "print", str(channel), kind)
            if re.search(r"Status\s*: active", output) and not re.search(r"Address\s*: ::/", output):
                return


def bmc_mac():
    for channel in CHANNELS:
        output = run("ipmitool", "lan", "print", str(channel))
        if re.search(r"^IP Address +: (?!0\.0\.0\.0)", output, re.MULTILINE):
            return
        run("ipmitool", "lan6", "print", str(channel))


def lshw():
    json.loads(run("lshw", "-quiet", "-json") or "{}")


def inventory():
    if newest:
        lshw()
    interfaces()
    run("lscpu")
    if not newest:
        run("grep", "-Em1", "^flags", "/proc/cpuinfo")
    block_devices()
    read("/proc/meminfo")
    if not newest:
        lshw()
    if not newest or any(name.startswith("ipmi") for name in entries("/dev")):
        bmc_address()
        bmc_v6_address()
        if newest:
            bmc_mac()
    if not newest:
        lshw()
    read("/proc/cmdline")


evaluate()
inventory()
print(json.dumps({"seconds": time.monotonic() - started, "programs": programs}))
