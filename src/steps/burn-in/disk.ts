// The burn-in of disks: all of them at once are written and read back, which destroys what is on them. What an erase leaves alone is
// left alone here, too: skipped disks, disks of the running system, members of arrays, file systems that other machines share.
// Source: hardware specification 10.3.

import { reportWhile } from "../../disk/elapsed-progress.ts";
import { chooseDevices, type ListDevices, requireErasable } from "../erase-guards.ts";
import { DiskTraffic } from "./disk-traffic.ts";
import { fioOnDisks } from "./fio.ts";
import { BurnInSettings } from "./settings.ts";
import { smartTest } from "./smart-test.ts";
import { type BurnInContext, runTool } from "./tool.ts";

const LOOPS = 4;

/**
 * @throws HostDiskError, ProtectedDeviceError before anything is written; CommandExecutionError if fio is missing or a disk did not
 *   give back what was written; CleaningError for bad settings and failed self-tests
 */
export async function burnInDisks(context: BurnInContext, listDisks: ListDevices): Promise<null> {
  const settings = new BurnInSettings(context.node, "agent_burnin_fio_disk_");
  const loops = settings.count("loops", LOOPS);
  const runtime = settings.duration("runtime", 0);
  const outputFile = settings.word("outputfile");
  const listed = await listDisks(context.node);
  const chosen = new Set(await chooseDevices(context, listed, "tested"));
  const disks = listed.filter((disk) => chosen.has(disk));
  await requireErasable(context, disks, "burn in");
  if (disks.length === 0) {
    context.system.log.warning("There is no disk to burn in");
    return null;
  }
  const work = runTool(context, fioOnDisks(disks, { loops, runtime, outputFile }));
  const phase = `testing ${disks.length === 1 ? "the disk" : `${disks.length} disks`}`;
  if (runtime.seconds > 0)
    await reportWhile(work, {
      clock: context.system.clock,
      report: context.report,
      phase,
      expected: runtime.seconds,
    });
  else await new DiskTraffic(context, disks).reportWhile(work, { phase, loops });
  if (settings.flag("smart_test")) await smartTest(context, disks);
  return null;
}
