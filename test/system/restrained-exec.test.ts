// The filter of system calls, decided by an interpreter of its instructions as the kernel has one; that the kernel takes it, and what a
// program under it can do, is in test/disk/image-root.test.ts.

import { describe, expect, test } from "bun:test";
import { filterProgram, type Instruction } from "../../src/system/restrained-exec.ts";

type Call = { readonly arch: number; readonly number: number; readonly arguments?: readonly number[] };

const ALLOWED = 0x7fff0000;
const EPERM = 0x00050001;
const ENOSYS = 0x00050026;
const X64 = 0xc000003e;
const ARM64 = 0xc00000b7;

function decide(program: readonly Instruction[], call: Call): number {
  const word = (offset: number) => {
    if (offset === 0) return call.number;
    if (offset === 4) return call.arch;
    return (call.arguments ?? [])[(offset - 16) / 8] ?? 0;
  };
  let accumulator = 0;
  for (let at = 0; ; ) {
    const [code, ifTrue, ifFalse, operand] = program[at] ?? [0, 0, 0, 0];
    at += 1;
    const jump = (taken: boolean) => {
      at += taken ? ifTrue : ifFalse;
    };
    if (code === 0x20) accumulator = word(operand);
    else if (code === 0x54) accumulator = (accumulator & operand) >>> 0;
    else if (code === 0x15) jump(accumulator === operand);
    else if (code === 0x35) jump(accumulator >= operand);
    else if (code === 0x45) jump((accumulator & operand) !== 0);
    else if (code === 0x06) return operand;
    else throw new Error(`instruction ${at - 1}: no such code ${code}`);
  }
}

describe.each([
  ["x64", X64, { read: 0, openat: 257, execve: 59, mount: 165, clone: 56, ioctl: 16, chroot: 161 }],
  ["arm64", ARM64, { read: 63, openat: 56, execve: 221, mount: 40, clone: 220, ioctl: 29, chroot: 51 }],
])("on %s", (name, arch, numbers) => {
  const program = filterProgram(name);
  const call = (number: number, ...words: number[]) => decide(program, { arch, number, arguments: words });

  test("ordinary calls pass, those that change what others see do not", () => {
    for (const ordinary of [numbers.read, numbers.openat, numbers.execve, numbers.chroot])
      expect(call(ordinary)).toBe(ALLOWED);
    expect(call(numbers.mount)).toBe(EPERM);
    // move_mount and its kin have one number everywhere.
    for (const number of [428, 429, 430, 431, 432, 433, 438, 442]) expect(call(number)).toBe(EPERM);
    expect(call(435)).toBe(ENOSYS);
  });

  test("a process and a thread may be made, a namespace not", () => {
    expect(call(numbers.clone, 17)).toBe(ALLOWED);
    expect(call(numbers.clone, 0x3d0f00)).toBe(ALLOWED);
    for (const flag of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000])
      expect(call(numbers.clone, 17 | flag)).toBe(EPERM);
  });

  test("device mapper may be asked, not changed", () => {
    const order = (number: number) => call(numbers.ioctl, 3, 0xc138fd00 | number);
    for (const question of [0, 2, 7, 11, 12, 13]) expect(order(question)).toBe(ALLOWED);
    for (const change of [1, 3, 4, 5, 6, 8, 9, 10, 14, 15, 16]) expect(order(change)).toBe(EPERM);
    // The size of a device, and a device mapper's number with another type.
    expect(call(numbers.ioctl, 3, 0x80081272)).toBe(ALLOWED);
    expect(call(numbers.ioctl, 3, 0xc1381203)).toBe(ALLOWED);
  });

  test("calls of another architecture or numbering do not pass at all", () => {
    expect(decide(program, { arch: 0x40000003, number: numbers.read })).toBe(EPERM);
    if (name === "x64") expect(call(0x40000000 | numbers.mount)).toBe(EPERM);
  });
});

test("an architecture without a filter is said", () => {
  expect(() => filterProgram("riscv64")).toThrow("no filter of system calls is known for riscv64");
});
