// Service steps: maintenance of a node that is in use by a tenant (Ironic 2023.2 and later).

import { stepExtension } from "./step-extension.ts";

export const service = stepExtension("service");
