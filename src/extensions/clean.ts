// Clean steps: what happens to a node between two tenants, or on an operator's request.

import { stepExtension } from "./step-extension.ts";

export const clean = stepExtension("clean");
