import { expect, test } from "bun:test";
import { CommandExecutionError } from "../../src/errors.ts";
import { syncDisks } from "../../src/steps/sync.ts";
import { type RecordedProgram, recordedSystem } from "../support/recorded-system.ts";

function machine(programs: Record<string, RecordedProgram>) {
  return recordedSystem({
    programs,
    files: {
      "/proc/sys/vm/drop_caches": "0",
      "/sys/block/sda/size": "2048\n",
      "/sys/block/nvme0n1/size": "4096\n",
      "/sys/block/loop0/size": "0\n",
      "/sys/block/cciss!c0d0/size": "8\n",
    },
  });
}

test("file systems, then caches, then every disk that has a medium", async () => {
  const system = machine({ sync: {}, blockdev: {} });
  await syncDisks(system);
  expect(system.calls.map((argv) => argv.join(" "))).toEqual([
    "sync",
    "blockdev --flushbufs /dev/cciss/c0d0",
    "blockdev --flushbufs /dev/nvme0n1",
    "blockdev --flushbufs /dev/sda",
  ]);
  expect(system.fileMap.get("/proc/sys/vm/drop_caches")).toBe("3");
});

test("a failing sync is an error with its words", async () => {
  const system = machine({ sync: { exitCode: 1, stderr: "Input/output error" }, blockdev: {} });
  const error = await syncDisks(system).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(CommandExecutionError);
  expect((error as CommandExecutionError).details).toStartWith(
    "Flushing file system buffers failed. Error: sync: ",
  );
  expect((error as CommandExecutionError).details).toContain("Input/output error");
});

test("everything else is a warning, and does not stop the rest", async () => {
  const system = machine({ sync: {}, blockdev: { exitCode: 1 } });
  await syncDisks(system);
  expect(system.calls.filter(([program]) => program === "blockdev")).toHaveLength(3);
  expect(system.records.map(({ level }) => level)).toEqual(["WARNING", "WARNING", "WARNING"]);
});
