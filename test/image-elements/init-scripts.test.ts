// The service where there is no systemd: diskimage-builder's own hook puts the script into place, and the script is run. All of it
// in a mount namespace, over the directories of this machine that an image has to itself.

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const ELEMENT = resolve(import.meta.dir, "../../image-elements/dib/ironic-agent-ramdisk");
const shown = 'import diskimage_builder.paths; diskimage_builder.paths.show_path("elements")';
const DIB = Bun.spawnSync(["/usr/bin/python3", "-c", shown]).stdout.toString().trim();

/** What a script prints with the element's files where an image of that init system has them, and a stand-in for the agent. */
function inImage(initSystem: string, script: string): string {
  const home = mkdtempSync(join(tmpdir(), "init-scripts-"));
  const agent = join(home, "agent");
  writeFileSync(
    agent,
    "#!/bin/sh\necho started with \"$@\"\ntrap 'echo told; exit 0' TERM\nwhile :; do sleep 0.05; done\n",
    {
      mode: 0o755,
    },
  );
  const prepare = `set -eu
mkdir -p ${home}/hooks/install.d
cp ${DIB}/dib-init-system/install.d/20-install-init-scripts ${home}/hooks/install.d/
cp -a ${ELEMENT}/init-scripts ${home}/hooks/
for directory in /etc/init.d /usr/local /run /var/log; do mount -t tmpfs none $directory; done
install -D -t /usr/local/sbin ${ELEMENT}/static/usr/local/sbin/*
install -D ${agent} /usr/local/bin/ironic-python-agent
DIB_DEBUG_TRACE=0 DIB_INIT_SYSTEM=${initSystem} ${home}/hooks/install.d/20-install-init-scripts
`;
  try {
    const { exitCode, stdout, stderr } = Bun.spawnSync([
      ...["unshare", "--mount", "--propagation", "private", "bash", "-c", `${prepare}${script}`],
    ]);
    if (exitCode !== 0) throw new Error(`ended with ${exitCode}:\n${stdout}${stderr}`);
    return stdout.toString().trim();
  } finally {
    rmSync(home, { recursive: true });
  }
}

test("SysV init: the script starts the agent in the background, tells how it is, and stops it", () => {
  const script = `
service=/etc/init.d/ironic-python-agent
status() { if $service status; then echo runs; else echo "is away: $?"; fi; }
status
$service start
until grep -q started /var/log/ironic-python-agent.log 2>/dev/null; do sleep 0.05; done
status
$service stop
status
cat /var/log/ironic-python-agent.log`;
  expect(inImage("sysv", script).split("\n")).toEqual([
    "is away: 3",
    "runs",
    "is away: 3",
    "started with --config-dir /etc/ironic-python-agent.d/",
    "told",
  ]);
}, 60_000);

test("OpenRC: the script is where OpenRC looks for it, and says what it needs", () => {
  expect(
    inImage(
      "openrc",
      "ls -l /etc/init.d | tail -n +2 | cut -c1-10; . /etc/init.d/ironic-python-agent; echo $command; test -x $command",
    ),
  ).toBe("-rwxr-xr-x\n/usr/local/sbin/ironic-agent-run");
});
