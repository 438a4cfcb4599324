#!/bin/sh
# An executable hardware manager, in any language: this one in shell. It holds a cleaning at a point where somebody can look at the
# machine, until a file appears. The protocol is described in docs/hardware-managers.md.
#
# Put it into /etc/ironic-python-agent.d/hardware-managers/ and make it executable.
set -eu

describe() {
  cat <<'JSON'
{
  "protocol": 1,
  "name": "BarrierManager",
  "version": "1",
  "support": 3,
  "steps": {
    "clean": [
      {
        "step": "wait_for_file",
        "priority": 0,
        "interface": "deploy",
        "abortable": true,
        "argsinfo": {
          "path": {"description": "The file to wait for. Default /run/go-on.", "required": false}
        }
      }
    ]
  }
}
JSON
}

wait_for_file() {
  # The question is one line of JSON. With more to read than one plain text, use jq, or another language.
  path=$(sed -n 's/.*"args":{[^}]*"path":"\([^"\\]*\)".*/\1/p')
  path=${path:-/run/go-on}
  printf '{"log": "waiting for %s", "level": "info"}\n' "$path"
  seconds=0
  while [ ! -e "$path" ]; do
    printf '{"progress": {"phase": "waiting for %s", "done": %d, "unit": "s"}}\n' "$path" "$seconds"
    sleep 1
    seconds=$((seconds + 1))
  done
  printf '{"result": {"waited": %d}}\n' "$seconds"
}

case "$1 ${2-} ${3-}" in
  "describe  ") describe ;;
  "step clean wait_for_file") wait_for_file ;;
  *) printf '{"error": {"type": "IncompatibleHardwareMethodError", "message": "not mine: %s"}}\n' "$*" ;;
esac
