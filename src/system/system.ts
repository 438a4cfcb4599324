// The one door to the machine. Everything outside src/system that wants a program run, a file read, a packet sent
// or time to pass takes a System, so that tests can hand in a recorded machine and two hundred agents can
// live in one process.

import type { BlockDevices } from "./block-device.ts";
import type { Clock } from "./clock.ts";
import type { Files } from "./files.ts";
import type { HttpClient } from "./http-client.ts";
import type { HttpListener } from "./http-server.ts";
import type { Logger } from "./log.ts";
import type { RunProgram } from "./programs.ts";
import type { ResolveHost } from "./resolver.ts";

export type System = {
  /** Runs an external program to its end; see programs.ts. */
  readonly run: RunProgram;
  readonly files: Files;
  /** Raw access to disks and partitions (or regular files standing in for them). */
  readonly blockDevices: BlockDevices;
  readonly http: HttpClient;
  readonly listen: HttpListener;
  readonly resolveHost: ResolveHost;
  readonly clock: Clock;
  readonly log: Logger;
  /** Result of gethostname(2), as it is. */
  readonly hostname: string;
  /** `x64` or `arm64`, as the runtime names it. */
  readonly architecture: string;
  /** Variables of the environment the agent was started with. */
  readonly environment: Readonly<Record<string, string | undefined>>;
};
