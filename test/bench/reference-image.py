"""Puts an image on a device the way the Python agent does: requests, chunks of 1 MiB, hashlib, one thread.

Usage: reference-image.py URL DEVICE ALGORITHM FORMAT. A raw image is streamed; any other is downloaded into memory and converted
by qemu-img. Ends when the device has everything. Prints JSON: seconds, digest, peak bytes of memory with children and the copy.
"""

import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

import requests

url, device, algorithm, image_format = sys.argv[1:]
started = time.monotonic()
digest = hashlib.new(algorithm)


def download(path, mode):
    with requests.get(url, stream=True, timeout=60) as response, open(path, mode) as sink:
        response.raise_for_status()
        for chunk in response.iter_content(1024 * 1024):
            digest.update(chunk)
            sink.write(chunk)
        sink.flush()
        if path == device:
            os.fsync(sink.fileno())
        return sink.tell()


copied = 0
if image_format == "raw":
    download(device, "rb+")
else:
    # The ramdisk's /tmp is memory.
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as copy:
        copied = download(copy.name, "wb")
        subprocess.run(
            ["prlimit", "--as=2147483648", "qemu-img", "convert", "-O", "host_device", "-t", "directsync", "-S", "0",
             "-f", image_format, "-W", copy.name, device],
            check=True, env={"PATH": os.environ["PATH"], "MALLOC_ARENA_MAX": "3", "LC_ALL": "C"})
        subprocess.run(["sync", device], check=True)
seconds = time.monotonic() - started
usage = [resource.getrusage(who).ru_maxrss * 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps({"seconds": seconds, "digest": digest.hexdigest(), "peak": sum(usage) + copied}))
