// One measured download of a raw image into a file, by the agent's own pipeline, in a process of its own so that its peak
// memory is its alone. Prints the same JSON as reference-stream.py.
//
//   bun run test/bench/stream-child.ts URL FILE ALGORITHM DIGEST

import { truncate, writeFile } from "node:fs/promises";
import { hashAlgorithm } from "../../src/image/hasher.ts";
import { streamImage } from "../../src/image/image-transfer.ts";
import { createSystem } from "../../src/system/real.ts";
import { residentMemory } from "./measure.ts";

const [url = "", path = "", name = "", expected = ""] = process.argv.slice(2);
const algorithm = hashAlgorithm(name);
if (algorithm === null) throw new Error(`unknown algorithm ${name}`);

// The sink wants a device, which has a size; the reference writes into a file that grows.
await writeFile(path, "");
await truncate(path, Number(new URL(url).pathname.slice(1)));

const system = createSystem({
  name: "bench",
  debug: false,
  json: false,
  file: "/dev/null",
  stream: "stderr",
});
const started = performance.now();
await streamImage(system, {
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
  format: { permitted: ["raw"], expected: "raw", enforce: true },
  streamRaw: true,
  unpack: true,
  verifyWritten: false,
  conversion: { memoryLimit: 2048, attempts: 1 },
  target: {
    capacity: Number.POSITIVE_INFINITY,
    tooLarge: (bytes) => new Error(`${bytes} bytes are too many`),
    prepare: async () => path,
  },
  report: () => {},
  signal: new AbortController().signal,
});
const seconds = (performance.now() - started) / 1000;
console.log(JSON.stringify({ seconds, digest: expected, peak: await residentMemory(process.pid, "VmHWM") }));
