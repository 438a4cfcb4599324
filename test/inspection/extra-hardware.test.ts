import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseSessionChannel } from "../../src/hardware/ipmitool.ts";
import { parseFio } from "../../src/inspection/extra-hardware/benchmarks.ts";
import { addBmc, parseLanLines, parseSensors } from "../../src/inspection/extra-hardware/bmc.ts";
import { addDisks } from "../../src/inspection/extra-hardware/disks.ts";
import { parseEthtool } from "../../src/inspection/extra-hardware/ethtool.ts";
import { collectExtraHardware } from "../../src/inspection/extra-hardware/extra-hardware.ts";
import { type Fact, Facts } from "../../src/inspection/extra-hardware/facts.ts";
import { addMachine } from "../../src/inspection/extra-hardware/machine.ts";
import { addOperatingSystem, osReleaseValue } from "../../src/inspection/extra-hardware/operating-system.ts";
import { addProcessors } from "../../src/inspection/extra-hardware/processors.ts";
import type { JsonObject } from "../../src/json.ts";
import { loadMachine } from "../hardware/recording/recording.ts";
import { type Recording, recordedSystem } from "../support/recorded-system.ts";
import { thrower } from "../support/rejection.ts";
import { inspectedMachine } from "./support.ts";

/** The facts of one object, as an object. */
function about(facts: readonly Fact[], kind: string, object: string): Record<string, string | number> {
  return Object.fromEntries(
    facts.filter(([a, b]) => a === kind && b === object).map(([, , property, value]) => [property, value]),
  );
}

async function machineFacts(tree: JsonObject, recording: Recording = {}): Promise<Fact[]> {
  const facts = new Facts();
  await addMachine(facts, recordedSystem(recording), tree);
  return facts.list();
}

describe("the facts of a whole machine", () => {
  // What it is made of: see recording/machines.ts.
  test("are four members each, and tell what was configured", async () => {
    const machine = await inspectedMachine(await loadMachine("qemu-numa"));
    const { data } = await collectExtraHardware(machine);
    const facts = data as unknown as Fact[];
    expect(facts.every((fact) => fact.length === 4)).toBe(true);
    expect(facts[0]).toEqual(["disk", "logical", "count", "1"]);
    expect(about(facts, "disk", "sda")).toMatchObject({ size: "5", vendor: "ACME", model: "SPINNER" });
    expect(about(facts, "system", "product")).toMatchObject({
      name: "Nexus",
      vendor: "Tyrell",
      version: "6",
      uuid: "4c4c4544-0044-4810-8031-b8c04f5a5132",
      // The serial number is one that makers leave in, so it is none.
      serial: "4c4c4544-0044-4810-8031-b8c04f5a5132",
    });
    expect(about(facts, "cpu", "physical")).toMatchObject({ number: 2 });
    expect(about(facts, "cpu", "logical")).toEqual({ number: 8 });
    expect(about(facts, "cpu", "physical_1")).toMatchObject({ cores: 2, threads: 4, threads_per_core: 2 });
    expect(about(facts, "numa", "nodes")).toEqual({ count: 2 });
    expect(about(facts, "numa", "node_1")).toEqual({ cpu_count: 4, cpu_mask: "f0" });
    expect(about(facts, "memory", "total")).toEqual({ size: String(2 * 2 ** 30) });
    expect(about(facts, "firmware", "bios")).toMatchObject({ vendor: "SeaBIOS" });
    expect(about(facts, "network", "eth0")).toMatchObject({ driver: "e1000e", serial: "52:54:00:00:00:02" });
    expect(about(facts, "system", "kernel").arch).toBe("x86_64");
    expect(about(facts, "system", "os").version).toBe("Debian GNU/Linux 12 (bookworm)");
  });

  test("cannot be told without lshw or lscpu", async () => {
    expect(await thrower(collectExtraHardware(await inspectedMachine({})))).toThrow("cannot run");
  });
});

describe("the machine, from lshw", () => {
  const bank = (id: string, size?: number) => ({
    id,
    class: "memory",
    ...(size === undefined ? {} : { size }),
    slot: "DIMM",
  });

  test("memory banks are numbered within their array, and counted over all", async () => {
    const facts = await machineFacts({
      id: "host",
      children: [
        {
          id: "core",
          physid: "0",
          product: "Board",
          children: [
            {
              id: "memory:0",
              class: "memory",
              physid: "1",
              size: 8,
              children: [bank("bank:0", 8), bank("bank:1")],
            },
            { id: "memory:1", class: "memory", physid: "2", children: [bank("bank:0")] },
            { id: "cache", class: "memory", physid: "3", size: 1 },
          ],
        },
      ],
    });
    expect(facts.filter(([kind]) => kind === "memory")).toEqual([
      ["memory", "total", "size", "8"],
      ["memory", "bank:0:0", "size", "8"],
      ["memory", "bank:0:0", "slot", "DIMM"],
      ["memory", "bank:0:1", "slot", "DIMM"],
      ["memory", "bank:1:0", "slot", "DIMM"],
      ["memory", "banks", "count", "3"],
    ]);
    expect(about(facts, "system", "motherboard")).toEqual({ name: "Board" });
  });

  test("a card with its subnet, and an InfiniBand card with its whole address", async () => {
    const eth0 = {
      id: "network:0",
      class: "network",
      logicalname: ["eth0", "rename2"],
      serial: "52:54:00:AA:BB:CC",
      size: 1000000000,
      configuration: { ip: "192.0.2.77", link: "yes", driver: "e1000e", latency: 0 },
    };
    const ib0 = { id: "network:1", class: "network", logicalname: "ib0", serial: "80:00:02" };
    const facts = await machineFacts(
      { children: [eth0, ib0, { class: "network", id: "network:2" }] },
      {
        files: { "/sys/class/net/ib0/address": "80:00:02:FF:00\n" },
        programs: {
          "ip -j addr": {
            stdout: JSON.stringify([
              { ifname: "eth0", addr_info: [{ family: "inet", local: "192.0.2.77", prefixlen: 27 }] },
            ]),
          },
          "ethtool -a eth0": { stdout: "Pause parameters for eth0:\nAutonegotiate:\ton\nRX:\t\toff\n\n" },
        },
      },
    );
    expect(about(facts, "network", "eth0")).toEqual({
      size: "1000000000",
      ipv4: "192.0.2.77",
      "ipv4-netmask": "255.255.255.224",
      "ipv4-cidr": "27",
      "ipv4-network": "192.0.2.64",
      link: "yes",
      driver: "e1000e",
      latency: "0",
      serial: "52:54:00:aa:bb:cc",
      Autonegotiate: "on",
      RX: "off",
    });
    expect(about(facts, "network", "ib0")).toEqual({ serial: "80:00:02:ff:00" });
    expect(facts.filter(([kind]) => kind === "network").map(([, name]) => name)).not.toContain("rename2");
  });

  test("a serial number that says nothing gives way to the board's, then to the first card's", async () => {
    const card = { class: "network", logicalname: "eth0", serial: "52:54:00:AA:BB:CC" };
    const serial = async (children: JsonObject[]) =>
      about(await machineFacts({ serial: "0000000000", children }), "system", "product").serial;
    expect(await serial([{ id: "core", physid: "0", serial: "B1" }, card])).toBe("B1");
    expect(await serial([card])).toBe("525400aabbcc");
    expect(await serial([])).toBe("0000000000");
  });
});

test("disks: the cache of a SCSI disk as bits, the names in by-id by their kind, nothing of what has no size", async () => {
  const facts = new Facts();
  const system = recordedSystem({
    files: {
      "/sys/block/sda/size": "20000000\n",
      "/sys/block/sda/queue/scheduler": "none [mq-deadline] bfq\n",
      "/sys/block/sda/device": { link: "/sys/devices/0:0:0:0" },
      "/sys/devices/0:0:0:0/model": "DISK  \n",
      "/sys/devices/0:0:0:0/scsi_disk/0:0:0:0/cache_type": "write through\n",
      "/sys/block/sdb/size": "100\n",
      "/sys/block/loop0/size": "20000000\n",
      "/sys/block/nvme0n1/size": "4000000\n",
      "/sys/block/nvme0n1/device/device/vendor": "0x1b36\n",
      "/dev/disk/by-id/wwn-0x5": { link: "../../sda" },
      "/dev/disk/by-id/scsi-5": { link: "../../sda" },
      "/dev/disk/by-id/ata-D": { link: "../../sda" },
    },
  });
  await addDisks(facts, system);
  expect(facts.list()).toEqual([
    ["disk", "logical", "count", "2"],
    ["disk", "nvme0n1", "size", "2"],
    ["disk", "nvme0n1", "vendor", "0x1b36"],
    ["disk", "sda", "size", "10"],
    ["disk", "sda", "model", "DISK"],
    ["disk", "sda", "scheduler", "mq-deadline"],
    ["disk", "sda", "Write Cache Enable", "0"],
    ["disk", "sda", "Read Cache Disable", "0"],
    ["disk", "sda", "id", "ata-D"],
    ["disk", "sda", "scsi-id", "scsi-5"],
    ["disk", "sda", "wwn-id", "wwn-0x5"],
  ]);
});

test("processors: numbers are numbers, what is no number is no fact, sets are counted", async () => {
  const facts = new Facts();
  const lscpu = [
    ...[
      "Architecture: x86_64",
      "CPU(s): 12",
      "Socket(s): 1",
      "Core(s) per socket: 6",
      "Thread(s) per core: 2",
    ],
    ...["Vendor ID: AuthenticAMD", "Model name: EPYC", "Flags: fpu vme", "CPU min MHz: 1500.0000"],
    ...["L1d cache: 96 KiB", "L1i cache: 64 KiB", "L2 cache: 2 MiB", "L3 cache: 32 MiB"],
    ...[
      "CPU family: 6",
      "Model: 0x1a",
      "Stepping: B",
      "CPU max MHz: -",
      "CPU MHz: 2400.5",
      "NUMA node(s): 2",
    ],
    ...["NUMA node1 CPU(s):", "NUMA node0 CPU(s): 0-4,7,9-14"],
  ].join("\n");
  await addProcessors(
    facts,
    recordedSystem({
      programs: {
        lscpu: { stdout: lscpu },
        "lscpu -x": { stdout: "NUMA node0 CPU(s): 0x7f\nNUMA node1 CPU(s): 0x0" },
      },
      files: {
        "/sys/devices/system/cpu/cpufreq/policy3/scaling_governor": "performance\n",
        "/sys/devices/system/cpu/cpufreq/boost": "1\n",
        "/sys/devices/system/cpu/smt/control": "on\n",
      },
    }),
  );
  expect(about(facts.list(), "cpu", "physical")).toEqual({ number: 1, smt: "on" });
  expect(about(facts.list(), "cpu", "physical_0")).toEqual({
    boost: "enabled",
    vendor: "AuthenticAMD",
    product: "EPYC",
    flags: "fpu vme",
    min_Mhz: 1500,
    "l1d cache": "96 KiB",
    "l1i cache": "64 KiB",
    "l2 cache": "2 MiB",
    "l3 cache": "32 MiB",
    cores: 6,
    threads: 12,
    family: 6,
    model: 26,
    stepping: "B",
    architecture: "x86_64",
    current_Mhz: 2400.5,
    threads_per_core: 2,
  });
  expect(facts.list().filter(([kind]) => kind === "numa")).toEqual([
    ["numa", "nodes", "count", 2],
    ["numa", "node_0", "cpu_count", 12],
    ["numa", "node_0", "cpu_mask", "0x7f"],
    ["numa", "node_1", "cpu_count", 0],
    ["numa", "node_1", "cpu_mask", "0x0"],
  ]);
  expect(about(facts.list(), "cpu", "logical_3")).toEqual({ governor: "performance" });
});

test("the cache of a SCSI disk, in each of the kernel's words for it", async () => {
  const cache = async (type: string) => {
    const facts = new Facts();
    const files = {
      "/sys/block/sda/size": "20000000\n",
      "/sys/block/sda/device": { link: "/sys/devices/0:0:0:0" },
      "/sys/devices/0:0:0:0/scsi_disk/0:0:0:0/cache_type": `${type}\n`,
    };
    await addDisks(facts, recordedSystem({ files }));
    const { "Write Cache Enable": write, "Read Cache Disable": read } = about(facts.list(), "disk", "sda");
    return [write, read];
  };
  expect(await cache("write through")).toEqual(["0", "0"]);
  expect(await cache("none")).toEqual(["0", "1"]);
  expect(await cache("write back")).toEqual(["1", "0"]);
  expect(await cache("write back, no read (daft)")).toEqual(["1", "1"]);
});

describe("the BMC", () => {
  const fixture = (name: string) => Bun.file(`${import.meta.dir}/../fixtures/ipmitool/${name}`).text();

  test("is asked three times: for the channel of its sessions, its LAN settings and its sensors", async () => {
    const info = await fixture("channel-info.txt");
    const bus = "Channel 0x0 info:\n  Channel Medium Type   : IPMB (I2C)\n";
    const system = recordedSystem({
      files: { "/dev/ipmi0": { device: { major: 240, minor: 0 }, kind: "character" } },
      programs: {
        "ipmitool exec /proc/self/fd/0": { exitCode: 1, stdout: bus + info.replace("0x1", "0xe") },
        "ipmitool lan print": { stdout: await fixture("lan-print.txt") },
        "ipmitool -I open sdr": { stdout: "Temp             | 23 degrees C      | ok\n" },
      },
    });
    const facts = new Facts();
    await addBmc(facts, system);
    expect(facts.list()[0]).toEqual(["system", "ipmi", "channel", "14"]);
    expect(facts.find("ipmi", "lan", "ip-address")).toBe("192.0.2.100");
    expect(facts.find("ipmi", "Temp", "value")).toBe("23");
    expect(system.calls).toHaveLength(3);
  });

  test("that is not there, or does not answer, adds nothing", async () => {
    const none = new Facts();
    await addBmc(none, recordedSystem());
    const device = { device: { major: 240, minor: 0 }, kind: "character" } as const;
    const silent = recordedSystem({ files: { "/dev/ipmi0": device } });
    await addBmc(none, silent);
    expect(none.list()).toEqual([]);
    expect(silent.records.map(({ level }) => level)).toEqual(["WARNING"]);
  });

  test("LAN settings by their names in lower case", async () => {
    const text = await Bun.file(`${import.meta.dir}/../fixtures/ipmitool/lan-print.txt`).text();
    const settings = Object.fromEntries(parseLanLines(text));
    expect(settings["mac-address"]).toMatch(/^([0-9a-f]{2}:){5}/);
    expect(Object.keys(settings)).toContain("ip-address-source");
  });

  test("sensors with their units, and those that cannot be read", () => {
    const text =
      "Temp             | 23 degrees C      | ok\nFan1 | 4200 RPM | ok\nPSU | Not Readable | ns\nLed | 0x01 | ok\nx\n";
    expect(parseSensors(text)).toEqual([
      { name: "Temp", value: "23", unit: "degrees C" },
      { name: "Fan1", value: "4200", unit: "RPM" },
      { name: "PSU", value: "Not Readable", unit: null },
      { name: "Led", value: "0x01", unit: null },
    ]);
  });
});

test("whatever lshw and lscpu say, the facts are texts and numbers, and not endlessly many", async () => {
  const complete = (facts: readonly Fact[]) =>
    facts.every((fact) => fact.every((part) => typeof part === "string" || Number.isFinite(part)));
  const record = fc.record({
    id: fc.constantFrom("memory", "memory:0", "core", "firmware", "bank:0", 5),
    class: fc.constantFrom("memory", "network", "system"),
    physid: fc.jsonValue(),
    size: fc.jsonValue(),
    logicalname: fc.oneof(fc.constantFrom("eth0", "ib0"), fc.jsonValue()),
    configuration: fc.oneof(fc.jsonValue(), fc.record({ ip: fc.string() })),
    children: fc.jsonValue(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(record), async (children) => {
      expect(complete(await machineFacts({ children } as unknown as JsonObject))).toBe(true);
    }),
  );
  const number = fc.oneof(fc.string(), fc.bigInt({ min: 0n, max: 10n ** 20n }).map(String));
  await fc.assert(
    fc.asyncProperty(number, number, fc.string(), async (sockets, processors, junk) => {
      const stdout = `Socket(s): ${sockets}\nCPU(s): ${processors}\nNUMA node0 CPU(s): ${junk}\n${junk}\n`;
      const facts = new Facts();
      await addProcessors(facts, recordedSystem({ programs: { lscpu: { stdout } } }));
      expect(complete(facts.list())).toBe(true);
    }),
    { numRuns: 30 },
  );
});

test("what tools print is no crash", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (text, name) => {
      expect(parseLanLines(text)).toBeArray();
      expect(parseSensors(text)).toBeArray();
      expect(parseSessionChannel(`Channel 0x3 info:${text}`) ?? 3).toBe(3);
      expect(parseEthtool(name, text)).toBeArray();
      expect(osReleaseValue(text, "NAME") ?? "").toBeString();
    }),
  );
});

test("the token on the kernel's command line stays out of the data", async () => {
  const facts = new Facts();
  const line = "quiet ipa-agent-token=gnhF7yzJ0T9nPDGJfl7XcLyvY6dPxvCUuDcZc7U2N-I BOOTIF=52-54-00-12-34-56";
  await addOperatingSystem(facts, recordedSystem({ files: { "/proc/cmdline": `${line}\n` } }));
  const { cmdline } = about(facts.list(), "system", "kernel");
  expect(cmdline).toStartWith("quiet ipa-agent-token=");
  expect(cmdline).toEndWith(" BOOTIF=52-54-00-12-34-56");
  expect(cmdline).not.toContain("gnhF7yzJ");
});

test("ethtool's features are named by their group", () => {
  const output =
    "Features for eth0:\nrx-checksumming: on [fixed]\ntx-checksumming: off\n\ttx-checksum-ipv4: off\n\ttx-x: a:b\n";
  expect(parseEthtool("eth0", output)).toEqual([
    ["rx-checksumming", "on [fixed]"],
    ["tx-checksumming", "off"],
    ["tx-checksumming/tx-checksum-ipv4", "off"],
    ["tx-checksumming/tx-x", "ab"],
  ]);
});

describe("benchmarks", () => {
  const fixture = (name: string) => Bun.file(`${import.meta.dir}/../fixtures/benchmarks/${name}`).text();

  async function measured(names: readonly string[]) {
    const recording = await loadMachine("qemu-numa");
    const [cpu, memory, fio] = await Promise.all(
      ["sysbench-cpu.txt", "sysbench-memory.txt", "fio.json"].map(fixture),
    );
    const calls: string[] = [];
    const tool = (stdout: string | undefined) => (argv: readonly string[]) => {
      calls.push(argv.join(" "));
      return { stdout: stdout ?? "" };
    };
    const sysbench = (argv: readonly string[]) => tool(argv.includes("cpu") ? cpu : memory)(argv);
    const machine = await inspectedMachine(
      {
        ...recording,
        files: { ...recording.files, "/proc/meminfo": "MemTotal: 4096 kB\nMemFree: 3000000 kB\n" },
        programs: { ...recording.programs, sysbench, taskset: sysbench, fio: tool(fio) },
      },
      { inspection_benchmarks: [...names] },
    );
    const { data } = await collectExtraHardware(machine);
    return { facts: data as unknown as Fact[], calls };
  }

  test("processors: one of each socket, then all, in loops per second", async () => {
    const { facts, calls } = await measured(["cpu"]);
    const measure = "sysbench cpu --time=10 --events=0 --cpu-max-prime=15000";
    expect(calls).toEqual([
      `taskset -c 0 ${measure} --threads=1 run`,
      `taskset -c 4 ${measure} --threads=1 run`,
      `${measure} --threads=8 run`,
    ]);
    // 819 events, see the fixture
    expect(about(facts, "cpu", "logical_4")).toMatchObject({ loops_per_sec: "81" });
    expect(about(facts, "cpu", "logical_4").bogomips).toMatch(/^\d+\.\d+$/);
    expect(about(facts, "cpu", "logical")).toMatchObject({ loops_per_sec: "81" });
  });

  test("memory: block sizes that fit, alone, as threads and as programs", async () => {
    const { facts, calls } = await measured(["mem"]);
    // 12,851 MiB/s, see the fixture; 3 GB are free, so that eight blocks of 1 GiB do not fit.
    expect(about(facts, "cpu", "logical_0")).toMatchObject({ bandwidth_1K: "12851", bandwidth_2G: "12851" });
    const all = about(facts, "cpu", "logical");
    expect(all).toMatchObject({ threaded_bandwidth_128M: "12851", forked_bandwidth_128M: String(8 * 12851) });
    expect(Object.keys(all)).not.toContain("threaded_bandwidth_1G");
    expect(calls).toHaveLength(2 * 7 + 5 + 5 * 8);
  });

  test("wait for the collectors before them, so that nothing else is measured; without them nothing waits", async () => {
    const { promise: earlier, resolve } = Promise.withResolvers<void>();
    const fio = await fixture("fio.json");
    const collect = async (names: readonly string[]) => {
      const recording = await loadMachine("qemu-numa");
      const programs = { ...recording.programs, fio: { stdout: fio } };
      const machine = await inspectedMachine(
        { ...recording, programs },
        { inspection_benchmarks: [...names] },
      );
      const collected = collectExtraHardware({ ...machine, earlier });
      return {
        collected,
        fioRuns: () => machine.system.calls.filter(([program]) => program === "fio").length,
      };
    };
    await (await collect([])).collected;
    const { collected, fioRuns } = await collect(["disk"]);
    // Everything that is recorded has answered by then.
    await Bun.sleep(50);
    expect(fioRuns()).toBe(0);
    resolve();
    await collected;
    expect(fioRuns()).toBe(2);
  });

  test("disks are only read", async () => {
    const { facts, calls } = await measured(["disk"]);
    expect(calls).toHaveLength(2);
    expect(calls.every((line) => line.includes("--readonly") && / --rw=(?:rand)?read /.test(line))).toBe(
      true,
    );
    // 1,287,027 KiB/s and 1,256.86 operations, see the fixture
    expect(about(facts, "disk", "sda")).toMatchObject({
      standalone_read_1M_KBps: "1287027",
      standalone_read_1M_IOps: "1256",
      standalone_randread_4k_IOps: "1256",
    });
  });

  test("several disks are read alone, one after the other, and then all together", async () => {
    const recording = await loadMachine("qemu-numa");
    const fio = (argv: readonly string[]) => {
      const names = argv
        .filter((word) => word.startsWith("--name="))
        .map((word) => word.slice("--name=".length));
      const jobs = names.map((jobname, place) => ({
        jobname,
        read: { bw: 1000 * names.length + place, iops: 7.9 },
      }));
      return { stdout: `fio: a warning\n${JSON.stringify({ jobs })}` };
    };
    const machine = await inspectedMachine(
      {
        ...recording,
        files: { ...recording.files, "/sys/block/sdb/size": "20000000\n" },
        programs: { ...recording.programs, fio },
      },
      { inspection_benchmarks: ["disk"] },
    );
    const { data } = await collectExtraHardware(machine);
    const runs = machine.system.calls.filter(([program]) => program === "fio").map((argv) => argv.join(" "));
    expect(runs.map((line) => line.match(/--filename=\S+/g)?.join(" "))).toEqual([
      ...["--filename=/dev/sda", "--filename=/dev/sda", "--filename=/dev/sdb", "--filename=/dev/sdb"],
      ...["--filename=/dev/sda --filename=/dev/sdb", "--filename=/dev/sda --filename=/dev/sdb"],
    ]);
    expect(about(data as unknown as Fact[], "disk", "sdb")).toMatchObject({
      standalone_read_1M_KBps: "1000",
      standalone_randread_4k_IOps: "7",
      simultaneous_read_1M_KBps: "2001",
      simultaneous_randread_4k_KBps: "2001",
    });
  });

  test("that do not exist fail the collector with the names of those that do", async () => {
    expect(await thrower(measured(["gpu"]))).toThrow("there is no benchmark gpu; there are cpu, mem, disk");
  });

  test("with other output than the tools' fail", () => {
    for (const text of ["", "fio: failed", "{}", '{"jobs": 5}'])
      expect(() => parseFio(text)).toThrow("fio told no results");
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), (jobs) => {
        expect(parseFio(JSON.stringify({ jobs }))).toBeArray();
      }),
    );
  });
});
