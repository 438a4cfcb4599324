// The elements themselves: that diskimage-builder can use them, that their scripts are clean, and that they bring what the agent
// calls. Its own checker and shellcheck judge, not we.

import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { parse } from "yaml";
import { DISTRIBUTIONS } from "../../image-elements/build/distributions.ts";
import { OPTIONAL_PROGRAMS } from "../../src/hardware/optional-programs.ts";

const ELEMENTS = resolve(import.meta.dir, "../../image-elements/dib");
const names = readdirSync(ELEMENTS);
const files = [...new Bun.Glob("**/*").scanSync({ cwd: ELEMENTS, dot: true })].sort();

/** Output of a program that must succeed. */
function output(argv: readonly string[], env: Record<string, string> = {}): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...argv], {
    env: { ...process.env, ...env },
    cwd: ELEMENTS,
  });
  const text = `${stdout}${stderr}`;
  if (exitCode !== 0) throw new Error(`${argv.join(" ").slice(0, 300)} ended with ${exitCode}:\n${text}`);
  return stdout.toString();
}

const shown = 'import diskimage_builder.paths; diskimage_builder.paths.show_path("elements")';
const DIB = output(["/usr/bin/python3", "-c", shown]).trim();

test("all scripts are clean to shellcheck", () => {
  const scripts = files.filter((file) =>
    /^#!\/bin\/(?:ba)?sh\n/.test(readFileSync(join(ELEMENTS, file), "utf8")),
  );
  expect(scripts.length).toBeGreaterThan(8);
  output(["shellcheck", "--external-sources", ...scripts]);
  // Sourced, and OpenRC's own interpreter: no shebang that shellcheck knows.
  output(["shellcheck", "--shell=bash", ...files.filter((file) => file.includes("/environment.d/"))]);
  output([
    "shellcheck",
    "--shell=sh",
    "--exclude=SC2034",
    "ironic-agent-ramdisk/init-scripts/openrc/ironic-python-agent",
  ]);
});

test("dib-lint has nothing to say", () => {
  // It calls "python", which Debian does not have under that name.
  const bin = mkdtempSync(join(tmpdir(), "dib-lint-"));
  try {
    symlinkSync("/usr/bin/python3", join(bin, "python"));
    const path = `${bin}:/usr/bin:/bin`;
    const report = output(["dib-lint"], { PATH: path, ELEMENTS_DIR: ELEMENTS, LIB_DIR: ELEMENTS });
    expect(report).toEndWith("PASS\n");
  } finally {
    rmSync(bin, { recursive: true });
  }
});

test("hooks and programs can be run, everything else cannot", () => {
  for (const file of files) {
    const executable = (statSync(join(ELEMENTS, file)).mode & 0o111) !== 0;
    const wanted =
      /^[^/]+\/(?:extra-data|root|pre-install|install|post-install|finalise|cleanup)\.d\//.test(file) ||
      /\/s?bin\/|\/init-scripts\/(?:sysv|openrc)\//.test(file);
    expect([file, executable]).toEqual([file, wanted]);
  }
});

test("every element that is named exists", () => {
  const known = (element: string) => names.includes(element) || existsSync(join(DIB, element));
  const dependencies = files
    .filter((file) => basename(file) === "element-deps")
    .flatMap((file) => readFileSync(join(ELEMENTS, file), "utf8").trim().split("\n"));
  const distributions = DISTRIBUTIONS.flatMap(({ elements }) => elements);
  expect([...dependencies, ...distributions].filter((element) => !known(element))).toEqual([]);
});

test.each(names)("%s: packages have names in every distribution", (element) => {
  const yaml = join(ELEMENTS, element, "package-installs.yaml");
  if (!existsSync(yaml)) return;
  const packages = Object.keys(parse(readFileSync(yaml, "utf8")));
  const map = join(ELEMENTS, element, "pkg-map");
  const sections = Object.values(JSON.parse(readFileSync(map, "utf8")));
  const flat = (value: unknown): string[] =>
    Object.entries(value as object).flatMap(([key, inner]) =>
      typeof inner === "string" ? [key] : flat(inner),
    );
  // A mapping of a package that nobody installs is a slip of the pen.
  expect(flat(sections).filter((name) => !packages.includes(name))).toEqual([]);
  for (const { name: distro, release } of DISTRIBUTIONS) {
    const argv = ["/usr/bin/python3", join(DIB, "pkg-map/bin/pkg-map"), "--pkg-map", map, "--missing-ok"];
    const mapped = output([...argv, "--distro", distro, "--release", release, ...packages]);
    expect(mapped.trim().split("\n").length).toBeGreaterThan(2);
    // Debian's own names for parts of packages mean nothing to others.
    if (distro === "centos" || distro === "fedora")
      expect(mapped).not.toMatch(/^(?:mount|udev|qemu-utils|util-linux-extra)$/m);
  }
});

test("every program the agent may call is in the image, or left out for a reason", () => {
  const installed = names.flatMap((element) => {
    const yaml = join(ELEMENTS, element, "package-installs.yaml");
    return existsSync(yaml) ? Object.keys(parse(readFileSync(yaml, "utf8"))) : [];
  });
  const leftOut = new Set([
    "biosdevname", // names of interfaces that nobody asks for any more; not in Debian 12
    "coreutils", // in every distribution's base
    "dmsetup", // comes with lvm2
    "multipath-tools", // claims disks; for those who have multipath
    "ntpsec-ntpdate", // chrony does it
    "docker.io", // 100 MB and more; for container steps
    "podman", // 100 MB; for container steps
    "tgt", // the kernel has a target of its own
    "systemd", // in every distribution's base
  ]);
  const missing = OPTIONAL_PROGRAMS.map((program) => program.package).filter(
    (name) => !installed.includes(name) && !leftOut.has(name),
  );
  expect(missing).toEqual([]);
});

test("docs/install.md names every program that the agent may call, with its package", () => {
  const text = readFileSync(join(ELEMENTS, "../../docs/install.md"), "utf8");
  const rows = text.split("\n").filter((line) => line.startsWith("| "));
  // A package is named where it is called otherwise than the program.
  const unnamed = OPTIONAL_PROGRAMS.filter(
    ({ program, package: name }) =>
      !rows.some((row) => row.includes(`\`${program}\``) && (program === name || row.includes(`(${name})`))),
  );
  expect(unnamed.map(({ program }) => program)).toEqual([]);
});

test("the agent's unit starts it again after a failure only, and not in a rescued machine", () => {
  const unit = readFileSync(
    join(ELEMENTS, "ironic-agent-ramdisk/init-scripts/systemd/ironic-python-agent.service"),
    "utf8",
  );
  // control-plane 1.6, manual 2.2.3: it ends with 0 after finalize_rescue, and stays away.
  expect(unit).toMatch(/^Restart=on-failure$/m);
  expect(unit).toMatch(/^StartLimitIntervalSec=0$/m);
  expect(unit).toMatch(/^ConditionPathExists=!\/etc\/\.rescued$/m);
  expect(unit.match(/^Standard(?:Output|Error)=.*$/gm)).toEqual([
    "StandardOutput=journal",
    "StandardError=journal",
  ]);
});
