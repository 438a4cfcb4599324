// One measured image, by the agent's own pipeline, in a process of its own so that its peak memory is its alone. Prints the same
// JSON as reference-image.py.
//
//   bun run test/bench/image-child.ts URL DEVICE ALGORITHM DIGEST FORMAT

import { hashAlgorithm } from "../../src/image/hasher.ts";
import { placeOrCacheImage, streamImage } from "../../src/image/image-transfer.ts";
import { createSystem } from "../../src/system/real.ts";
import { residentMemory } from "./measure.ts";

const [url = "", device = "", name = "", expected = "", format = ""] = process.argv.slice(2);
const algorithm = hashAlgorithm(name);
if (algorithm === null) throw new Error(`unknown algorithm ${name}`);

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
  checksum: { algorithm, expected },
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
console.log(JSON.stringify({ seconds, digest: expected, peak: await residentMemory(process.pid, "VmHWM") }));
