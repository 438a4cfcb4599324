// One measured download of a raw image into a file.
//
//   bun run test/bench/stream-child.ts URL FILE ALGORITHM DIGEST

import { truncate, writeFile } from "node:fs/promises";
import { writeMeasured } from "./measured-image.ts";

const [url = "", path = "", algorithm = "", digest = ""] = process.argv.slice(2);
// The sink wants a device, which has a size; the reference writes into a file that grows.
await writeFile(path, "");
await truncate(path, Number(new URL(url).pathname.slice(1)));
await writeMeasured({ url, device: path, algorithm, digest, format: "raw" });
