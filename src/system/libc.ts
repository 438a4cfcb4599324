// The C library by FFI: the few calls for which the runtime has no function of its own. All FFI of the agent
// is here. glibc's names and Linux's numbers, which are the same on x86-64 and arm64.

import { dlopen, FFIType, ptr as pointerTo, read } from "bun:ffi";

const { i32, i64_fast: i64, u32, u64_fast: u64, ptr } = FFIType;

const SYMBOLS = {
  socket: { args: [i32, i32, i32], returns: i32 },
  bind: { args: [i32, ptr, u32], returns: i32 },
  setsockopt: { args: [i32, i32, i32, ptr, u32], returns: i32 },
  poll: { args: [ptr, u64, i32], returns: i32 },
  recv: { args: [i32, ptr, u64, i32], returns: i64 },
  send: { args: [i32, ptr, u64, i32], returns: i64 },
  sendto: { args: [i32, ptr, u64, i32, ptr, u32], returns: i64 },
  ioctl: { args: [i32, u64, ptr], returns: i32 },
  close: { args: [i32], returns: i32 },
  prctl: { args: [i32, u64, u64, u64, u64], returns: i32 },
  signal: { args: [i32, u64], returns: u64 },
  execve: { args: [ptr, ptr, ptr], returns: i32 },
  fallocate: { args: [i32, i32, i64, i64], returns: i32 },
  llistxattr: { args: [ptr, ptr, u64], returns: i64 },
  lgetxattr: { args: [ptr, ptr, ptr, u64], returns: i64 },
  fsetxattr: { args: [i32, ptr, ptr, u64, i32], returns: i32 },
  if_nametoindex: { args: [ptr], returns: u32 },
  strerror: { args: [i32], returns: FFIType.cstring },
  __errno_location: { args: [], returns: ptr },
} as const;

export type LibC = ReturnType<typeof openLibC>;

/** Each user opens its own: the dynamic linker counts them and keeps one copy. */
export function openLibC() {
  const { symbols, close } = dlopen("libc.so.6", SYMBOLS);
  return {
    ...symbols,
    /** Why the last call failed, in words; to be asked before anything else is called. */
    lastError(): string {
      const location = symbols.__errno_location();
      return location === null ? "unknown error" : String(symbols.strerror(read.i32(location, 0)));
    },
    [Symbol.dispose]: close,
  };
}

/** Room for a C structure: the bytes to hand over, and a view to set and read its members. */
export function structure(size: number): { readonly bytes: Uint8Array; readonly members: DataView } {
  const bytes = new Uint8Array(size);
  return { bytes, members: new DataView(bytes.buffer) };
}

/**
 * Where a buffer lies, for structures that point at it; it must be kept in use until the call has returned.
 */
export function addressOf(buffer: Uint8Array): bigint {
  return BigInt(pointerTo(buffer));
}

/** A C string. */
export function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}
