// There is no GPU here: a script stands in for gpu_burn and prints what the sources of the real one print.

import { describe, expect, test } from "bun:test";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { CleaningError, CommandExecutionError } from "../../../src/errors.ts";
import { burnInGpu, faultyGpus } from "../../../src/steps/burn-in/gpu.ts";
import { recordedSystem } from "../../support/recorded-system.ts";
import { rejection, thrower } from "../../support/rejection.ts";
import { burnInContext, realSystem } from "./support.ts";

const LIST = "ID 0: NVIDIA A100-SXM4-40GB, 40536MB\nID 1: NVIDIA A100-SXM4-40GB, 40536MB\n";
const GOOD = "Tested 2 GPUs:\n\tGPU 0: OK\n\tGPU 1: OK\n";

test("the command lines without any settings, and with all of them", async () => {
  const system = recordedSystem({
    programs: {
      "/opt/gpu-burn/gpu_burn": { stdout: GOOD },
      "/srv/burn/gpu_burn -l": { stdout: LIST },
      "/srv/burn/gpu_burn": { stdout: GOOD },
    },
  });
  expect(await burnInGpu(burnInContext(system))).toBeNull();
  await burnInGpu(
    burnInContext(system, {
      agent_burnin_gpu_install_dir: "/srv/burn",
      agent_burnin_gpu_timeout: "1h",
      agent_burnin_gpu_memory: "50%",
      agent_burnin_gpu_count: 2,
    }),
  );
  expect(system.calls.map((argv) => argv.join(" "))).toEqual([
    "/opt/gpu-burn/gpu_burn -m 95% 86400",
    "/srv/burn/gpu_burn -l",
    "/srv/burn/gpu_burn -m 50% 3600",
  ]);
});

test("another number of GPUs than there should be fails before anything is tested", async () => {
  const system = recordedSystem({ programs: { "/opt/gpu-burn/gpu_burn": { stdout: LIST } } });
  const counted = burnInGpu(burnInContext(system, { agent_burnin_gpu_count: "4" }));
  expect(await rejection(counted)).toBeInstanceOf(CleaningError);
  expect(await thrower(counted)).toThrow("There are 2 GPUs and driver_info/agent_burnin_gpu_count says 4");
  expect(system.calls).toHaveLength(1);
});

test("a faulty GPU fails, whatever the exit status; so does a missing tool", async () => {
  const bad = "Tested 3 GPUs:\n\tGPU 0: OK\n\tGPU 1: FAULTY\n\tGPU 2: FAULTY\n";
  expect(faultyGpus(bad)).toEqual([1, 2]);
  expect(faultyGpus(GOOD)).toEqual([]);
  const system = recordedSystem({ programs: { "/opt/gpu-burn/gpu_burn": { stdout: bad } } });
  expect(await thrower(burnInGpu(burnInContext(system)))).toThrow("gpu_burn found faulty GPUs: 1, 2");
  const without = burnInGpu(burnInContext(recordedSystem()));
  expect(await rejection(without)).toBeInstanceOf(CommandExecutionError);
  expect(await thrower(without)).toThrow("gpu_burn failed: cannot run /opt/gpu-burn/gpu_burn");
});

describe("a real program", () => {
  test("is started in its directory, where its kernels are", async () => {
    const directory = await mkdtemp("/tmp/burn-in-");
    try {
      const script = `${directory}/gpu_burn`;
      await Bun.write(script, '#!/bin/sh\n[ -f kernels ] && pwd > "$0.ran"\n');
      await Bun.write(`${directory}/kernels`, "");
      await chmod(script, 0o755);
      await burnInGpu(burnInContext(realSystem(), { agent_burnin_gpu_install_dir: directory }));
      expect((await Bun.file(`${script}.ran`).text()).trim()).toBe(directory);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
