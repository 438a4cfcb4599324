// Opens the device an image goes to, and on request (verify_written_image) reads back everything that was written before the
// image counts as written.

import type { BlockDevice } from "../system/block-device.ts";
import type { System } from "../system/system.ts";
import { ProgressMeter } from "./progress-meter.ts";
import { unbootableOnFailure } from "./stream-to-device.ts";
import type { TransferOptions } from "./transfer-options.ts";
import { WrittenRecord } from "./written-record.ts";

/** @throws what `write` throws; ImageWriteError if the device does not hold what was written: then nothing on it boots */
export async function writeTo(
  system: System,
  device: string,
  options: TransferOptions,
  write: (target: BlockDevice) => Promise<void>,
): Promise<void> {
  await using target = await system.blockDevices.open(device, "write-exclusive");
  if (!options.verifyWritten) return await write(target);
  const record = new WrittenRecord();
  await write(record.watch(target));
  const meter = new ProgressMeter(system.clock, options.report, "verify", record.bytes);
  await unbootableOnFailure(target, system.log, () => record.compare(system, device, meter, options.signal));
  system.log.info(`read back ${record.bytes} bytes from ${device}: they are what was written`);
}
