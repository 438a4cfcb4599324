// The program that one TypeScript plug-in runs in: put together from the real machine, started and ended by the agent (companion.ts).

import { servePlugin } from "./hardware/plugins/plugin-host.ts";
import * as sdk from "./sdk.ts";
import { parentChannel } from "./system/companion.ts";
import { loadModule, provideModule } from "./system/modules.ts";
import { systemLoggingTo } from "./system/real.ts";

/** Never resolves: closing the channel ends the process. @throws Error if it was not started by an agent */
export function hostPlugin(): Promise<never> {
  const channel = parentChannel();
  provideModule("ironic-agent", sdk);
  servePlugin({
    channel,
    loadModule,
    // Levels are the agent's matter, which gets every line.
    createSystem: (log) =>
      systemLoggingTo({ log, setLogDebug: () => undefined, tapLog: (_, work) => work() }, "plugin"),
  });
  return new Promise(() => undefined);
}
