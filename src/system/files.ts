// Files, directories and links, including the kernel's (/sys, /proc), which report a size of 0 and are read to
// their end. Reads are bounded: nothing whose size others choose is taken whole.

import { randomBytes } from "node:crypto";
import { constants, type Stats } from "node:fs";
import fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { errnoText } from "./errno.ts";
import { copyExtendedAttributes } from "./extended-attributes.ts";

export type FileKind = "file" | "directory" | "link" | "block" | "character" | "other";

export interface Files {
  /** Whole text of a file, at most `limit` bytes (default 1 MiB). @throws FileError when missing, unreadable or longer. */
  readText(path: string, limit?: number): Promise<string>;
  readBytes(path: string, limit?: number): Promise<Uint8Array>;
  /** Trimmed text, or null if the file cannot be read: the usual way with sysfs attributes. */
  readAttribute(path: string): Promise<string | null>;
  /** Replaces a file atomically (written beside it, flushed, renamed). `mode` as in chmod, default 0o644. */
  write(path: string, content: string | Uint8Array, mode?: number): Promise<void>;
  /**
   * Puts a file in its place when all of `content` is on the disk, and not before; what is not given of `as` stays as it was, SELinux's
   * label too, or becomes mode 0o644 of the agent's own user. A link is replaced, not followed.
   */
  place(path: string, content: Uint8Array | AsyncIterable<Uint8Array>, as: FileAttributes): Promise<void>;
  changeMode(path: string, mode: number): Promise<void>;
  /** Writes into an existing file in place (sysfs, procfs, sysrq). */
  writeInPlace(path: string, content: string): Promise<void>;
  /** Names in a directory, sorted; [] if it does not exist. */
  list(path: string): Promise<string[]>;
  /** What a path is, links not followed; null if there is nothing. */
  kind(path: string): Promise<FileKind | null>;
  /** Like kind, but what the link points at. */
  targetKind(path: string): Promise<FileKind | null>;
  /** Absolute path with all links resolved. @throws FileError */
  realPath(path: string): Promise<string>;
  /** The raw text of a symbolic link; null if it is none. */
  readLink(path: string): Promise<string | null>;
  /** Major and minor number of a device node; null if it is none. */
  deviceNumber(path: string): Promise<{ major: number; minor: number } | null>;
  makeDirectory(path: string, mode?: number): Promise<void>;
  /** Removes an empty directory. @throws FileError also when it is not there. */
  removeDirectory(path: string): Promise<void>;
  /** Makes a symbolic link at `path` that says `target`. */
  link(path: string, target: string): Promise<void>;
  /** Removes a file or a link; a missing one is fine. */
  remove(path: string): Promise<void>;
  /** A new private directory (0700) that disposes of itself, content included. */
  temporaryDirectory(prefix: string): Promise<TemporaryDirectory>;
  /** The same for a mount point: disposal removes the directory alone, so it can never delete what is mounted there. */
  temporaryMountPoint(prefix: string): Promise<TemporaryDirectory>;
  /** Free bytes of the file system that holds `path`. */
  freeSpace(path: string): Promise<number>;
  /** Opens a file to be filled from the start (mode 0600). */
  create(path: string): Promise<FileSink>;
  /** Opens a file for positioned reads. */
  open(path: string): Promise<FileSource>;
}

/** Mode as in chmod, numeric user and group. */
export type FileAttributes = {
  readonly mode: number | null;
  readonly owner: number | null;
  readonly group: number | null;
};

export interface TemporaryDirectory extends AsyncDisposable {
  readonly path: string;
}

export interface FileSink extends AsyncDisposable {
  /** Writes all of `bytes` at `offset`. */
  write(bytes: Uint8Array, offset: number): Promise<void>;
  flush(): Promise<void>;
}

export interface FileSource extends AsyncDisposable {
  readonly size: number;
  /** Fills `buffer` from `offset`; returns the bytes read, fewer only at the end of the file. */
  read(buffer: Uint8Array, offset: number): Promise<number>;
}

/** A file operation failed; `code` is the errno name (ENOENT, ENOSPC …) or TOOBIG for a read limit. */
export class FileError extends Error {
  readonly code: string;

  constructor(action: string, path: string, code: string) {
    super(`${action} ${path}: ${code === "TOOBIG" ? "it is too large" : errnoText(code)}`);
    this.code = code;
  }
}

const DEFAULT_READ_LIMIT = 1024 * 1024;

/** The files of the machine the agent runs on. */
export const realFiles: Files = {
  async readText(path, limit) {
    return Buffer.from(await realFiles.readBytes(path, limit)).toString("utf8");
  },

  readBytes(path, limit = DEFAULT_READ_LIMIT) {
    return named("reading", path, async () => {
      const handle = await fs.open(path, "r");
      try {
        return await readToEnd(handle, path, limit);
      } finally {
        await handle.close();
      }
    });
  },

  async readAttribute(path) {
    try {
      return (await realFiles.readText(path)).trim();
    } catch {
      // Absent or unreadable attributes are ordinary in sysfs (EINVAL on a link that is down): null says so.
      return null;
    }
  },

  write(path, content, mode = 0o644) {
    return named("writing", path, async () => {
      const temporary = `${path}.${randomBytes(6).toString("hex")}.new`;
      try {
        const handle = await fs.open(temporary, "wx", mode);
        try {
          await handle.writeFile(content);
          await handle.sync();
        } finally {
          await handle.close();
        }
        await fs.rename(temporary, path);
      } catch (error) {
        await fs.rm(temporary, { force: true });
        throw error;
      }
    });
  },

  async place(path, content, as) {
    const writing = <T>(work: () => Promise<T>) => named("writing", path, work);
    // Mostly there is none; whatever else is wrong with the place, the writing will say.
    const found = await fs.lstat(path).catch(() => null);
    // Of a link there is nothing to be kept: its mode is 0777 and means nothing.
    const old = found?.isFile() === true ? found : null;
    const temporary = `${path}.${randomBytes(6).toString("hex")}.new`;
    try {
      const handle = await writing(() => fs.open(temporary, "wx", 0o600));
      try {
        // What the chunks throw is not this file's fault, and passes as it is.
        const chunks = content instanceof Uint8Array ? [content] : content;
        for await (const chunk of chunks) await writing(() => handle.writeFile(chunk));
        await writing(async () => {
          const lost = old === null ? null : copyExtendedAttributes(path, handle.fd);
          if (lost !== null) throw new FileError(`keeping the attribute ${lost} of`, path, "EIO");
          await handle.chown(as.owner ?? old?.uid ?? -1, as.group ?? old?.gid ?? -1);
          // After the owner: changing that takes set-user-id bits away.
          await handle.chmod(as.mode ?? (old === null ? 0o644 : old.mode & 0o7777));
          await handle.sync();
        });
      } finally {
        await handle.close();
      }
      await writing(() => fs.rename(temporary, path));
    } catch (error) {
      await fs.rm(temporary, { force: true });
      throw error;
    }
  },

  changeMode: (path, mode) => named("changing the mode of", path, () => fs.chmod(path, mode)),

  writeInPlace(path, content) {
    return named("writing", path, async () => {
      const handle = await fs.open(path, constants.O_WRONLY);
      try {
        await handle.write(content);
      } finally {
        await handle.close();
      }
    });
  },

  async list(path) {
    try {
      return (await fs.readdir(path)).sort();
    } catch (error) {
      if (errnoName(error) === "ENOENT") return [];
      throw new FileError("listing", path, errnoName(error));
    }
  },

  kind: (path) => kindBy(() => fs.lstat(path)),
  targetKind: (path) => kindBy(() => fs.stat(path)),
  realPath: (path) => named("resolving", path, () => fs.realpath(path)),

  async readLink(path) {
    try {
      return await fs.readlink(path);
    } catch {
      // EINVAL (no link) and ENOENT mean the same to callers: there is no link text.
      return null;
    }
  },

  async deviceNumber(path) {
    const stat = await fs.stat(path).catch(() => null); // a missing node is an answer, not a fault
    if (stat === null || !(stat.isBlockDevice() || stat.isCharacterDevice())) return null;
    return splitDeviceNumber(stat.rdev);
  },

  async makeDirectory(path, mode = 0o755) {
    await named("making directory", path, () => fs.mkdir(path, { recursive: true, mode }));
  },

  removeDirectory: (path) => named("removing directory", path, () => fs.rmdir(path)),
  link: (path, target) => named("linking", path, () => fs.symlink(target, path)),
  remove: (path) => named("removing", path, () => fs.rm(path, { force: true })),

  async temporaryDirectory(prefix) {
    const path = await privateDirectory(prefix);
    return { path, [Symbol.asyncDispose]: () => fs.rm(path, { recursive: true, force: true }) };
  },

  async temporaryMountPoint(prefix) {
    const path = await privateDirectory(prefix);
    return { path, [Symbol.asyncDispose]: () => named("removing", path, () => fs.rmdir(path)) };
  },

  async freeSpace(path) {
    const { bavail, bsize } = await named("asking the free space of", path, () => fs.statfs(path));
    return bavail * bsize;
  },

  async create(path) {
    const handle = await named("creating", path, () => fs.open(path, "w", 0o600));
    return {
      write: (bytes, offset) => named("writing", path, () => writeFully(handle, bytes, offset)),
      flush: () => named("flushing", path, () => handle.datasync()),
      [Symbol.asyncDispose]: () => handle.close(),
    };
  },

  async open(path) {
    const handle = await named("opening", path, () => fs.open(path, "r"));
    const { size } = await handle.stat();
    return {
      size,
      read: (buffer, offset) => named("reading", path, () => readFully(handle, buffer, offset)),
      [Symbol.asyncDispose]: () => handle.close(),
    };
  },
};

/** The errno name of a system error (ENOENT …), or UNKNOWN. */
export function errnoName(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "UNKNOWN";
}

/** Reads until `buffer` is full or the file ends; a single read may return less than asked for. */
export async function readFully(handle: fs.FileHandle, buffer: Uint8Array, offset: number): Promise<number> {
  let done = 0;
  while (done < buffer.length) {
    const { bytesRead } = await handle.read(buffer, done, buffer.length - done, offset + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

/** Writes until all is written; a single write may take less than offered. */
export async function writeFully(handle: fs.FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, offset + done);
    done += bytesWritten;
  }
}

/** Linux's split of a 64-bit device number. */
export function splitDeviceNumber(device: number): { major: number; minor: number } {
  const bits = BigInt(device);
  return {
    major: Number(((bits >> 8n) & 0xfffn) | ((bits >> 32n) & 0xfffff000n)),
    minor: Number((bits & 0xffn) | ((bits >> 12n) & 0xffffff00n)),
  };
}

function privateDirectory(prefix: string): Promise<string> {
  return named("making a directory below", tmpdir(), () => fs.mkdtemp(`${tmpdir()}/${prefix}`));
}

async function named<T>(action: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof FileError) throw error;
    throw new FileError(action, path, errnoName(error));
  }
}

/** The kernel's files report size 0, so the end is found by reading. */
async function readToEnd(handle: fs.FileHandle, path: string, limit: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const chunk = new Uint8Array(Math.min(65_536, limit + 1 - size));
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, null);
    if (bytesRead === 0) return Buffer.concat(chunks);
    size += bytesRead;
    if (size > limit) throw new FileError(`reading more than ${limit} bytes of`, path, "TOOBIG");
    chunks.push(chunk.subarray(0, bytesRead));
  }
}

async function kindBy(ask: () => Promise<Stats>): Promise<FileKind | null> {
  const stat = await ask().catch(() => null); // nothing there (or a dead link) is the answer null
  if (stat === null) return null;
  if (stat.isFile()) return "file";
  if (stat.isDirectory()) return "directory";
  if (stat.isSymbolicLink()) return "link";
  if (stat.isBlockDevice()) return "block";
  return stat.isCharacterDevice() ? "character" : "other";
}
