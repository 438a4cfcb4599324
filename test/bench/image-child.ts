// One measured image onto a device.
//
//   bun run test/bench/image-child.ts URL DEVICE ALGORITHM DIGEST FORMAT

import { writeMeasured } from "./measured-image.ts";

const [url = "", device = "", algorithm = "", digest = "", format] = process.argv.slice(2);
if (format !== "raw" && format !== "qcow2") throw new Error(`unknown format ${format}`);
await writeMeasured({ url, device, algorithm, digest, format });
