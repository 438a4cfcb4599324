// Deploy steps; `write_image` is the one that Ironic sends of its own accord.

import { stepExtension } from "./step-extension.ts";

export const deploy = stepExtension("deploy");
