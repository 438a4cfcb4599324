// One boot of one machine of the matrix: the rig's ramdisk with the agent's executable, which is asked for its inventory and
// then for an inspection with all collectors. A small web server in the machine takes what the agent posts, so that machines
// without a network work, too; the answers leave on the disk RECORD.

import { mkdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type FixtureMachine, MACHINES } from "../../hardware/recording/machines.ts";
import { Bmc, bmcQemuArguments, type Chassis } from "../../ironic/bmc.ts";
import { Machine } from "../../rig/machine.ts";
import { type Lease, Network } from "../../rig/network.ts";
import { run } from "../../rig/programs.ts";
import { composeRamdisk, ramdiskBase } from "../../rig/ramdisk.ts";
import type { Inspected } from "./inspected.ts";
import { startNeighbour } from "./neighbour.ts";

const MINUTE = 60_000;
const BOOT_TIME = 10 * MINUTE;
const COMMAND_TIME = 10 * MINUTE;
/** Bytes of the disk that carries answers out. */
const OUTPUT_SIZE = 16 * 2 ** 20;
const RECORD = "/dev/disk/by-id/virtio-RECORD";
const RECORDER = "/usr/local/lib/record-machine.js";

export const NODE_UUID = "11111111-2222-3333-4444-555555555555";
export const COLLECTORS = [
  ...["default", "pci-devices", "usb-devices", "dmi-decode", "numa-topology", "extra-hardware"],
  ...["lldp", "parsed-lldp", "logs"],
] as const;

const INSPECTION = "/tmp/inspection.json";
const RECEIVER = `#!/bin/sh
cat >${INSPECTION}
printf 'Content-Type: application/json\\r\\n\\r\\n{"uuid": "${NODE_UUID}"}'
`;

/** What one boot told. */
export type Findings = {
  /** What the program ironic-python-agent inventory printed. */
  readonly inventory: Inspected["inventory"];
  /** What was posted, with every collector. */
  readonly data: Inspected;
  /** The agent's log of the inspection. */
  readonly log: string;
  /**
   * Seconds in the machine: the inventory, the reference's slowest tool alone, and the slowest of the collectors that neither listen
   * nor wait for others.
   */
  readonly seconds: { readonly inventory: number; readonly lshw: number; readonly collectors: number };
  readonly leases: readonly Lease[];
  /** By which the switch calls itself. */
  readonly switchMac: string | null;
  /** What the recorder wrote, when it was asked to. */
  readonly recording: string | null;
};

/**
 * Boots the machine, asks, and switches it off. `recorder` is record-machine.ts as one file; with it the machine is recorded
 * in the state in which the agent saw it.
 */
export async function askMachine(
  name: string,
  options: { agent: string; recorder: string | null; directory: string },
): Promise<Findings> {
  const machine = MACHINES[name];
  if (machine === undefined) throw new Error(`there is no machine ${name}`);
  const directory = join(options.directory, name);
  await mkdir(directory, { recursive: true });
  await using stack = new AsyncDisposableStack();
  const network = machine.taps === undefined ? null : await Network.create({ directory });
  if (network !== null) stack.use(network);
  const taps: string[] = [];
  for (let index = 0; index < (machine.taps ?? 0); index++) taps.push((await network?.addTap()) ?? "");
  const neighbour = taps.length > 0 ? stack.use(await startNeighbour(taps, directory)) : null;
  if (machine.bmc !== undefined) stack.use(await startBmc(machine.bmc, directory));
  const vm = stack.use(await startMachine(name, machine, { ...options, directory }));
  // Before the cards are changed: who has no address yet would ask for one later.
  const cables = taps.length - (machine.unplugged?.length ?? 0);
  const leases = network === null ? [] : await waitForLeases(network, cables);
  for (const line of machine.preparation) await vm.shell(line, COMMAND_TIME);
  await vm.shell("udevadm settle", COMMAND_TIME);
  return { ...(await ask(vm, options.recorder !== null)), leases, switchMac: neighbour?.mac ?? null };
}

async function startMachine(
  name: string,
  machine: FixtureMachine,
  options: { agent: string; recorder: string | null; directory: string },
): Promise<Machine> {
  const { directory } = options;
  for (const [serial, size] of Object.entries(machine.disks)) {
    await writeFile(join(directory, `DISK-${serial}`), "");
    await truncate(join(directory, `DISK-${serial}`), size);
  }
  const files = [
    ...Object.entries(machine.files ?? {}).map(([path, content]) => ({ path, content })),
    { path: "/srv/cgi-bin/continue", content: RECEIVER, mode: 0o755 },
    ...(options.recorder === null
      ? []
      : [{ path: RECORDER, content: await Bun.file(options.recorder).bytes() }]),
  ];
  const ramdisk = await composeRamdisk(await ramdiskBase({ report: console.log }), {
    ...{ agent: options.agent, files, output: join(directory, "ramdisk.cpio") },
  });
  const vm = await Machine.create({
    ...{ name, directory, firmware: machine.firmware, memoryMiB: machine.memoryMiB, cpus: 2 },
    disks: [{ bus: "virtio", serial: "RECORD", sizeBytes: OUTPUT_SIZE }],
    nics: [],
    qemuArguments: [...machine.devices, ...(machine.bmc === undefined ? [] : bmcQemuArguments(0))],
  });
  // An emulated processor that gets no time for a while would take its timer for broken, and panic.
  const parameters = `console=ttyS0 no_timer_check net.ifnames=0 quiet rig.shell=1 rig.agent=by-hand ${machine.kernelParameters}`;
  await vm.start({ ...ramdisk, cmdline: parameters.trim() });
  // At once: the kernel's driver overhears it when QEMU pulls a cable later.
  for (const card of machine.unplugged ?? []) await vm.setCable(card, false);
  await vm.waitForConsole(/starting an agent is left to you/, { timeout: BOOT_TIME });
  return vm;
}

async function ask(vm: Machine, record: boolean): Promise<Omit<Findings, "leases" | "switchMac">> {
  const shell = (line: string) => vm.shell(line, COMMAND_TIME);
  // The rig's other programs read it; no clock in the machine is finer that every shell has.
  const timed = async (command: string) => {
    const output = await shell(`TIMEFORMAT=%R; time { ${command}; }`);
    return Number(output.split("\n").at(-1));
  };
  const inventory = await timed("ironic-python-agent inventory >/tmp/inventory.json 2>/tmp/inventory.log");
  const lshw = await timed("lshw -quiet -json >/tmp/lshw.json 2>/dev/null");
  await shell("busybox httpd -p 127.0.0.1:8080 -h /srv");
  await shell(
    [
      ...["ironic-python-agent collect-introspection-data --debug --lldp_timeout 5"],
      ...[
        "--inspection_callback_url http://127.0.0.1:8080/cgi-bin/continue --inspection_dhcp_wait_timeout 0",
      ],
      `--inspection_collectors ${COLLECTORS.join(",")} >/tmp/inspection.log 2>&1`,
    ].join(" "),
  );
  const takeOut = (path: string) =>
    readOut(vm, `dd if=${path} of=${RECORD} bs=1M conv=sync,fsync 2>/dev/null`);
  const log = await takeOut("/tmp/inspection.log");
  return {
    inventory: JSON.parse(await takeOut("/tmp/inventory.json")),
    data: JSON.parse(await takeOut(INSPECTION)),
    log,
    seconds: { inventory, lshw, collectors: slowestCollector(log) },
    recording: record
      ? await readOut(vm, `BUN_BE_BUN=1 ironic-python-agent ${RECORDER} ${RECORD} && sync`)
      : null,
  };
}

/** They run beside each other. */
function slowestCollector(log: string): number {
  const took = [...log.matchAll(/collector (\S+) took ([\d.]+) s/g)];
  const own = took.filter(([, name = ""]) => !name.endsWith("lldp") && name !== "logs");
  return Math.max(...own.map(([, , seconds]) => Number(seconds)));
}

/** The text that a command leaves at the beginning of the disk RECORD. */
async function readOut(vm: Machine, command: string): Promise<string> {
  await vm.shell(`dd if=/dev/zero of=${RECORD} bs=1M conv=fsync 2>/dev/null; ${command}`, COMMAND_TIME);
  const bytes = await Bun.file(vm.diskFiles[0] ?? "").bytes();
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}

/** A BMC that nobody commands: only its system side and its address matter. */
async function startBmc(bmc: { address: string; mac: string }, directory: string): Promise<Bmc> {
  await run(["ip", "address", "add", `${bmc.address}/32`, "dev", "lo"]);
  const nothing = () => undefined;
  const chassis: Chassis = {
    ...{ powered: () => true, powerOn: nothing, powerOff: nothing, reset: nothing },
    ...{ pressPowerButton: nothing, bootDevice: "default" },
  };
  return Bmc.start({ index: 0, address: bmc.address, mac: bmc.mac, directory, chassis });
}

async function waitForLeases(network: Network, count: number): Promise<readonly Lease[]> {
  const deadline = Date.now() + MINUTE;
  for (;;) {
    const leases = await network.leases();
    if (leases.length >= count) return leases;
    if (Date.now() > deadline) throw new Error(`${leases.length} of ${count} cards asked for an address`);
    await Bun.sleep(500);
  }
}
