// Writes cpio archives in the "newc" format, which the Linux kernel unpacks as initial ram file system
// (Documentation/driver-api/early-userspace/buffer-format). The kernel accepts several of them one after the other,
// so a new agent is appended to a finished base instead of packing everything again.

export interface CpioEntry {
  /** Absolute path inside the archive's tree. */
  path: string;
  content: Uint8Array;
  mode: number;
}

const TYPE_DIRECTORY = 0o040000;
const TYPE_FILE = 0o100000;
/** The kernel looks for the next archive's header on a multiple of four bytes. */
const ALIGNMENT = 4;

/** An archive of regular files owned by root, with the directories that lead to them. Same input, same bytes. */
export function cpioArchive(entries: readonly CpioEntry[]): Uint8Array<ArrayBuffer>[] {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let inode = 1;
  const add = (name: string, mode: number, content: Uint8Array) => {
    parts.push(...record(name, inode++, mode, content));
  };
  const made = new Set<string>();
  for (const entry of entries) {
    if (!entry.path.startsWith("/")) throw new Error(`not an absolute path: ${entry.path}`);
    const names = entry.path.slice(1).split("/");
    for (let depth = 1; depth < names.length; depth++) {
      const directory = names.slice(0, depth).join("/");
      if (made.has(directory)) continue;
      made.add(directory);
      add(directory, TYPE_DIRECTORY | 0o755, new Uint8Array());
    }
    add(names.join("/"), TYPE_FILE | entry.mode, entry.content);
  }
  inode = 0;
  add("TRAILER!!!", 0, new Uint8Array());
  return parts;
}

function record(name: string, inode: number, mode: number, content: Uint8Array): Uint8Array<ArrayBuffer>[] {
  const nameBytes = new TextEncoder().encode(`${name}\0`);
  const links = (mode & TYPE_DIRECTORY) !== 0 ? 2 : 1;
  const fields = [inode, mode, 0, 0, links, 0, content.length, 0, 0, 0, 0, nameBytes.length, 0];
  const header = new TextEncoder().encode(
    `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`,
  );
  return [padded(header, nameBytes), padded(content)];
}

function padded(...pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const bytes = new Uint8Array(Math.ceil(length / ALIGNMENT) * ALIGNMENT);
  let offset = 0;
  for (const piece of pieces) {
    bytes.set(piece, offset);
    offset += piece.length;
  }
  return bytes;
}
