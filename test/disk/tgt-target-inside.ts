// The inner half of tgt-target.test.ts: runs in a network namespace of its own, where tgtd may listen. Arguments: a disk, an image as
// large as the disk. Prints what the test looks at, as JSON.

import { createTgtTarget, removeTgtTarget } from "../../src/disk/tgt-target.ts";
import { errorText } from "../../src/errors.ts";
import { createSystem } from "../../src/system/real.ts";
import { tool } from "../support/loop-device.ts";

const [disk = "", image = ""] = process.argv.slice(2);
const IQN = "iqn.2008-10.org.openstack:11111111-2222-3333-4444-555555555555";
const { signal } = new AbortController();
const system = createSystem({ name: "test", debug: false, json: false, file: "/dev/null", stream: "stderr" });

const tgtadm = (...words: string[]) => tool("tgtadm", "-C", "6401", "--lld", "iscsi", "--mode", ...words);
const create = (iqn: string, port: number) => createTgtTarget(system, { iqn, disk, port }, signal);
const write = (port: number) =>
  tool("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, `iscsi://127.0.0.1:${port}/${IQN}/1`);

await tool("ip", "link", "set", "lo", "up");
const first = await create(IQN, 3260);
await write(3260);
// Without taking it back first, as an agent does that was started again; and on another port as well.
const second = await create(IQN, 3261);
await write(3261);
await tgtadm("target", "--op", "new", "--tid", "7", "--targetname", `${IQN}-of-others`);
const taken = await create(`${IQN}-of-others`, 3261).catch(errorText);
const before = await tgtadm("target", "--op", "show");
await removeTgtTarget(system, second);
const after = await tgtadm("target", "--op", "show");
await removeTgtTarget(system, 7);
const daemon = await tgtadm("target", "--op", "show").catch(() => "gone");

process.stdout.write(JSON.stringify({ first, second, taken, before, after, daemon }));
