"""Writes an image the way the Python agent does: requests, chunks of 1 MiB, hashlib, one thread.

Usage: reference-stream.py URL FILE ALGORITHM. Prints JSON: seconds, digest, peak resident memory in bytes.
"""

import hashlib
import json
import resource
import sys
import time

import requests

url, path, algorithm = sys.argv[1:]
started = time.monotonic()
digest = hashlib.new(algorithm)
with requests.get(url, stream=True, timeout=60) as response, open(path, "wb+") as device:
    response.raise_for_status()
    for chunk in response.iter_content(1024 * 1024):
        digest.update(chunk)
        device.write(chunk)
seconds = time.monotonic() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"seconds": seconds, "digest": digest.hexdigest(), "peak": peak}))
