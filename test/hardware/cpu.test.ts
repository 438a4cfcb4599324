import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseCpuInfoFlags, parseLscpu, readCpu } from "../../src/hardware/cpu.ts";
import { ProgramMissingError } from "../../src/system/programs.ts";
import { recordedSystem } from "../support/recorded-system.ts";
import { rejection } from "../support/rejection.ts";
import { loadMachine } from "./recording/recording.ts";

test("the recorded machines have the processors QEMU gave them", async () => {
  for (const name of ["qemu-bios", "qemu-uefi"]) {
    const cpu = await readCpu(recordedSystem(await loadMachine(name)));
    expect(cpu).toMatchObject({
      model_name: "QEMU TCG CPU version 2.5+",
      frequency: null,
      count: 2,
      architecture: "x86_64",
      socket_count: 1,
    });
    expect(cpu.flags).toContain("sse4_2");
  }
});

describe("fields of lscpu", () => {
  // hardware 13.2
  test("the highest frequency before the current one, as text; neither is null", () => {
    const both = "CPU MHz:             1290.000\nCPU max MHz:         2400.0000\n";
    expect(parseLscpu(both).frequency).toBe("2400.0000");
    expect(parseLscpu("CPU MHz: 1290.000\n").frequency).toBe("1290.000");
    expect(parseLscpu("CPU family: 6\n").frequency).toBeNull();
  });

  // hardware 13.3
  test("CPU(s) is the count, not the lists whose names end with it", () => {
    const text =
      "CPU(s):                8\nOn-line CPU(s) list:   0-7\nNUMA node0 CPU(s):     0-7\nSocket(s): 2\n";
    expect(parseLscpu(text)).toMatchObject({ count: 8, socket_count: 2 });
  });

  // hardware 13.4
  test("of processors of two kinds the last model counts", () => {
    expect(parseLscpu("Model name: Cortex-A53\nModel name: Cortex-A72\n").model_name).toBe("Cortex-A72");
  });

  test("a value may hold colons; lines without one are passed over; what is missing is null, 0 or empty", () => {
    expect(parseLscpu("Model name: A: B\ngarbage\n\n").model_name).toBe("A: B");
    expect(parseLscpu("")).toEqual({
      model_name: null,
      frequency: null,
      count: 0,
      architecture: null,
      flags: [],
      socket_count: 0,
    });
  });

  test("any text gives a CPU, with a number of processors", () => {
    const value = fc.oneof(fc.string({ unit: "binary" }), fc.bigInt({ min: 0n }).map(String));
    fc.assert(
      fc.property(value, value, (count, junk) => {
        const cpu = parseLscpu(`CPU(s): ${count}\n${junk}`);
        expect(Number.isSafeInteger(cpu.count)).toBe(true);
        expect(cpu.count).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});

describe("flags that lscpu does not tell", () => {
  test("are those of the first processor in /proc/cpuinfo, by either name", () => {
    expect(parseCpuInfoFlags("processor\t: 0\nflags\t\t: fpu vme\n\nflags\t: other\n")).toEqual([
      "fpu",
      "vme",
    ]);
    expect(parseCpuInfoFlags("processor\t: 0\nFeatures\t: fp asimd\n")).toEqual(["fp", "asimd"]);
    expect(parseCpuInfoFlags("vmx flags\t: x\n")).toEqual([]);
  });

  test("are looked for there", async () => {
    const system = recordedSystem({
      programs: { lscpu: { stdout: "CPU(s): 1\n" } },
      files: { "/proc/cpuinfo": "flags\t: fpu cx16_old\n" },
    });
    expect((await readCpu(system)).flags).toEqual(["fpu", "cx16_old"]);
    expect(system.records).toHaveLength(0);
  });

  test("are a warning when nobody knows them", async () => {
    const system = recordedSystem({ programs: { lscpu: { stdout: "CPU(s): 1\n" } } });
    expect((await readCpu(system)).flags).toEqual([]);
    expect(system.records.map(({ level }) => level)).toEqual(["WARNING"]);
  });
});

test("without lscpu there is no CPU", async () => {
  expect(await rejection(readCpu(recordedSystem()))).toBeInstanceOf(ProgramMissingError);
});
