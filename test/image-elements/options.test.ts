// The command line of `bun run image`: the words people know from ironic-python-agent-builder, and one line for everything else.

import { expect, test } from "bun:test";
import { join, resolve } from "node:path";
import fc from "fast-check";
import { errorOf } from "../../image-elements/build/disk-image.ts";
import { elementsOf, environmentOf } from "../../image-elements/build/elements.ts";
import { type ImageOptions, parseOptions, UsageError } from "../../image-elements/build/options.ts";
import { splitWords } from "../../image-elements/build/words.ts";

function parsed(line: string, environment: Record<string, string> = {}): ImageOptions {
  const options = parseOptions(line.split(" "), environment);
  if (options === null) throw new Error("help was asked for");
  return options;
}

test("the manual's own command line is understood", () => {
  // Manual 2.2.4: ironic-python-agent-builder -o /path/to/custom-ipa -e devuser debian
  const options = parsed("-o /path/to/custom-ipa -e devuser debian");
  expect(options.output).toBe("/path/to/custom-ipa");
  expect(options.release).toBe("bookworm");
  expect(elementsOf(options)).toEqual(["ironic-agent-ramdisk", "debian-minimal", "devuser"]);
});

test("every option, in its short form", () => {
  const options = parsed(
    "--distro centos -r 9-stream -o out/ipa -e dynamic-login -e ironic-python-agent-tls -b v1 -a aarch64 --lzma --elements-path /a:/b -v",
    { ELEMENTS_PATH: "/c" },
  );
  expect(options).toMatchObject({
    release: "9-stream",
    branch: "v1",
    architecture: "arm64",
    lzma: true,
    verbose: true,
  });
  expect(options.elementsPath).toEqual(["/a", "/b", "/c"]);
  expect(elementsOf(options)).toEqual([
    "ironic-agent-ramdisk",
    "centos-minimal",
    "epel",
    "dynamic-login",
    "ironic-agent-tls",
  ]);
});

test("architecture and release of the environment count, as in the reference", () => {
  const options = parsed("debian-minimal", { ARCH: "aarch64", DIB_RELEASE: "trixie" });
  expect(options).toMatchObject({ architecture: "arm64", release: "trixie" });
});

test("a directory gets the results by the agent's name, whether it is there already or not", () => {
  expect(parsed("debian -o no-such-directory/").output).toBe(
    resolve("no-such-directory/ironic-python-agent"),
  );
  expect(parsed(`debian -o ${import.meta.dir}`).output).toBe(join(import.meta.dir, "ironic-python-agent"));
});

test("arguments for disk-image-create are split as a shell does", () => {
  const options = parseOptions(["debian", "--extra-args", `-p "vim,tmux" --root-label 'a b'`], {});
  expect(options?.extraArguments).toEqual(["-p", "vim,tmux", "--root-label", "a b"]);
});

test("help wins over everything", () => {
  expect(parseOptions(["--distro", "nonsense", "--help"], {})).toBeNull();
});

test.each([
  [["-o", "x"], "which distribution? --distro NAME (--help tells which there are)"],
  [["--distro", "slackware"], 'there is no distribution "slackware"; known: debian, ubuntu, centos, fedora'],
  [["debian", "ubuntu"], "one distribution is enough: debian, ubuntu"],
  [["--distro", "debian", "ubuntu"], "one distribution is enough: debian, ubuntu"],
  [["debian", "-a", "ppc64le"], "there is no agent for ppc64le, only for amd64 and arm64"],
  [["debian", "-a", "arm64", "--iso"], "--iso is for amd64 only"],
  [
    ["debian", "--agent", "x", "-b", "y"],
    "--agent and --branch exclude each other: one is ready, the other is built",
  ],
  [["debian", "-o", ""], '--output must end with a file name without blanks, not ""'],
  [["debian", "-o", "a b"], '--output must end with a file name without blanks, not "a b"'],
  [["debian", "--mirror", "here"], '--mirror must be a URL, not "here"'],
  [["debian", "--extra-args", "-p 'vim"], "--extra-args has a quotation mark without its partner: -p 'vim"],
  [["debian", "--unknown"], "Unknown option '--unknown' (--help tells what there is)"],
  [["debian", "-o"], "Option '-o, --output <value>' argument missing (--help tells what there is)"],
])("%j is refused", (args, message) => {
  expect(() => parseOptions(args, {})).toThrow(new UsageError(message));
});

test("words are what bash makes of them", () => {
  const letters = fc.stringMatching(/^[ab '"\\\t]{0,12}$/);
  fc.assert(
    fc.property(letters, (text) => {
      const bash = Bun.spawnSync(["bash", "-c", `printf '%s\\0' END ${text}\n`]);
      const ours = splitWords(text);
      // bash goes on to the next line for a quote that is left open, and a backslash at the end joins lines.
      if (ours === null) return bash.exitCode !== 0 || /\\$/.test(text);
      return bash.exitCode === 0 && bash.stdout.toString() === ["END", ...ours, ""].join("\0");
    }),
    { numRuns: 150 },
  );
});

test("what the user has set counts more than what we would set", () => {
  const options = parsed("debian --lzma");
  const settings = {
    agent: "/agent",
    elementsPath: ["/mine", "/ours"],
    mirror: "http://mirror/debian",
    cache: "/cache",
  };
  const own = environmentOf(options, { ...settings, environment: {} });
  expect(own).toMatchObject({
    DIB_RELEASE: "bookworm",
    DIB_IRONIC_AGENT_BINARY: "/agent",
    ELEMENTS_PATH: "/mine:/ours",
    DIB_DISTRIBUTION_MIRROR: "http://mirror/debian",
    DIB_DEBIAN_SECURITY_MIRROR: "http://mirror/debian-security",
    DIB_DEBIAN_SECURITY_SUBPATH: "-security",
    DIB_IPA_COMPRESS_CMD: "xz --format=lzma --compress --stdout",
  });
  const environment = { DIB_IPA_COMPRESS_CMD: "cat", DIB_DISTRIBUTION_MIRROR: "http://other/debian" };
  const users = environmentOf(options, { ...settings, environment });
  expect(users.DIB_IPA_COMPRESS_CMD).toBeUndefined();
  expect(users.DIB_DISTRIBUTION_MIRROR).toBeUndefined();
});

test("the reason is found in a log", () => {
  const log =
    "+ something\nE: Unable to locate package nonsense\nERROR: No suitable kernel\nUnmount /tmp/x\n";
  expect(errorOf(log)).toBe("No suitable kernel");
  expect(errorOf("all is well\n")).toBeNull();
});

test("a mirror that is lost on the way is called that, in one line", () => {
  // debootstrap's words in a real build whose mirror went away, which went on for 54 packages.
  const names = Array.from({ length: 54 }, (_, index) => `libpackage-${index}`).join(" ");
  const debootstrap =
    errorOf(`E: Couldn't download packages: libpam-modules-bin libgnutls30 ${names}\n`) ?? "";
  expect(debootstrap).toStartWith("no network? Couldn't download packages: libpam-modules-bin libgnutls30 ");
  expect(debootstrap).toEndWith(" …");
  expect(debootstrap.length).toBeLessThan(200);
  const apt = `Err:1 http://mirror.example.com/debian bookworm/main amd64 jq amd64 1.6-2.1
  503  Service Unavailable
E: Failed to fetch http://mirror.example.com/debian/pool/main/j/jq/jq_1.6-2.1_amd64.deb  503  Service Unavailable
E: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?
`;
  expect(errorOf(apt)).toBe(
    "no network? Failed to fetch http://mirror.example.com/debian/pool/main/j/jq/jq_1.6-2.1_amd64.deb  503  Service Unavailable",
  );
});

test("a hook that ends without a word of its own is named", () => {
  // The end of a real build's log, with the name of a group of Debian as user name.
  const log = `dib-run-parts 05-set-hostname completed
E: Can not write log (Is /dev/pts mounted?) - posix_openpt (19: No such device)
dib-run-parts Running /tmp/in_target.d/install.d/20-install-init-scripts
dib-run-parts 20-install-init-scripts completed
dib-run-parts Running /tmp/in_target.d/install.d/50-devuser
useradd: group operator exists - if you want to add this user to that group, use -g.
Unmount /out/.ipa-3phSJg/tmp/dib_build.WW2HZx9m/mnt/sys
INFO diskimage_builder.block_device.blockdevice [-] State already cleaned - no way to do anything here
`;
  expect(errorOf(log)).toBe(
    "install.d/50-devuser failed: useradd: group operator exists - if you want to add this user to that group, use -g.",
  );
  expect(errorOf(log.replace(/^useradd.*\n/m, ""))).toBe("install.d/50-devuser failed");
  expect(errorOf(log.replace(/^useradd.*$/m, "dib-run-parts 50-devuser completed"))).toBeNull();
});
