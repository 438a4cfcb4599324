import { describe, expect, test } from "bun:test";
import { ImageWriteError } from "../../src/errors.ts";
import { type ConvertOptions, convertToDevice, lastPercent } from "../../src/image/qemu-img.ts";
import { type RecordedProgram, recordedSystem } from "../support/recorded-system.ts";
import { rejection } from "../support/rejection.ts";

const OPTIONS: ConvertOptions & { readonly offset: number } = {
  format: "qcow2",
  offset: 1048576,
  memoryLimit: 2048,
  attempts: 3,
  onPercent: () => {},
  signal: new AbortController().signal,
};

function machine(prlimit: RecordedProgram) {
  return recordedSystem({ programs: { prlimit, sync: {} } });
}

// deploy 11.33; deploy 10, bugs 17 and 19
test("the command line: a given format, limits, and nothing guessed", async () => {
  let environment: Readonly<Record<string, string>> | undefined;
  const system = machine((_, options) => {
    ({ environment } = options);
    return {};
  });
  await convertToDevice(system, "/tmp/x/image", "/dev/sda", OPTIONS);
  expect(system.calls.map((argv) => argv.join(" "))).toEqual([
    "prlimit --as=2147483648 qemu-img convert -p -n -t directsync -S 0 -W --target-image-opts " +
      'json:{"driver":"raw","offset":1048576,"file":{"driver":"qcow2","file":{"driver":"file","filename":"/tmp/x/image"}}} ' +
      "driver=raw,offset=1048576,file.driver=host_device,file.filename=/dev/sda",
  ]);
  expect(environment).toEqual({ MALLOC_ARENA_MAX: "3" });
});

// deploy 11.33; deploy 10, bug 18
describe("short memory", () => {
  const shortages = [
    "Cannot allocate memory",
    "qemu: thread creation failed: Resource temporarily unavailable",
  ];
  test.each(shortages)("is tried again: %s", async (stderr) => {
    let run = 0;
    const system = machine(() => (++run < 3 ? { exitCode: 1, stderr } : {}));
    await convertToDevice(system, "/i", "/dev/sda", OPTIONS);
    expect(system.calls.map(([program]) => program)).toEqual([
      "prlimit",
      "sync",
      "prlimit",
      "sync",
      "prlimit",
    ]);
  });

  test("three times at most", async () => {
    const system = machine({ exitCode: 1, stderr: "Cannot allocate memory" });
    expect(await rejection(convertToDevice(system, "/i", "/dev/sda", OPTIONS))).toBeInstanceOf(
      ImageWriteError,
    );
    expect(system.calls.filter(([program]) => program === "prlimit")).toHaveLength(3);
  });
});

test("any other failure is final, and quotes the tool without its progress", async () => {
  const stdout = "    (0.00/100%)\r    (12.50/100%)\r";
  const system = machine({ exitCode: 1, stdout, stderr: "qemu-img: Cannot grow device files\n" });
  const error = await convertToDevice(system, "/i", "/dev/sda", OPTIONS).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ImageWriteError);
  expect((error as ImageWriteError).details).toBe(
    "Writing image to device /dev/sda failed with exit code 1. stdout: . stderr: qemu-img: Cannot grow device files",
  );
  expect(system.calls).toHaveLength(1);
});

test("progress is read from the tool's own output", () => {
  expect(lastPercent("    (0.00/100%)\r    (12.34/100%)\r")).toBe(12.34);
  expect(lastPercent("    (100.00/100%)\r\n")).toBe(100);
  expect(lastPercent("nothing")).toBeNull();
});
