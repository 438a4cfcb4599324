// The one door to the machine. Everything outside src/system that wants a program run, a file read, a packet sent
// or time to pass takes a System, so that tests can hand in a recorded machine and two hundred agents can
// live in one process.

import type { BlockDevices } from "./block-device.ts";
import type { Clock } from "./clock.ts";
import type { StartCompanion } from "./companion.ts";
import type { PermanentAddress, SupportedLinkModes } from "./ethtool.ts";
import type { Files } from "./files.ts";
import type { HttpClient } from "./http-client.ts";
import type { HttpListener } from "./http-server.ts";
import type { Logger } from "./log.ts";
import type { TapLog } from "./log-tap.ts";
import type { NetworkAddresses } from "./network-addresses.ts";
import type { FindProgram, RunProgram } from "./programs.ts";
import type { CaptureFrames } from "./raw-socket.ts";
import type { ResolveHost } from "./resolver.ts";
import type { OpenUdp } from "./udp.ts";

export type System = {
  /** Runs an external program to its end; see programs.ts. */
  readonly run: RunProgram;
  readonly findProgram: FindProgram;
  /** Starts another process of this executable, for code that is not the agent's own; see companion.ts. */
  readonly startCompanion: StartCompanion;
  /** The command line that runs another one with filtered system calls; see restrained-exec.ts. */
  readonly restrained: (argv: readonly string[]) => readonly string[];
  readonly files: Files;
  /** Raw access to disks and partitions (or regular files standing in for them). */
  readonly blockDevices: BlockDevices;
  readonly http: HttpClient;
  readonly listen: HttpListener;
  readonly resolveHost: ResolveHost;
  readonly openUdp: OpenUdp;
  readonly networkAddresses: NetworkAddresses;
  readonly captureFrames: CaptureFrames;
  readonly supportedLinkModes: SupportedLinkModes;
  readonly permanentAddress: PermanentAddress;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether the log takes records of level DEBUG from now on. */
  readonly setLogDebug: (debug: boolean) => void;
  /** Watches what one piece of work logs; see log-tap.ts. */
  readonly tapLog: TapLog;
  /** Result of gethostname(2), as it is. */
  readonly hostname: string;
  /** `x64` or `arm64`, as the runtime names it. */
  readonly architecture: string;
  /** Started by somebody at a terminal, not by a service manager. */
  readonly interactive: boolean;
  /** Variables of the environment the agent was started with. */
  readonly environment: Readonly<Record<string, string | undefined>>;
};
