// Following Ironic's iPXE script: the recorded one boots the deploy ramdisk with the parameters an agent gets, and what
// nobody expects of Ironic is refused instead of guessed.

import { expect, test } from "bun:test";
import { join } from "node:path";
import { BootScriptError, followBootScript } from "./boot-script.ts";

// Written by Ironic 21.4.4 for a node that is being deployed (boot interface ipxe).
const RECORDED = await Bun.file(join(import.meta.dir, "../fixtures/ironic/ipxe-config")).text();

test("the script of a node in deployment", () => {
  const boot = followBootScript(RECORDED, { mac: "52:54:00:1b:01:00" });
  const node = "http://192.0.2.1:8080/ceb0cab1-7532-4e64-9088-5083cc9716ff";
  expect(boot.kernel).toBe(`${node}/deploy_kernel`);
  expect(boot.initrd).toBe(`${node}/deploy_ramdisk`);
  expect(boot.cmdline.split(" ")).toEqual([
    ...["selinux=0", "troubleshoot=0", "text", "nofb", "nomodeset", "vga=normal", "console=ttyS0"],
    ...["rig.shell=1", "rig.restart_delay=5", "ipa-debug=1", "ipa-api-url=http://192.0.2.1:6385"],
    "ipa-global-request-id=req-a0ab613e-7dd5-4380-a56b-e78042741095",
    ...["BOOTIF=52:54:00:1b:01:00", "initrd=deploy_ramdisk"],
  ]);
});

test("another target of goto, a time-out for downloads, and a variable of its own", () => {
  const script = `#!ipxe
set server:string http://there
goto boot_ramdisk
:deploy
kernel http://wrong/kernel
:boot_ramdisk
kernel --timeout 60000 \${server}/kernel root=/dev/ram0 text || goto boot_ramdisk
initrd --timeout 60000 \${server}/ramdisk || goto boot_ramdisk
boot
`;
  expect(followBootScript(script, {})).toEqual({
    kernel: "http://there/kernel",
    initrd: "http://there/ramdisk",
    cmdline: "root=/dev/ram0 text",
  });
});

test.each([
  ["no script", "<html>", "no iPXE script"],
  ["an unknown command", "#!ipxe\nsanboot --no-describe\n", "sanboot"],
  ["a label that is not there", "#!ipxe\ngoto nowhere\n", "nowhere"],
  ["boot without a kernel", "#!ipxe\nimgfree\nboot\n", "before a kernel"],
  ["no boot at all", "#!ipxe\nset i:int32 0\n", "without booting"],
])("%s is refused", (_, script, reason) => {
  expect(() => followBootScript(script, {})).toThrow(BootScriptError);
  expect(() => followBootScript(script, {})).toThrow(reason);
});
