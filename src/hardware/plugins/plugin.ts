// What the framework knows of a manager that comes from a file beside the executable.

import type { HardwareManager, ManagerContext } from "../manager.ts";

/** Managers from outside. They may fail at any time, and that is never the end of the agent. */
export type PluginSource = (context: ManagerContext, signal: AbortSignal) => Promise<readonly Plugin[]>;

export type Plugin = {
  readonly manager: HardwareManager;
  /** The file it comes from. */
  readonly path: string;
  /** Ends what belongs to it. Never rejects. */
  readonly stop: () => Promise<void>;
};

/** A file that gives no plug-in at all. */
export class PluginLoadError extends Error {
  readonly path: string;

  constructor(path: string, reason: string, options?: ErrorOptions) {
    super(`the plug-in ${path} cannot be loaded: ${reason}`, options);
    this.path = path;
  }
}
