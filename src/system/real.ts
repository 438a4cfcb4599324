// Puts the real machine together: the System that main.ts hands to the agent.

import { hostname } from "node:os";
import { realBlockDevices } from "./block-device.ts";
import { realClock } from "./clock.ts";
import { ownCommand, realStartCompanion } from "./companion.ts";
import { realPermanentAddress, realSupportedLinkModes } from "./ethtool.ts";
import { realFiles } from "./files.ts";
import { realHttpClient } from "./http-client.ts";
import { realHttpListener } from "./http-server.ts";
import { type LogSettings, openLog } from "./log-output.ts";
import { LogTap } from "./log-tap.ts";
import { realNetworkAddresses } from "./network-addresses.ts";
import { createRun, realFindProgram } from "./programs.ts";
import { createCaptureFrames } from "./raw-socket.ts";
import { realResolveHost } from "./resolver.ts";
import { RESTRAINED_WORD } from "./restrained-word.ts";
import type { System } from "./system.ts";
import { realOpenUdp } from "./udp.ts";

export type { LogSettings } from "./log-output.ts";

/** @throws Error naming the log file or service when it cannot be written to. */
export function createSystem(settings: LogSettings): System {
  const tap = new LogTap();
  const { log, setDebug } = openLog(settings, (sink) => tap.around(sink));
  return systemLoggingTo({ log, setLogDebug: setDebug, tapLog: tap.during }, settings.name);
}

/** The same machine with somebody else's log. */
export function systemLoggingTo(
  logging: Pick<System, "log" | "setLogDebug" | "tapLog">,
  name: string,
): System {
  return {
    run: createRun(realClock, logging.log.named(`${name}.programs`)),
    findProgram: realFindProgram,
    startCompanion: realStartCompanion,
    restrained: (argv) => [...ownCommand(), RESTRAINED_WORD, ...argv],
    files: realFiles,
    blockDevices: realBlockDevices,
    http: realHttpClient,
    listen: realHttpListener,
    resolveHost: realResolveHost,
    openUdp: realOpenUdp,
    networkAddresses: realNetworkAddresses,
    captureFrames: createCaptureFrames(realClock),
    supportedLinkModes: realSupportedLinkModes,
    permanentAddress: realPermanentAddress,
    clock: realClock,
    ...logging,
    hostname: hostname(),
    architecture: process.arch,
    interactive: process.stdin.isTTY === true,
    environment: process.env,
  };
}
