// Runs inside a network namespace for raw-socket.test.ts and ethtool.test.ts: makes virtual cables, sends frames into one end and prints what a
// capture at the other ends got.

import { realClock } from "../../src/system/clock.ts";
import { realSupportedLinkModes } from "../../src/system/ethtool.ts";
import { cString, openLibC, structure } from "../../src/system/libc.ts";
import { createCaptureFrames, FrameCaptureError } from "../../src/system/raw-socket.ts";
import { tool } from "../support/loop-device.ts";

const LLDP = 0x88cc;
const captureFrames = createCaptureFrames(realClock);

/** A cable from `near` to `far`, both ends up. */
async function cable(near: string, far: string): Promise<void> {
  await tool("ip", "link", "add", near, "type", "veth", "peer", "name", far);
  for (const end of [near, far]) await tool("ip", "link", "set", end, "up");
}

/** To the group address of LLDP, which no program here has joined. */
function frame(etherType: number, payload: string): Uint8Array {
  return Uint8Array.fromHex(`0180c200000e020000000001${etherType.toString(16).padStart(4, "0")}${payload}`);
}

function send(name: string, bytes: Uint8Array): void {
  using libc = openLibC();
  const socket = libc.socket(17, 3, 0);
  const address = structure(20);
  address.members.setUint16(0, 17, true);
  address.members.setInt32(4, libc.if_nametoindex(cString(name)), true);
  if (libc.bind(socket, address.bytes, 20) < 0) throw new Error(libc.lastError());
  if (Number(libc.send(socket, bytes, bytes.length, 0)) < 0) throw new Error(libc.lastError());
  libc.close(socket);
}

async function promiscuity(name: string): Promise<number> {
  const [link] = JSON.parse(await tool("ip", "-d", "-j", "link", "show", "dev", name));
  return link.promiscuity;
}

const SCENARIOS: Readonly<Record<string, () => Promise<unknown>>> = {
  /** Two cables speak, one twice, one with another protocol before; a third is silent. */
  async several() {
    for (const number of [0, 1, 2]) await cable(`card${number}`, `switch${number}`);
    using capture = captureFrames(["card0", "card1", "card2"], LLDP);
    const during = await promiscuity("card0");
    send("switch0", frame(0x0800, "ffff"));
    send("switch0", frame(LLDP, "0207046c6f67"));
    send("switch0", frame(LLDP, "0202ffff"));
    send("switch1", frame(LLDP, "00".repeat(1500)));
    const received: string[] = [];
    for (;;) {
      const ready = await capture.next(0.3);
      if (ready.length === 0) break;
      for (const got of ready) received.push("frame" in got ? `${got.name} ${got.frame.toHex()}` : got.error);
    }
    return { during, received: received.sort(), waiting: capture.waiting };
  },

  async lateFrame() {
    await cable("card0", "switch0");
    using capture = captureFrames(["card0"], LLDP);
    const waiting = capture.next(30);
    await Bun.sleep(120);
    send("switch0", frame(LLDP, "0000"));
    return (await waiting).length;
  },

  async disposal() {
    await cable("card0", "switch0");
    captureFrames(["card0"], LLDP)[Symbol.dispose]();
    return { after: await promiscuity("card0") };
  },

  /** The kernel tells so as soon as somebody wants to read. */
  async linkDown() {
    await cable("card0", "switch0");
    await tool("ip", "link", "set", "card0", "down");
    using capture = captureFrames(["card0"], LLDP);
    return capture.next(5);
  },

  async missing() {
    await cable("card0", "switch0");
    let message = "";
    try {
      captureFrames(["card0", "nosuch"], LLDP);
    } catch (error) {
      if (error instanceof FrameCaptureError) message = error.message;
    }
    return { message, left: await promiscuity("card0") };
  },

  async linkModes() {
    await cable("card0", "switch0");
    return realSupportedLinkModes("card0");
  },

  async aborted() {
    await cable("card0", "switch0");
    using capture = captureFrames(["card0"], LLDP);
    const abort = new AbortController();
    const waiting = capture.next(30, abort.signal).catch((error: Error) => error.message);
    abort.abort(new Error("told to stop"));
    return waiting;
  },
};

console.log(JSON.stringify(await SCENARIOS[process.argv[2] ?? ""]?.()));
process.exit(0);
