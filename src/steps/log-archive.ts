// A tar.gz of logs, made as a stream: each member is compressed as it comes, secrets are taken out of text on the way, and what
// does not fit is cut or left out and said so in a member of its own. However large a machine's logs are, the archive and
// what it takes to make it are not.

import { createTarPacker } from "modern-tar";
import { redactText } from "../system/redact.ts";
import type { System } from "../system/system.ts";

const MEBIBYTE = 1024 * 1024;
export type ArchiveLimits = {
  /** Bytes of one member; of a longer one the end is kept, where the failure is. */
  readonly member: number;
  /** Bytes of all members together. */
  readonly total: number;
  /**
   * Bytes of the archive from which on members are left out: the conductor reads the result with every heartbeat. The member under
   * way and what the tar stream holds back (8 MiB) may come on top.
   */
  readonly archive: number;
};

export const ARCHIVE_LIMITS: ArchiveLimits = {
  member: 8 * MEBIBYTE,
  total: 64 * MEBIBYTE,
  archive: 8 * MEBIBYTE,
};

/** Characters masked in one go: about 10 ms, so that heartbeats and requests get their turn in between. */
const MASKED_AT_ONCE = MEBIBYTE;
/** Bytes given to the tar stream at a time: it holds writers back only between two pieces. */
const PIECE = 64 * 1024;
/** Bytes at the start by which text is told from binary files. */
const SNIFFED = 8192;

const NOTES = "collection-notes";

export class LogArchive {
  readonly #system: System;
  readonly #limits: ArchiveLimits;
  readonly #tar = createTarPacker();
  readonly #compressed: Uint8Array[] = [];
  readonly #packed: Promise<void>;
  readonly #names = new Set<string>();
  readonly #notes: string[] = [];
  #total = 0;
  #archiveSize = 0;

  constructor(system: System, limits = ARCHIVE_LIMITS) {
    this.#system = system;
    this.#limits = limits;
    this.#packed = this.#collect();
  }

  /** Adds text with its secrets masked; a second member of a name is ignored. */
  async addText(name: string, text: string): Promise<void> {
    const { member } = this.#limits;
    if (text.length <= member) return this.#add(name, await this.#masked(text));
    this.#noteCut(name, text.length);
    return this.#add(name, await this.#masked(wholeLines(text.slice(-member))));
  }

  /** Adds a regular file as far as it is there: text with its secrets masked, anything else as it is. */
  async addFile(name: string, path: string): Promise<void> {
    const { content, cut } = await this.#readEnd(name, path);
    if (content.subarray(0, SNIFFED).includes(0)) return this.#add(name, [content]);
    const text = new TextDecoder().decode(content);
    return this.#add(name, await this.#masked(cut ? wholeLines(text) : text));
  }

  /** Something the reader of the archive should know: what is missing, and why. */
  note(text: string): void {
    this.#notes.push(text);
  }

  async finish(): Promise<Uint8Array> {
    if (this.#notes.length > 0) await this.#write(NOTES, await this.#masked(`${this.#notes.join("\n")}\n`));
    this.#tar.controller.finalize();
    await this.#packed;
    return Buffer.concat(this.#compressed);
  }

  async #collect(): Promise<void> {
    for await (const chunk of this.#tar.readable.pipeThrough(new CompressionStream("gzip"))) {
      this.#compressed.push(chunk);
      this.#archiveSize += chunk.length;
    }
  }

  async #add(name: string, parts: readonly Uint8Array[]): Promise<void> {
    if (this.#names.has(name)) return;
    const size = sizeOf(parts);
    if (this.#total + size > this.#limits.total || this.#archiveSize > this.#limits.archive) {
      this.note(`${name}: left out (${size} bytes), because the archive is full`);
      return;
    }
    this.#names.add(name);
    this.#total += size;
    await this.#write(name, parts);
  }

  async #write(name: string, parts: readonly Uint8Array[]): Promise<void> {
    const header = { name, size: sizeOf(parts), type: "file", mode: 0o644, uid: 0, gid: 0 } as const;
    const mtime = new Date(this.#system.clock.now() * 1000);
    const writer = this.#tar.controller.add({ ...header, mtime }).getWriter();
    for (const part of parts)
      for (let at = 0; at < part.length; at += PIECE) await writer.write(part.subarray(at, at + PIECE));
    await writer.close();
  }

  /** Cut at line ends, because a secret does not go over one. */
  async #masked(text: string): Promise<Uint8Array[]> {
    const encoder = new TextEncoder();
    const parts: Uint8Array[] = [];
    for (let start = 0; start < text.length; ) {
      const lineEnd = text.indexOf("\n", start + MASKED_AT_ONCE);
      const end = lineEnd < 0 ? text.length : lineEnd + 1;
      parts.push(encoder.encode(redactText(text.slice(start, end))));
      start = end;
      if (start < text.length) await this.#system.clock.sleep(0);
    }
    return parts;
  }

  async #readEnd(name: string, path: string): Promise<{ content: Uint8Array; cut: boolean }> {
    await using file = await this.#system.files.open(path);
    const size = Math.min(file.size, this.#limits.member);
    const cut = size < file.size;
    if (cut) this.#noteCut(name, file.size);
    const buffer = new Uint8Array(size);
    return { content: buffer.subarray(0, await file.read(buffer, file.size - size)), cut };
  }

  #noteCut(name: string, size: number): void {
    this.note(`${name}: only the last ${this.#limits.member} of ${size} bytes`);
  }
}

/**
 * The text from its first whole line on. Of the line it was cut in only the end is there, which may be a secret without the name that
 * gives it away.
 */
export function wholeLines(cutText: string): string {
  return cutText.slice(cutText.indexOf("\n") + 1);
}

function sizeOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((size, part) => size + part.length, 0);
}
