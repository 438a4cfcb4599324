// Becomes another program whose system calls are filtered, for good: for programs that need a capability (CAP_SYS_ADMIN) for one thing and
// must not have the many others that come with it. Mounting, unmounting, other namespaces, BPF, tracing, keys and changing the
// tables of device mapper fail with EPERM; asking device mapper and file systems about themselves goes on working. util-linux has such
// filters from 2.40 on only, so the executable does it itself, in a process of its own.

import { addressOf, cString, openLibC, structure } from "./libc.ts";

/** Numbers of the calls that are refused: x86-64, arm64. */
const REFUSED: Readonly<Record<string, readonly [number, number]>> = {
  mount: [165, 40],
  umount2: [166, 39],
  pivot_root: [155, 41],
  open_tree: [428, 428],
  move_mount: [429, 429],
  fsopen: [430, 430],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fspick: [433, 433],
  mount_setattr: [442, 442],
  setns: [308, 268],
  unshare: [272, 97],
  bpf: [321, 280],
  perf_event_open: [298, 241],
  ptrace: [101, 117],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  pidfd_getfd: [438, 438],
  open_by_handle_at: [304, 265],
  add_key: [248, 217],
  request_key: [249, 218],
  keyctl: [250, 219],
  swapon: [167, 224],
  swapoff: [168, 225],
  quotactl: [179, 60],
  sethostname: [170, 161],
  setdomainname: [171, 162],
  fanotify_init: [300, 262],
  userfaultfd: [323, 282],
  io_uring_setup: [425, 425],
  syslog: [103, 116],
  acct: [163, 89],
};
const ARCHITECTURES = {
  x64: { audit: 0xc000003e, column: 0, clone: 56, ioctl: 16 },
  arm64: { audit: 0xc00000b7, column: 1, clone: 220, ioctl: 29 },
} as const;
/** The same number everywhere. Its flags are in memory, where no filter looks: the C library does without it. */
const CLONE3 = 435;
/** CLONE_NEWNS and its kin. */
const NEW_NAMESPACES = 0x7e020000;
/** Calls of x86's 32-bit-pointer interface have this bit. */
const X32 = 0x40000000;
/** Orders to device mapper that change something: type 0xfd, and their numbers. */
const DEVICE_MAPPER_CHANGES = [1, 3, 4, 5, 6, 8, 9, 10, 14, 15, 16].map((number) => 0xfd00 | number);

const EPERM = 1;
const ENOSYS = 38;
const SIG_DFL = 0n;
const SIGPIPE = 13;
const SIGXFSZ = 25;
const PR_SET_SECCOMP = 22;
const PR_SET_NO_NEW_PRIVS = 38;
const SECCOMP_MODE_FILTER = 2;
const SECCOMP_RET_ALLOW = 0x7fff0000;
const SECCOMP_RET_ERRNO = 0x00050000;
/** Offsets in what a filter sees of a call. */
const CALL = { number: 0, architecture: 4, argument: (index: number) => 16 + 8 * index } as const;

/** An instruction of classic BPF: code, how many to skip if true, and if not, operand. */
export type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, operand: number];

const load = (offset: number): Instruction => [0x20, 0, 0, offset];
const and = (mask: number): Instruction => [0x54, 0, 0, mask];
const giveBack = (value: number): Instruction => [0x06, 0, 0, value];
const refuse = (errno: number) => giveBack(SECCOMP_RET_ERRNO | errno);
/** Refuses if the loaded word equals `value`; goes on otherwise. */
const refuseIf = (value: number, errno = EPERM): Instruction[] => [[0x15, 0, 1, value], refuse(errno)];

/** The filter for this architecture (`x64`, `arm64`). @throws Error for any other */
export function filterProgram(architecture: string): Instruction[] {
  if (architecture !== "x64" && architecture !== "arm64")
    throw new Error(`no filter of system calls is known for ${architecture}`);
  const { audit, column, clone, ioctl } = ARCHITECTURES[architecture];
  const deviceMapper = DEVICE_MAPPER_CHANGES.flatMap((order) => refuseIf(order));
  const orders = [load(CALL.argument(1)), and(0xffff), ...deviceMapper, giveBack(SECCOMP_RET_ALLOW)];
  const namespaces: Instruction[] = [
    load(CALL.argument(0)),
    [0x45, 0, 1, NEW_NAMESPACES],
    refuse(EPERM),
    giveBack(SECCOMP_RET_ALLOW),
  ];
  return [
    // Another architecture numbers its calls otherwise.
    load(CALL.architecture),
    [0x15, 1, 0, audit],
    refuse(EPERM),
    load(CALL.number),
    ...(architecture === "x64" ? ([[0x35, 0, 1, X32], refuse(EPERM)] as const) : []),
    ...Object.values(REFUSED).flatMap((numbers) => refuseIf(numbers[column])),
    ...refuseIf(CLONE3, ENOSYS),
    [0x15, 0, namespaces.length, clone],
    ...namespaces,
    [0x15, 0, orders.length, ioctl],
    ...orders,
    giveBack(SECCOMP_RET_ALLOW),
  ];
}

/** Never returns: this process is the other program then. @throws Error if that cannot be */
export function becomeRestrained(argv: readonly string[]): never {
  const program = Bun.which(argv[0] ?? "", { PATH: process.env.PATH ?? "" });
  if (program === null) throw new Error(`${argv[0]} is not in ${process.env.PATH}`);
  const environment = Object.entries(process.env).map(([name, value]) => `${name}=${value ?? ""}`);
  using libc = openLibC();
  const filter = instructionBytes(filterProgram(process.arch));
  const { bytes, members } = structure(16);
  members.setUint16(0, filter.length / 8, true);
  members.setBigUint64(8, addressOf(filter), true);
  if (libc.prctl(PR_SET_NO_NEW_PRIVS, 1n, 0n, 0n, 0n) !== 0)
    throw new Error(`no_new_privs: ${libc.lastError()}`);
  // The runtime ignores these, and what it ignores would stay ignored: shells rely on a broken pipe's ending a program.
  for (const ignored of [SIGPIPE, SIGXFSZ]) libc.signal(ignored, SIG_DFL);
  const words = pointerList(argv);
  const variables = pointerList(environment);
  const path = cString(program);
  if (libc.prctl(PR_SET_SECCOMP, BigInt(SECCOMP_MODE_FILTER), addressOf(bytes), 0n, 0n) !== 0)
    throw new Error(`filtering system calls: ${libc.lastError()}`);
  libc.execve(path, words.list, variables.list);
  throw new Error(`running ${program}: ${libc.lastError()}`);
}

function instructionBytes(program: readonly Instruction[]): Uint8Array {
  const { bytes, members } = structure(8 * program.length);
  program.forEach(([code, ifTrue, ifFalse, operand], index) => {
    members.setUint16(8 * index, code, true);
    members.setUint8(8 * index + 2, ifTrue);
    members.setUint8(8 * index + 3, ifFalse);
    members.setUint32(8 * index + 4, operand, true);
  });
  return bytes;
}

/** A C array of strings with its end mark; `strings` keeps what it points at. */
function pointerList(texts: readonly string[]): {
  readonly list: Uint8Array;
  readonly strings: Uint8Array[];
} {
  const strings = texts.map(cString);
  const { bytes, members } = structure(8 * (strings.length + 1));
  strings.forEach((text, index) => {
    members.setBigUint64(8 * index, addressOf(text), true);
  });
  return { list: bytes, strings };
}
