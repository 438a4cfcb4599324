import { expect, test } from "bun:test";
import { PhaseTimer } from "../../src/metrics/phase-timer.ts";
import { MetricsRecorder } from "../../src/metrics/recorder.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { recordedSystem } from "../support/recorded-system.ts";

test("an image's phase lasts until the next one begins, or the command ends", async () => {
  const clock = new ManualClock();
  const metrics = new MetricsRecorder(clock, recordedSystem().log);
  const phases = new PhaseTimer(metrics, clock);
  const report = (phase: string) => phases.reported({ phase, done: 1, total: 2, unit: "bytes", rate: 1 });
  phases.ended();
  report("download");
  await clock.advance(10);
  report("download");
  await clock.advance(5);
  report("write");
  await clock.advance(2);
  report("erasing metadata of /dev/sda");
  await clock.advance(9);
  report("convert");
  await clock.advance(1);
  phases.ended();
  phases.ended();
  expect([...metrics.series()]).toEqual([
    { kind: "timer", name: "ironic_python_agent.image.download", count: 1, value: 15 },
    { kind: "timer", name: "ironic_python_agent.image.write", count: 1, value: 2 },
    { kind: "timer", name: "ironic_python_agent.image.convert", count: 1, value: 1 },
  ]);
});
