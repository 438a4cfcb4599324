// Opens the device an image goes to, and on request (verify_written_image) reads back everything that was written before the
// image counts as written.

import type { BlockDevice } from "../system/block-device.ts";
import type { System } from "../system/system.ts";
import { ProgressMeter } from "./progress-meter.ts";
import { type BeforeHead, unbootableOnFailure } from "./stream-to-device.ts";
import type { TransferOptions } from "./transfer-options.ts";
import { WrittenRecord } from "./written-record.ts";

/**
 * `write` is to ask the function it is given before it writes the device's start.
 * @throws what `write` throws; ImageWriteError if the device does not hold what was written: then nothing on it boots
 */
export async function writeTo(
  system: System,
  device: string,
  options: TransferOptions,
  write: (target: BlockDevice, beforeHead: BeforeHead) => Promise<void>,
): Promise<void> {
  await using target = await system.blockDevices.open(device, "write-exclusive");
  const holdBack: BeforeHead = async (head) => (await options.target.beforeHead?.(target, head)) ?? head;
  if (!options.verifyWritten) return await write(target, holdBack);
  const record = new WrittenRecord();
  let meter: ProgressMeter | null = null;
  let compared = 0;
  // First all but the start, so that nothing boots before it was read back.
  const compare = async () => {
    const { bytes } = record;
    await record.compare(system, device, (done) => meter?.update(compared + done), options.signal);
    compared += bytes;
    record.clear();
  };
  await write(record.watch(target), async (head) => {
    meter = new ProgressMeter(system.clock, options.report, "verify", record.bytes + head.length);
    await compare();
    return await holdBack(head);
  });
  await unbootableOnFailure(target, system.log, compare);
  system.log.info(`read back ${compared} bytes from ${device}: they are what was written`);
}
