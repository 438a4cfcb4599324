// A machine made of recorded answers, for unit tests: programs answer from a table, files live in a map, time passes only when
// somebody sleeps. What was not recorded does not exist: an unknown program is "not installed", an unknown path
// is missing. Nothing here can touch the machine the tests run on.

import { BlockDeviceIoError } from "../../src/system/block-device.ts";
import type { Clock } from "../../src/system/clock.ts";
import { FileError, type FileKind, type Files } from "../../src/system/files.ts";
import { type HttpClient, HttpError } from "../../src/system/http-client.ts";
import { createLogger, type LogRecord } from "../../src/system/log.ts";
import { LogTap } from "../../src/system/log-tap.ts";
import type { NetworkAddress } from "../../src/system/network-addresses.ts";
import {
  ProgramFailedError,
  ProgramMissingError,
  type ProgramResult,
  type RunOptions,
} from "../../src/system/programs.ts";
import { type CaptureFrames, FrameCaptureError } from "../../src/system/raw-socket.ts";
import type { System } from "../../src/system/system.ts";
import type { OpenUdp } from "../../src/system/udp.ts";

/** What a recorded program does: its output, or a function of the call. */
export type RecordedProgram =
  | Partial<ProgramResult>
  | ((argv: readonly string[], options: RunOptions) => Partial<ProgramResult>);

/** A file's content, or what else is at a path. Parent directories exist by themselves. */
export type RecordedFile =
  | string
  | Uint8Array
  | { readonly link: string }
  | {
      readonly device: { readonly major: number; readonly minor: number };
      readonly kind?: "block" | "character";
    }
  | { readonly directory: true };

export type Recording = {
  /** Keyed by the whole command line joined with spaces, or by the program's name alone (second choice). */
  readonly programs?: Readonly<Record<string, RecordedProgram>>;
  readonly files?: Readonly<Record<string, RecordedFile>>;
  readonly hostname?: string;
  readonly architecture?: string;
  readonly interactive?: boolean;
  readonly environment?: Readonly<Record<string, string>>;
  readonly http?: HttpClient;
  /**
   * Frames by interface; an Error for an interface that fails while it is listened on, null for one that stays silent. Listening
   * to others fails at once.
   */
  readonly frames?: Readonly<Record<string, Uint8Array | Error | null>>;
  /** Link modes by interface; a driver of the others does not tell. */
  readonly linkModes?: Readonly<Record<string, readonly number[]>>;
  /** Burned-in addresses by interface; a driver of the others does not tell. */
  readonly permanentAddresses?: Readonly<Record<string, string>>;
  readonly openUdp?: OpenUdp;
  readonly networkAddresses?: readonly NetworkAddress[];
  /** Addresses by host name; literal addresses resolve to themselves. */
  readonly hosts?: Readonly<Record<string, readonly string[]>>;
};

export type RecordedSystem = System & {
  /** Every program that was asked for, in order. */
  readonly calls: readonly (readonly string[])[];
  readonly records: readonly LogRecord[];
  /** Every sleep, seconds, in order. */
  readonly sleeps: readonly number[];
  /** Every call of setLogDebug. */
  readonly debugSwitches: readonly boolean[];
  /** The files as they are now (writes included). */
  readonly fileMap: ReadonlyMap<string, RecordedFile>;
};

export function recordedSystem(recording: Recording = {}): RecordedSystem {
  const calls: (readonly string[])[] = [];
  const records: LogRecord[] = [];
  const debugSwitches: boolean[] = [];
  const clock = new RecordedClock();
  const tap = new LogTap();
  const fileMap = new Map(Object.entries(recording.files ?? {}));
  return {
    run: async (argv, options = {}) => {
      options.signal?.throwIfAborted();
      calls.push(argv);
      return answer(recording.programs ?? {}, argv, options);
    },
    findProgram: (program) => (recording.programs?.[program] === undefined ? null : `/usr/bin/${program}`),
    startCompanion: () => {
      throw new Error("no second process can be started: none is recorded");
    },
    restrained: (argv) => argv,
    files: recordedFiles(fileMap),
    blockDevices: {
      open: async (path) => {
        throw new BlockDeviceIoError("opening", path, "ENOENT");
      },
    },
    http:
      recording.http ??
      (async ({ method, url }) => {
        throw new HttpError(`${method} ${url}: ECONNREFUSED: no network is recorded`, "ECONNREFUSED");
      }),
    listen: async ({ host, port }) => {
      throw new Error(`cannot listen on ${host} port ${port}: no network is recorded`);
    },
    resolveHost: async (host) => {
      const addresses = recording.hosts?.[host] ?? (/^[\d.]+$|:/.test(host) ? [host] : null);
      if (addresses === null) throw new Error(`cannot resolve the host name ${host}: not recorded`);
      return [...addresses];
    },
    openUdp:
      recording.openUdp ??
      (async () => {
        throw new Error("cannot open UDP: no network is recorded");
      }),
    networkAddresses: () => [...(recording.networkAddresses ?? [])],
    captureFrames: recordedCapture(recording.frames ?? {}, clock),
    permanentAddress: (name) => recording.permanentAddresses?.[name] ?? null,
    supportedLinkModes: (name) => recording.linkModes?.[name] ?? null,
    clock,
    log: createLogger(
      "recorded",
      "DEBUG",
      tap.around((record) => records.push(record)),
    ),
    setLogDebug: (debug) => debugSwitches.push(debug),
    tapLog: tap.during,
    hostname: recording.hostname ?? "recorded",
    architecture: recording.architecture ?? "x64",
    interactive: recording.interactive ?? false,
    environment: recording.environment ?? {},
    calls,
    records,
    sleeps: clock.sleeps,
    debugSwitches,
    fileMap,
  };
}

/** What is recorded comes at once, all together; then silence lasts as long as somebody waits. */
function recordedCapture(frames: NonNullable<Recording["frames"]>, clock: Clock): CaptureFrames {
  return (names) => {
    const unknown = names.find((name) => frames[name] === undefined);
    if (unknown !== undefined)
      throw new FrameCaptureError(`finding the network interface ${unknown}: not recorded`);
    let waiting = [...names];
    return {
      get waiting() {
        return waiting;
      },
      next: async (seconds, signal) => {
        const ready = waiting.filter((name) => frames[name] !== null);
        waiting = waiting.filter((name) => !ready.includes(name));
        if (ready.length === 0) await clock.sleep(seconds, signal);
        return ready.map((name) => {
          const given = frames[name] ?? new Uint8Array();
          return given instanceof Error ? { name, error: given.message } : { name, frame: given };
        });
      },
      [Symbol.dispose]: () => {},
    };
  };
}

/** Time that passes only by sleeping; random numbers are the middle of their range. */
class RecordedClock implements Clock {
  readonly sleeps: number[] = [];
  #elapsed = 0;

  now(): number {
    return 1_800_000_000 + this.#elapsed;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  uniform(low: number, high: number): number {
    return (low + high) / 2;
  }

  async sleep(seconds: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.sleeps.push(seconds);
    this.#elapsed += seconds;
  }
}

function answer(
  programs: Readonly<Record<string, RecordedProgram>>,
  argv: readonly string[],
  options: RunOptions,
): ProgramResult {
  const program = argv[0] ?? "";
  const recorded = programs[argv.join(" ")] ?? programs[program];
  if (recorded === undefined) throw new ProgramMissingError(program, "not recorded");
  const given = typeof recorded === "function" ? recorded(argv, options) : recorded;
  const result = { exitCode: 0, stdout: "", stderr: "", ...given };
  if (!(options.allowedExitCodes ?? [0]).includes(result.exitCode))
    throw new ProgramFailedError(
      argv,
      `exit code ${result.exitCode}`,
      result.exitCode,
      result.stdout,
      result.stderr,
    );
  return result;
}

function recordedFiles(map: Map<string, RecordedFile>): Files {
  const isDirectory = (path: string) => {
    const below = path === "/" ? "/" : `${path}/`;
    return [...map.keys()].some((known) => known.startsWith(below));
  };

  /** Follows links in every component, as the kernel does. */
  const resolve = (path: string, depth = 0): string => {
    if (depth > 40) throw new FileError("resolving", path, "ELOOP");
    let done = "";
    const parts = path.split("/").filter((part) => part !== "" && part !== ".");
    for (const [index, part] of parts.entries()) {
      if (part === "..") {
        done = done.slice(0, done.lastIndexOf("/"));
        continue;
      }
      const here = `${done}/${part}`;
      const entry = map.get(here);
      if (typeof entry === "object" && "link" in entry) {
        const target = entry.link.startsWith("/") ? entry.link : `${done}/${entry.link}`;
        return resolve([target, ...parts.slice(index + 1)].join("/"), depth + 1);
      }
      done = here;
    }
    return done === "" ? "/" : done;
  };

  const kindOf = (path: string): FileKind | null => {
    const entry = map.get(path);
    if (entry === undefined) return isDirectory(path) ? "directory" : null;
    if (typeof entry === "string" || entry instanceof Uint8Array) return "file";
    if ("link" in entry) return "link";
    return "device" in entry ? (entry.kind ?? "block") : "directory";
  };

  /** Resolves all but the last component, as lstat does. */
  const resolveParent = (path: string) => {
    const cut = path.lastIndexOf("/");
    const parent = resolve(path.slice(0, cut));
    return `${parent === "/" ? "" : parent}${path.slice(cut)}`;
  };

  const bytesOf = (path: string, limit = 1024 * 1024): Uint8Array => {
    const entry = map.get(resolve(path));
    if (entry === undefined)
      throw new FileError("reading", path, isDirectory(resolve(path)) ? "EISDIR" : "ENOENT");
    if (typeof entry !== "string" && !(entry instanceof Uint8Array))
      throw new FileError("reading", path, "EISDIR");
    const bytes = typeof entry === "string" ? new TextEncoder().encode(entry) : entry;
    if (bytes.length > limit) throw new FileError(`reading more than ${limit} bytes of`, path, "TOOBIG");
    return bytes;
  };

  const unsupported = (action: string, path: string) => new FileError(action, path, "ENOTSUP");

  return {
    readText: async (path, limit) => new TextDecoder().decode(bytesOf(path, limit)),
    readBytes: async (path, limit) => bytesOf(path, limit),
    readAttribute: async (path) => {
      try {
        return new TextDecoder().decode(bytesOf(path)).trim();
      } catch {
        return null; // as on the real machine: an unreadable attribute is null
      }
    },
    write: async (path, content) => {
      map.set(resolve(path), content);
    },
    place: async (path, content) => {
      const parts: Uint8Array[] = [];
      for await (const chunk of content instanceof Uint8Array ? [content] : content) parts.push(chunk);
      map.set(resolve(path), Buffer.concat(parts));
    },
    changeMode: async () => {},
    writeInPlace: async (path, content) => {
      if (!map.has(resolve(path))) throw new FileError("writing", path, "ENOENT");
      map.set(resolve(path), content);
    },
    list: async (path) => {
      const directory = resolve(path);
      const below = directory === "/" ? "/" : `${directory}/`;
      const names = [...map.keys()]
        .filter((known) => known.startsWith(below))
        .map((known) => known.slice(below.length).split("/")[0] ?? "");
      return [...new Set(names)].sort();
    },
    kind: async (path) => kindOf(resolveParent(path)),
    targetKind: async (path) => kindOf(resolve(path)),
    realPath: async (path) => {
      const real = resolve(path);
      if (kindOf(real) === null) throw new FileError("resolving", path, "ENOENT");
      return real;
    },
    readLink: async (path) => {
      const entry = map.get(resolveParent(path));
      return typeof entry === "object" && "link" in entry ? entry.link : null;
    },
    deviceNumber: async (path) => {
      const entry = map.get(resolve(path));
      return typeof entry === "object" && "device" in entry ? entry.device : null;
    },
    makeDirectory: async (path) => {
      if (kindOf(resolve(path)) === null) map.set(resolve(path), { directory: true });
    },
    removeDirectory: async (path) => {
      const directory = resolve(path);
      if (kindOf(directory) !== "directory") throw new FileError("removing directory", path, "ENOENT");
      if ([...map.keys()].some((known) => known.startsWith(`${directory}/`)))
        throw new FileError("removing directory", path, "ENOTEMPTY");
      map.delete(directory);
    },
    link: async (path, target) => {
      map.set(resolveParent(path), { link: target });
    },
    remove: async (path) => {
      map.delete(resolveParent(path));
    },
    temporaryDirectory: async (prefix) => {
      const path = `/tmp/${prefix}recorded`;
      return {
        path,
        [Symbol.asyncDispose]: async () => {
          for (const known of map.keys()) if (known.startsWith(`${path}/`)) map.delete(known);
        },
      };
    },
    temporaryMountPoint: async (prefix) => ({
      path: `/tmp/${prefix}recorded`,
      [Symbol.asyncDispose]: async () => {},
    }),
    freeSpace: async () => Number.MAX_SAFE_INTEGER,
    create: async (path) => {
      throw unsupported("creating", path);
    },
    open: async (path) => {
      const bytes = bytesOf(path, Number.MAX_SAFE_INTEGER);
      return {
        size: bytes.length,
        read: async (buffer, offset) => {
          const part = bytes.subarray(offset, offset + buffer.length);
          buffer.set(part);
          return part.length;
        },
        [Symbol.asyncDispose]: async () => {},
      };
    },
  };
}
