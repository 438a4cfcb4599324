import { describe, expect, test } from "bun:test";
import { BlockDeviceEraseError, ProtectedDeviceError } from "../../src/errors.ts";
import type { JsonObject } from "../../src/json.ts";
import { eraseExpress, eraseExpressStep } from "../../src/steps/erase-express.ts";
import type { StepContext } from "../../src/steps/step.ts";
import { recordedOutput } from "../disk/recording/sessions.ts";
import type { RecordedProgram } from "../support/recorded-system.ts";
import { rejection, thrower } from "../support/rejection.ts";
import { eraseContext, eraseMachine } from "./erase-support.ts";

const DEVICES = ["/dev/sda", "/dev/sda1", "/dev/nvme0n1", "/dev/nvme0n1p1"];
const IDENTITY = await recordedOutput("erase", "nvme id-ctrl /dev/nvme0n1 -o json");

function machine(programs: Record<string, RecordedProgram> = {}) {
  return eraseMachine(DEVICES, { nvme: (argv) => (argv[1] === "id-ctrl" ? IDENTITY : {}), ...programs });
}

function express(on: ReturnType<typeof machine>, settings: JsonObject = {}) {
  return eraseExpress({ ...eraseContext(on.system, settings), mustKeep: async () => null }, DEVICES);
}

const wiped = (on: ReturnType<typeof machine>) =>
  on
    .destructive()
    .filter((line) => line.startsWith("wipefs"))
    .map((line) => line.split(" ")[1]);

// hardware 13.71
describe("express", () => {
  test("formats NVMe, whose partitions go with it, and wipes the metadata of the rest", async () => {
    const on = machine();
    expect(await express(on)).toEqual({
      "/dev/sda1": { method: "metadata" },
      "/dev/sda": { method: "metadata" },
      "/dev/nvme0n1p1": { method: "with its disk" },
      "/dev/nvme0n1": { method: "nvme-format-user-data" },
    });
    expect(on.destructive()[0]).toBe("nvme /dev/nvme0n1");
    expect(wiped(on)).toEqual(["/dev/sda1", "/dev/sda"]);
  });

  test("wipes the metadata where the format fails, which is a success", async () => {
    const on = machine({
      nvme: (argv) => (argv[1] === "id-ctrl" ? IDENTITY : { exitCode: 1, stderr: "busy" }),
    });
    expect(await express(on)).toMatchObject({
      "/dev/nvme0n1": { method: "metadata", tried_before: [expect.stringContaining("busy") as never] },
    });
    expect(wiped(on)).toEqual(["/dev/sda1", "/dev/sda", "/dev/nvme0n1p1", "/dev/nvme0n1"]);
  });

  test("where both fail tells both, of every device, after all were tried", async () => {
    const broken = { exitCode: 1, stderr: "probing failed" };
    const on = machine({ nvme: { exitCode: 1, stderr: "no controller" }, wipefs: broken });
    const failed = express(on);
    expect(await rejection(failed)).toBeInstanceOf(BlockDeviceEraseError);
    expect(await thrower(failed)).toThrow(
      /"\/dev\/sda": .*probing failed.*\n"\/dev\/nvme0n1p1": .*\n"\/dev\/nvme0n1": .*probing failed.*no controller/s,
    );
  });

  test("formats nothing where the node does not want it", async () => {
    const on = machine();
    await express(on, { agent_enable_nvme_secure_erase: false });
    expect(on.destructive().some((line) => line.startsWith("nvme"))).toBe(false);
    expect(wiped(on)).toHaveLength(4);
  });

  // hardware 13.64, 13.65
  test("leaves alone what the other steps leave alone, and touches nothing when one disk is shared", async () => {
    const member = machine({
      "lsblk --fs --noheadings /dev/nvme0n1": { stdout: "nvme0n1 linux_raid_member\n" },
    });
    await express(member);
    expect(member.destructive().some((line) => line.startsWith("nvme"))).toBe(false);
    const shared = machine({
      "lsblk -bia --json -oUUID,PTUUID,PARTTYPE,PARTUUID,FSTYPE /dev/sda": {
        stdout: '{"blockdevices": [{"fstype": "gfs2"}]}',
      },
    });
    expect(await rejection(express(shared))).toBeInstanceOf(ProtectedDeviceError);
    expect(shared.destructive()).toEqual([]);
  });

  test("of no device is nothing", async () => {
    const step = eraseExpressStep(
      async () => [],
      async () => null,
    );
    expect(await step.run(eraseContext(machine().system) as unknown as StepContext, {})).toBeNull();
  });
});
