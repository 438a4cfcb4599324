// Precedence and exit codes: control-plane specification 2.1 to 2.5 and acceptance lines 1 to 11 and 14.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { BootMedia } from "../../src/config/boot-media.ts";
import { Config } from "../../src/config/config.ts";
import { ConfigurationError } from "../../src/config/configuration-error.ts";
import { variableName } from "../../src/config/environment.ts";
import { loadConfiguration } from "../../src/config/load.ts";
import { OPTION_NAMES, type OptionName, optionSpec } from "../../src/config/options.ts";
import { type RecordedFile, recordedSystem } from "../support/recorded-system.ts";

type Machine = {
  argv?: string[];
  kernel?: string;
  environment?: Record<string, string>;
  files?: Record<string, RecordedFile>;
  /** parameters.txt of virtual media. */
  parameters?: string;
};

async function loadAll({ argv = [], kernel = "", environment = {}, files = {}, parameters }: Machine) {
  const system = recordedSystem({ files: { "/proc/cmdline": `${kernel}\n`, ...files } });
  const media: BootMedia = {
    copyConfiguration: () =>
      system.files.write("/etc/ironic-python-agent.d/iso.conf", file("lookup_timeout = 7")),
    readParameters: async () => (parameters === undefined ? null : { text: parameters, device: "/dev/sdb" }),
  };
  const loaded = await loadConfiguration({ argv, environment, files: system.files, media });
  if (loaded.action !== "run") throw new Error(loaded.action);
  return loaded;
}

const load = async (machine: Machine): Promise<Config> => (await loadAll(machine)).config;

async function refusal(machine: Machine): Promise<ConfigurationError> {
  const thrown = await load(machine).catch((error: unknown) => error);
  if (!(thrown instanceof ConfigurationError)) throw new Error(`not refused: ${thrown}`);
  return thrown;
}

const port = async (machine: Machine) => (await load(machine)).get("listen_port");
const file = (text: string) => `[DEFAULT]\n${text}\n`;

describe("which source wins", () => {
  const F = { "/f.conf": file("listen_port = 6") };

  test("kernel line, then file, then command line", async () => {
    const kernel = "ipa-listen-port=5";
    const files = { "/etc/ironic-python-agent.conf": file("listen_port = 6") };
    expect(await port({})).toBe(9999);
    expect(await port({ kernel })).toBe(5);
    expect(await port({ kernel, files })).toBe(6);
    expect(await port({ kernel, files, argv: ["--listen_port", "7"] })).toBe(7);
  });

  test("options and named files count in the order written", async () => {
    expect(await port({ files: F, argv: ["--listen_port", "7", "--config-file", "/f.conf"] })).toBe(6);
    expect(await port({ files: F, argv: ["--config-file", "/f.conf", "--listen_port", "7"] })).toBe(7);
    expect(await port({ argv: ["--listen_port", "7", "--listen_port", "8"] })).toBe(8);
    expect((await load({ argv: ["--standalone", "--nostandalone"] })).get("standalone")).toBe(false);
  });

  test("the environment beats every file and loses to the command line", async () => {
    const environment = { OS_DEFAULT__LISTEN_PORT: "8", OS_DISK_UTILS__PARTPROBE_ATTEMPTS: "2" };
    expect(await port({ environment, files: F, argv: ["--config-file", "/f.conf"] })).toBe(8);
    expect(await port({ environment, argv: ["--listen_port", "7"] })).toBe(7);
    expect((await load({ environment })).get("disk_utils.partprobe_attempts")).toBe(2);
    expect(await port({ environment, files: F, argv: ["--config-file", "/f.conf", "--listen_port=7"] })).toBe(
      7,
    );
  });

  test("a directory's *.conf files are read by name, later ones win, others are ignored", async () => {
    const files = {
      "/d/20.conf": file("listen_port = 20"),
      "/d/10.conf": file("listen_port = 10\nadvertise_port = 11"),
      "/d/30.cnf": file("listen_port = 30"),
      "/d/.40.conf": file("listen_port = 40"),
    };
    const config = await load({ files, argv: ["--config-dir", "/d"] });
    expect(config.get("listen_port")).toBe(20);
    expect(config.get("advertise_port")).toBe(11);
    expect(config.origin("listen_port")).toBe("/d/20.conf line 2");
  });

  test("default places: the home directory first, the directory over the file", async () => {
    const files = {
      "/root/ironic-python-agent.conf": file("listen_port = 1\nadvertise_port = 1"),
      "/etc/ironic-python-agent.conf": file("listen_port = 2\nlookup_timeout = 2"),
      "/etc/ironic-python-agent.d/a.conf": file("advertise_port = 3"),
    };
    const config = await load({ files, environment: { HOME: "/root" } });
    expect([config.get("listen_port"), config.get("advertise_port"), config.get("lookup_timeout")]).toEqual([
      1, 3, 300,
    ]);
    expect((await load({ files })).get("listen_port")).toBe(2);
    const documented = { "/etc/ironic-python-agent/ironic-python-agent.conf": file("listen_port = 4") };
    expect(await port({ files: documented })).toBe(4);
  });

  test("a named file replaces only the default file, a named directory only the default directory", async () => {
    const files = {
      ...F,
      "/d/a.conf": file("lookup_interval = 6"),
      "/etc/ironic-python-agent.conf": file("lookup_timeout = 2"),
      "/etc/ironic-python-agent.d/a.conf": file("advertise_port = 3"),
    };
    const named = await load({ files, argv: ["--config-file", "/f.conf"] });
    expect([named.get("lookup_timeout"), named.get("advertise_port")]).toEqual([300, 3]);
    const directory = await load({ files, argv: ["--config-dir", "/d"] });
    expect([directory.get("lookup_timeout"), directory.get("advertise_port")]).toEqual([2, 9999]);
  });

  test("ipa-debug decides, whatever else is said", async () => {
    const files = { "/etc/ironic-python-agent.conf": file("debug = false") };
    expect((await load({ kernel: "ipa-debug=1", files })).get("debug")).toBe(true);
    expect((await load({ kernel: "ipa-debug=0", argv: ["--debug"] })).get("debug")).toBe(false);
    expect((await load({ kernel: "ipa-debug=nonsense", argv: ["-d"] })).get("debug")).toBe(false);
    expect((await load({ kernel: "ipa-debug", argv: ["-d"] })).get("debug")).toBe(true);
  });

  test("each value says where it came from", async () => {
    const config = await load({
      kernel: "ipa-listen-port=5",
      environment: { OS_DEFAULT__LOOKUP_TIMEOUT: "1" },
      argv: ["--advertise-port", "7"],
    });
    expect(config.origin("listen_port")).toBe("kernel parameter ipa-listen-port");
    expect(config.origin("lookup_timeout")).toBe("environment variable OS_DEFAULT__LOOKUP_TIMEOUT");
    expect(config.origin("advertise_port")).toBe("command line --advertise-port");
    expect(config.origin("lookup_interval")).toBe("built-in default");
  });
});

describe("the environment", () => {
  test("any value of any variable is understood or refused in one line that names it", async () => {
    const variable = fc.constantFrom(...OPTION_NAMES.map(variableName));
    await fc.assert(
      fc.asyncProperty(fc.dictionary(variable, fc.string()), async (environment) => {
        const outcome = await load({ environment }).catch((error) => error);
        if (outcome instanceof Config) return;
        expect(outcome).toBeInstanceOf(ConfigurationError);
        expect([outcome.exitCode, outcome.message.split("\n").length]).toEqual([2, 1]);
        expect(Object.keys(environment).some((name) => outcome.message.includes(name))).toBe(true);
      }),
    );
  });

  test("variables that are no option of this agent are ignored", async () => {
    const environment = { OS_DEFAULT__NONSENSE: "x", OS_LISTEN_PORT: "1", os_default__listen_port: "1" };
    expect(await port({ environment })).toBe(9999);
  });
});

describe("the kernel line", () => {
  test("a word without = changes nothing, dashed names only, case matters, the last one wins", async () => {
    expect((await load({ kernel: "ipa-standalone" })).get("standalone")).toBe(false);
    expect(await port({ kernel: "ipa_listen_port=5 IPA-LISTEN-PORT=6" })).toBe(9999);
    expect(await port({ kernel: "ipa-listen-port=5 ipa-listen-port=6" })).toBe(6);
  });

  test("a wrong value exits with 1 and names the parameter, even when it would be overridden", async () => {
    for (const [parameter, argv] of [
      ["ipa-standalone=maybe", []],
      ["ipa-standalone=t", []],
      ["ipa-standalone=", []],
      ["ipa-listen-port=x", ["--listen_port=1"]],
      ["ipa-listen-port=65536", []],
      ["ipa-ip-lookup-attempts=0", []],
      ["ipa-api-url=ironic.example.com", []],
    ] as const) {
      const error = await refusal({ kernel: parameter, argv: [...argv] });
      expect(error.exitCode).toBe(1);
      expect(error.message).toContain(parameter.split("=")[0]!);
    }
  });

  test("ip_lookup_sleep has the name the reference gave it", async () => {
    expect((await load({ kernel: "ipa-ip-lookup-timeout=3" })).get("ip_lookup_sleep")).toBe(3);
  });
});

describe("virtual media", () => {
  const kernel = "boot_method=vmedia ipa-listen-port=5 ipa-lookup-interval=5 ipa-debug=0 BOOTIF=aa";
  const parameters = "ipa-listen-port=6\nipa-debug=1\nBOOTIF=bb\nir_pub_id=x\n";

  // contract 10.62
  test("control-plane 11.12: its parameters beat those of the kernel, and files beat both", async () => {
    const config = await load({ kernel, parameters });
    expect([config.get("listen_port"), config.get("lookup_interval"), config.get("debug")]).toEqual([
      6,
      5,
      true,
    ]);
    expect(config.origin("listen_port")).toBe("virtual media parameter ipa-listen-port on /dev/sdb");
    expect(config.origin("debug")).toBe("virtual media parameter ipa-debug on /dev/sdb");
    expect(config.mediaParameters.get("BOOTIF")).toBe("bb");
    const files = { "/etc/ironic-python-agent.conf": file("listen_port = 9") };
    expect((await load({ kernel, parameters, files })).get("listen_port")).toBe(9);
  });

  test("control-plane 11.12: without boot_method=vmedia nobody asks for it, and a missing device is not fatal", async () => {
    const other = await load({ kernel: "boot_method=pxe ipa-listen-port=5", parameters });
    expect([other.get("listen_port"), other.get("lookup_timeout")]).toEqual([5, 300]);
    expect((await load({ kernel })).get("listen_port")).toBe(5);
  });

  test("control-plane 11.13: the ISO's files take effect in the same start", async () => {
    expect((await load({ kernel })).get("lookup_timeout")).toBe(7);
  });

  test("a wrong parameter exits with 1 and names its place; so does a medium that cannot be read", async () => {
    const { exitCode, message } = await refusal({ kernel, parameters: "ipa-listen-port=x" });
    expect([exitCode, message]).toEqual([
      1,
      'virtual media parameter ipa-listen-port on /dev/sdb: bad value "x" for listen_port: expected a whole number from 0 to 65535',
    ]);
    const system = recordedSystem({ files: { "/proc/cmdline": kernel } });
    const media: BootMedia = {
      copyConfiguration: async () => {
        throw new Error("mount: bad superblock");
      },
      readParameters: async () => null,
    };
    const error = await loadConfiguration({ argv: [], environment: {}, files: system.files, media }).catch(
      (e) => e,
    );
    expect(error).toBeInstanceOf(ConfigurationError);
    expect([error.exitCode, error.message]).toEqual([
      1,
      "reading the configuration from virtual media: mount: bad superblock",
    ]);
  });

  test("any parameters are understood or refused in one line", async () => {
    const name = fc.constantFrom(...OPTION_NAMES.flatMap((option) => optionSpec(option).kernel ?? []));
    const word = fc.oneof(
      fc.tuple(name, fc.string()).map((pair) => pair.join("=")),
      fc.string(),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(word), async (words) => {
        const outcome = await load({ kernel, parameters: words.join("\n") }).catch((error) => error);
        if (outcome instanceof Config) return;
        expect(outcome).toBeInstanceOf(ConfigurationError);
        expect(outcome.message.split("\n").length).toBe(1);
      }),
    );
  });
});

describe("what the operator may want to mend", () => {
  test("an option without effect is said, with its reason and its place", async () => {
    const files = { "/etc/ironic-python-agent.conf": file("wsgi_keep_alive = false") };
    expect((await loadAll({ files })).warnings).toEqual([
      "/etc/ironic-python-agent.conf line 2: wsgi_keep_alive has no effect: connections are always kept alive",
    ]);
  });

  test("the old name of a kernel parameter works and is said; the new one wins", async () => {
    const old = await loadAll({ kernel: "lldp-timeout=4.5" });
    expect(old.config.get("lldp_timeout")).toBe(4.5);
    expect(old.warnings[0]).toBe(
      "kernel parameter lldp-timeout has an old name; its name is ipa-lldp-timeout now",
    );
    expect((await load({ kernel: "lldp-timeout=4 ipa-lldp-timeout=5" })).get("lldp_timeout")).toBe(5);
  });

  test("a way of rotating the log that does not exist here is said", async () => {
    expect((await loadAll({ argv: ["--log_rotation_type", "interval"] })).warnings).toEqual([
      "command line --log_rotation_type: log_rotation_type interval has no effect: only size has",
    ]);
  });

  test("nothing is said when there is nothing to mend", async () => {
    expect((await loadAll({ kernel: "ipa-listen-port=5" })).warnings).toEqual([]);
  });
});

describe("files", () => {
  const inFile = async (text: string, name: OptionName) =>
    (await load({ files: { "/etc/ironic-python-agent.conf": text } })).get(name);
  const refused = (text: string) => refusal({ files: { "/etc/ironic-python-agent.conf": text } });

  test("what the agent does not know is ignored", async () => {
    const text =
      "[DEFAULT]\nnosuch = 1\nlisten-port = 5\nLISTEN_PORT = 6\n[default]\nlisten_port = 7\n[x]\ny = 1\n";
    expect(await inFile(text, "listen_port")).toBe(9999);
  });

  test("sections other than DEFAULT may be written in any case; old names are read", async () => {
    expect(await inFile("[Disk_Utils]\npartprobe_attempts = 4\n", "disk_utils.partprobe_attempts")).toBe(4);
    expect(await inFile("[ssl]\ncert_file = /c\n", "tls_cert_file")).toBe("/c");
    expect(await inFile("[DEFAULT]\nssl_key_file = /k\n", "tls_key_file")).toBe("/k");
    expect(await inFile("[DEFAULT]\nlog-file = /l\n", "log_file")).toBe("/l");
  });

  test("$name is the value of another option, wherever that comes from", async () => {
    const files = {
      "/etc/ironic-python-agent.conf":
        "[DEFAULT]\nlog_dir = /logs/$global_request_id\nlog_file = @{log_dir}/a-$$-\\$-$listen_port\n" +
        "[disk_utils]\nimage_convert_memory_limit = 1@{disk_utils.partprobe_attempts}\n[ssl]\nca_file=$cafile\n",
    };
    const path = "/etc/ironic-python-agent.conf";
    const config = await load({
      files: { [path]: files[path].replaceAll("@", "$") },
      argv: ["--global_request_id", "h$x"],
    });
    expect(config.get("log_file")).toBe("/logs/h$x/a-$-$-9999");
    expect(config.get("disk_utils.image_convert_memory_limit")).toBe(110);
    expect(config.get("ssl.ca_file")).toBe("");
  });

  test("a $name that leads nowhere or in a circle is an error", async () => {
    expect((await refused(file("log_dir = $nosuch"))).message).toContain("$nosuch names no option");
    const circle = await refused(file("log_dir = $log_file\nlog_file = $log_dir"));
    expect(circle.message).toContain("refer back");
    expect((await load({ argv: ["--log_dir", "$nosuch"] })).get("log_dir")).toBe("$nosuch");
  });

  test("wrong values exit with 2 and name file, line and option", async () => {
    for (const text of ["listen_port = 5 # c", "listen_port =", "listen_port = 1e3", "standalone = t"]) {
      const error = await refused(file(text));
      expect(error.exitCode).toBe(2);
      expect(error.message).toContain("/etc/ironic-python-agent.conf line 2");
      expect(error.message).toContain(text.split(" ")[0]!);
    }
  });

  test("a secret's value is not in the message", async () => {
    expect((await refused(file("image_server_password = $hunter2"))).message).not.toContain("hunter2");
    const error = await refused(file("image_server_password = pw-$image_server_password"));
    expect(error.message).not.toContain("pw-");
  });

  test("nor is the secret that another option's value refers to", async () => {
    const files = { "/etc/ironic-python-agent.conf": file("listen_port = $agent_token") };
    const error = await refusal({ kernel: "ipa-agent-token=hunter2", files });
    expect(error.message).toContain('bad value "$agent_token" for listen_port');
    expect(error.message).not.toContain("hunter2");
  });

  test("unusable named files and directories exit with 1", async () => {
    for (const argv of [
      ["--config-file", "/missing.conf"],
      ["--config-dir", "/missing"],
      ["--config-file", "/bad.conf"],
      ["--config-dir", "/bad.conf"],
    ]) {
      const error = await refusal({ argv, files: { "/bad.conf": "nonsense\n" } });
      expect(error.exitCode).toBe(1);
      expect(error.message).toContain(argv[1]!);
    }
  });
});

describe("values", () => {
  test("a port out of range exits with 2 and names the option", async () => {
    const error = await refusal({ argv: ["--listen_port", "70000"] });
    expect(error.exitCode).toBe(2);
    expect(error.message).toContain("listen_port");
    expect(error.message).toContain("70000");
  });

  test.each(["agent.example.com", "192.0.2.7", "fd00::7", "[fd00::7]", "fe80::1%eth0", "node_1", "a"])(
    "advertise_host may be %s",
    async (host) => {
      expect((await load({ argv: ["--advertise_host", host] })).get("advertise_host")).toBe(host);
    },
  );

  test.each([
    "bad host",
    "192.0.2.7:80",
    "agent.example.com:80",
    "http://192.0.2.7",
    "",
    "a/b",
    "[fd00::7]:80",
  ])(
    "advertise_host '%s', of which no callback URL can be made, is refused where it was written",
    async (host) => {
      const error = await refusal({ argv: ["--advertise_host", host] });
      expect(error.exitCode).toBe(2);
      expect(error.message).toContain(
        `--advertise_host: bad value "${host}" for advertise_host: expected a host name or an address, without a port`,
      );
    },
  );

  test("every spelling of a boolean, and no other", async () => {
    const standalone = async (text: string) =>
      (await load({ environment: { OS_DEFAULT__STANDALONE: text } })).get("standalone");
    for (const yes of ["true", "1", "On", "YES"]) expect(await standalone(yes)).toBe(true);
    for (const no of ["False", "0", "off", "no"]) expect(await standalone(no)).toBe(false);
    for (const bad of ["t", "y", "", "2"])
      expect((await refusal({ environment: { OS_DEFAULT__STANDALONE: bad } })).exitCode).toBe(2);
  });

  test("lists, choices, and an option that may stay unset", async () => {
    const formats = { OS_DEFAULT__PERMITTED_IMAGE_FORMATS: " raw , qcow2,," };
    expect((await load({ environment: formats })).get("permitted_image_formats")).toEqual(["raw", "qcow2"]);
    expect((await refusal({ argv: ["--tls_min_version", "1.1"] })).message).toContain("1.2, 1.3");
    expect((await load({})).get("ignore_bootloader_failure")).toBeNull();
    expect((await load({ argv: ["--noignore_bootloader_failure"] })).get("ignore_bootloader_failure")).toBe(
      false,
    );
  });

  test("several API URLs are accepted, other schemes are not", async () => {
    const urls = "http://[2001:db8::1]:6385, https://ironic.example.com";
    expect((await load({ argv: ["--api_url", urls] })).get("api_url")).toBe(urls);
    expect((await refusal({ argv: ["--api_url", "ftp://x"] })).exitCode).toBe(2);
  });

  test("the address to listen on follows the kernel's IPv6 switch", async () => {
    const flag = "/proc/sys/net/ipv6/conf/default/disable_ipv6";
    const host = async (files: Record<string, string>, argv: string[] = []) =>
      (await load({ files, argv })).get("listen_host");
    expect(await host({ [flag]: "0\n" })).toBe("::");
    expect(await host({ [flag]: "1\n" })).toBe("0.0.0.0");
    expect(await host({})).toBe("0.0.0.0");
    expect(await host({}, ["--listen_host", "::1"])).toBe("::1");
  });

  test("an empty address to listen on is refused, wherever it comes from", async () => {
    const empty = { "/etc/ironic-python-agent.conf": file("listen_host = $cafile") };
    for (const machine of [
      { argv: ["--listen_host="] },
      { argv: ["--listen_host", " "] },
      { environment: { OS_DEFAULT__LISTEN_HOST: "" } },
      { kernel: "ipa-listen-host=" },
      { files: empty },
    ])
      expect((await refusal(machine)).message).toContain("for listen_host: expected an address");
  });
});

test("--help and --version read nothing, so that they work with a broken configuration", async () => {
  const files = recordedSystem({ files: { "/etc/ironic-python-agent.conf": "nonsense" } }).files;
  for (const action of ["help", "version"] as const)
    expect(await loadConfiguration({ argv: [`--${action}`], environment: {}, files })).toEqual({ action });
});

test("a program can set values directly, and override them later", () => {
  const config = Config.of({ listen_port: 5 });
  expect(config.get("listen_port")).toBe(5);
  config.override("listen_port", 6, "lookup answer");
  expect([config.get("listen_port"), config.origin("listen_port")]).toEqual([6, "lookup answer"]);
});
