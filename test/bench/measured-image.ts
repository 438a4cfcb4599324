// One image through the agent's own pipeline, measured; for processes of their own, so that their peak memory is that of this alone.

import { hashAlgorithm } from "../../src/image/hasher.ts";
import { placeOrCacheImage, streamImage } from "../../src/image/image-transfer.ts";
import { createSystem } from "../../src/system/real.ts";
import { residentMemory } from "./measure.ts";

export type MeasuredImage = {
  readonly url: string;
  /** A block device, or a file of the image's size. */
  readonly device: string;
  readonly algorithm: string;
  /** What must come out, hexadecimal. */
  readonly digest: string;
  readonly format: "raw" | "qcow2";
};

/** Writes the image, and prints the same JSON as reference-image.py and reference-stream.py: seconds, digest, peak memory in bytes. */
export async function writeMeasured({
  url,
  device,
  algorithm,
  digest,
  format,
}: MeasuredImage): Promise<void> {
  const hash = hashAlgorithm(algorithm);
  if (hash === null) throw new Error(`unknown algorithm ${algorithm}`);
  const system = createSystem({
    name: "bench",
    debug: false,
    json: false,
    file: "/dev/null",
    stream: "stderr",
  });
  const started = performance.now();
  await (format === "raw" ? streamImage : placeOrCacheImage)(system, {
    plan: {
      imageId: "bench",
      urls: [url],
      settings: {
        proxy: { proxies: {}, noProxy: null },
        tls: { verify: true, ca: null, certificate: null, minVersion: "1.2", ciphers: null },
        authorization: null,
        timeout: 60,
      },
      retries: 0,
      interval: 0,
      maxDuration: 0,
    },
    checksum: { algorithm: hash, expected: digest },
    hashEngine: "auto",
    format: { permitted: ["raw", "qcow2"], expected: format, enforce: true },
    streamRaw: true,
    unpack: true,
    verifyWritten: false,
    conversion: { memoryLimit: 2048, attempts: 1 },
    target: {
      capacity: Number.POSITIVE_INFINITY,
      tooLarge: (bytes) => new Error(`${bytes} bytes are too many`),
      prepare: async () => device,
    },
    report: () => {},
    signal: new AbortController().signal,
  });
  const seconds = (performance.now() - started) / 1000;
  console.log(JSON.stringify({ seconds, digest, peak: await residentMemory(process.pid, "VmHWM") }));
}
