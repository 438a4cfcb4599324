import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { collectNuma } from "../../src/inspection/numa.ts";
import type { JsonObject } from "../../src/json.ts";
import { FileError } from "../../src/system/files.ts";
import { loadMachine } from "../hardware/recording/recording.ts";
import type { RecordedFile } from "../support/recorded-system.ts";
import { inspectedMachine } from "./support.ts";

const NODES = "/sys/devices/system/node";

/** Two nodes, each with two cores of two threads, numbered as Linux does: first threads, then second ones. */
function twoNodes(changes: Record<string, RecordedFile | null> = {}): Record<string, RecordedFile> {
  const files: Record<string, RecordedFile | null> = {
    [`${NODES}/online`]: "0-1\n",
    [`${NODES}/node0/cpulist`]: "0-1,4-5\n",
    "/sys/class/net/eth0/device/numa_node": "1\n",
    "/sys/class/net/eth0/ifindex": "2\n",
    "/sys/class/net/eth1/device/vendor": "0x8086\n",
    "/sys/class/net/eth1/ifindex": "3\n",
    "/sys/class/net/lo/ifindex": "1\n",
  };
  for (const node of [0, 1]) {
    const total = node === 0 ? "MemTotal:       16 GB" : "MemTotal:       1024 kB";
    files[`${NODES}/node${node}/meminfo`] = `Node ${node} ${total}\nNode ${node} MemFree: 5 kB\n`;
    for (const thread of [0, 1, 4, 5])
      files[`${NODES}/node${node}/cpu${thread + 2 * node}/topology/core_id`] = `${thread % 2}\n`;
  }
  const merged = { ...files, ...changes };
  return Object.fromEntries(
    Object.entries(merged).filter((entry): entry is [string, RecordedFile] => entry[1] !== null),
  );
}

async function topology(files: Record<string, RecordedFile>) {
  const machine = await inspectedMachine({ files });
  const data = await collectNuma(machine);
  return { data, warnings: machine.warnings() };
}

describe("numa-topology", () => {
  // hardware 13.95
  test("groups the threads of each core by node, with the memory in kB and the cards that tell their node", async () => {
    const { data } = await topology(twoNodes());
    expect(data).toEqual({
      numa_topology: {
        ram: [
          { numa_node: 0, size_kb: 16 * 1024 * 1024 },
          { numa_node: 1, size_kb: 1024 },
        ],
        cpus: [
          { thread_siblings: [0, 4], cpu: 0, numa_node: 0 },
          { thread_siblings: [1, 5], cpu: 1, numa_node: 0 },
          { thread_siblings: [2, 6], cpu: 0, numa_node: 1 },
          { thread_siblings: [3, 7], cpu: 1, numa_node: 1 },
        ],
        nics: [{ name: "eth0", numa_node: 1 }],
      },
    });
  });

  // control-plane 11.87
  test("is left out, which is no failure, when anything of it is malformed", async () => {
    const odd: Record<string, RecordedFile | null>[] = [
      { [`${NODES}/node1/meminfo`]: "Node 1 MemFree: 5 kB\n" },
      { [`${NODES}/node1/meminfo`]: "Node 1 MemTotal: 5 potatoes\n" },
      { [`${NODES}/node1/meminfo`]: null },
      { [`${NODES}/node0/cpu0/topology/core_id`]: "x\n" },
      { [`${NODES}/node0/cpu0/topology/core_id`]: null, [`${NODES}/node0/cpu0/online`]: "0\n" },
      { [`${NODES}/node0/cpufreq/boost`]: "1\n" },
      { [`${NODES}/nodes/meminfo`]: "" },
      { "/sys/class/net/eth0/device/numa_node": "\n" },
    ];
    for (const changes of odd) {
      const { data, warnings } = await topology(twoNodes(changes));
      expect(data).toEqual({});
      expect(warnings).toHaveLength(1);
    }
  });

  test("is left out, which is no failure, when a node cannot be looked into", async () => {
    const machine = await inspectedMachine({ files: twoNodes() });
    const list = machine.system.files.list.bind(machine.system.files);
    machine.system.files.list = async (path) => {
      if (path.endsWith("node1")) throw new FileError("listing", path, "EIO");
      return list(path);
    };
    expect(await collectNuma(machine)).toEqual({});
    expect(machine.warnings().join()).toContain(`the NUMA topology is left out: listing ${NODES}/node1: `);
  });

  test("is left out on a machine without nodes", async () => {
    const { data, warnings } = await topology({});
    expect([data, warnings.length]).toEqual([{}, 1]);
  });

  test("is a topology or nothing, whatever the kernel says", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string(), fc.string(), async (meminfo, core) => {
        const files = twoNodes({
          [`${NODES}/node0/meminfo`]: meminfo,
          [`${NODES}/node0/cpu0/topology/core_id`]: core,
        });
        expect(Object.keys((await topology(files)).data).length).toBeLessThan(2);
      }),
    );
  });

  // Two sockets of two cores with two threads, 1.5 and 0.5 GiB, a card on the second: see recording/machines.ts.
  test("of the recorded machine is what was configured", async () => {
    const { numa_topology } = await collectNuma(await inspectedMachine(await loadMachine("qemu-numa")));
    const { ram, cpus, nics } = numa_topology as {
      ram: JsonObject[];
      cpus: JsonObject[];
      nics: JsonObject[];
    };
    expect(cpus.map(({ thread_siblings, numa_node }) => [numa_node, thread_siblings])).toEqual([
      [0, [0, 1]],
      [0, [2, 3]],
      [1, [4, 5]],
      [1, [6, 7]],
    ]);
    // The kernel keeps some of it.
    const sizes = ram.map(({ size_kb }) => Number(size_kb) / 1024);
    expect(sizes[0]! > 1300 && sizes[0]! <= 1536).toBe(true);
    expect(sizes[1]! > 400 && sizes[1]! <= 512).toBe(true);
    expect(nics.filter(({ numa_node }) => numa_node === 1)).toEqual([{ name: "eth0", numa_node: 1 }]);
  });
});
