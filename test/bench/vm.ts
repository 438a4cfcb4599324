// The inventory in an emulated machine, beside the external programs that the Python agent runs for its own, turn by turn in one boot.
// There are two machines. One runs as fast as the host lets it: what counts there is its own clock, and the processor time that the
// emulator takes, on which the host's other work has less influence. The clock of the other counts executed instructions (1 ns each), which
// the host has no influence on, and which knows nothing of the price of translating code that runs once.
//
//   npm run bench:vm -- [--rounds N] [--bmc] [--minimal] [--debug] [seconds] [instructions]
//
//   --bmc      with a BMC that has no LAN
//   --minimal  in the demo's ramdisk, which has neither lshw nor multipath, and so without the reference
//   --debug    shows every program of the first round

import { copyFile, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildAgent } from "../rig/executable.ts";
import { Machine } from "../rig/machine.ts";
import {
  composeRamdisk,
  minimalRamdiskBase,
  type Ramdisk,
  type RamdiskBase,
  ramdiskBase,
} from "../rig/ramdisk.ts";
import { makeRunDirectory } from "../rig/run-directory.ts";
import { abortedBySignals } from "../rig/signals.ts";
import { median, type Row, seconds, table } from "./measure.ts";
import { pythonLayer } from "./vm/python-layer.ts";

const BOOT_MS = 900_000;
const COMMAND_MS = 600_000;
const GOAL = "≤ 0.25";

const CLOCKS = ["seconds", "instructions"] as const;
type Clock = (typeof CLOCKS)[number];

const RELEASES = ["6.4", "newest"] as const;

type ProgramRun = {
  readonly argv: readonly string[];
  readonly code: number | null;
  readonly seconds: number;
};

/** Seconds of the machine's clock, and of the emulator's processor time. */
type Time = { readonly clock: number; readonly processor: number };

type Reference = {
  /** With Python's start. */
  readonly whole: Time;
  /** Since Python was ready, by the machine's clock. */
  readonly seconds: number;
  readonly programs: readonly ProgramRun[];
};

type Round = {
  /** `ironic-python-agent inventory`, from its start to its end. */
  readonly ours: Time;
  readonly start: Time;
  /** In the order of RELEASES; none in a ramdisk without its programs. */
  readonly references: readonly Reference[];
};

const { values, positionals } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    bmc: { type: "boolean", default: false },
    minimal: { type: "boolean", default: false },
    debug: { type: "boolean", default: false },
  },
  allowPositionals: true,
});
const rounds = Number(values.rounds);
const known = (word: string) => CLOCKS.some((clock) => clock === word);
if (!positionals.every(known) || !(rounds >= 1)) {
  console.error(
    "usage: npm run bench:vm -- [--rounds N] [--bmc] [--minimal] [--debug] [seconds] [instructions]",
  );
  process.exit(2);
}

const signal = abortedBySignals();
const directory = await makeRunDirectory("bench");
const ramdisk = await makeRamdisk();
const rows: Row[] = [];
for (const clock of CLOCKS.filter((one) => positionals.length === 0 || positionals.includes(one)))
  rows.push(...rowsOf(clock, await measure(clock)));
console.log(table(rows));
await rm(directory, { recursive: true });

async function makeRamdisk(): Promise<Ramdisk> {
  const options = { report: (line: string) => console.error(line), signal };
  const agent = join(directory, "agent");
  await buildAgent(agent, directory, signal);
  const script = await readFile(join(import.meta.dir, "vm/reference-inventory.py"), "utf8");
  const base = values.minimal
    ? await minimalRamdiskBase(options)
    : await withPython(await ramdiskBase(options), await pythonLayer(options));
  return await composeRamdisk(base, {
    ...{ agent, output: join(directory, "ramdisk.cpio") },
    files: [{ path: "/usr/local/lib/reference-inventory.py", content: script }],
  });
}

async function withPython(full: RamdiskBase, layer: string): Promise<RamdiskBase> {
  const base = join(directory, "base.cpio");
  await copyFile(full.base, base);
  await writeFile(base, await readFile(layer), { flag: "a" });
  return { ...full, base };
}

async function measure(clock: Clock): Promise<Round[]> {
  await using vm = await startMachine(clock);
  const shell = (command: string) => vm.shell(command, COMMAND_MS);
  const timed = async (command: string): Promise<Time> => {
    const before = vm.processorTime;
    const output = await shell(`TIMEFORMAT=%R; time { ${command}; }`);
    return { clock: Number(output.split("\n").at(-1)), processor: vm.processorTime - before };
  };
  const inventory = () => timed("ironic-python-agent inventory >/tmp/inventory.json 2>/tmp/inventory.log");
  const reference = async (release: string): Promise<Reference> => {
    const whole = await timed(
      `python3 /usr/local/lib/reference-inventory.py ${release} >/tmp/reference.json`,
    );
    return { whole, ...JSON.parse(await shell("cat /tmp/reference.json")) };
  };
  const measured: Round[] = [];
  // In the round that does not count pages come into memory, and files into their place.
  for (let round = 0; round <= rounds; round++) {
    const ours = await inventory();
    const start = await timed("ironic-python-agent --version >/dev/null");
    const references: Reference[] = [];
    for (const release of values.minimal ? [] : RELEASES) references.push(await reference(release));
    const times = [ours, ...references.map(({ whole }) => whole)];
    const told = times.map((time) => `${time.clock.toFixed(2)} s (${time.processor.toFixed(2)} s)`);
    console.error(`${clock}, round ${round}: ${told.join(", ")}`);
    if (round > 0) measured.push({ ours, start, references });
  }
  if (values.debug) {
    for (const { programs } of measured[0]?.references ?? []) console.error(listing(programs));
    console.error(await shell("ironic-python-agent inventory --debug 2>&1 >/dev/null | grep ' ran '"));
  }
  return measured;
}

function listing(programs: readonly ProgramRun[]): string {
  return programs.map((one) => `  ${one.seconds.toFixed(3)} s ${one.argv.join(" ")}: ${one.code}`).join("\n");
}

async function startMachine(clock: Clock): Promise<Machine> {
  const vm = await Machine.create({
    ...{ name: `bench-${clock}`, directory: join(directory, clock) },
    ...{ firmware: "bios", memoryMiB: 2048, cpus: 2, countInstructions: clock === "instructions" },
    disks: [
      { bus: "virtio", serial: "VIRTIO", sizeBytes: 8 * 2 ** 30 },
      { bus: "sata", serial: "SATA", sizeBytes: 8 * 2 ** 30 },
      { bus: "nvme", serial: "NVME", sizeBytes: 8 * 2 ** 30 },
    ],
    nics: [{ mac: "52:54:00:12:34:56" }, { mac: "52:54:00:12:34:57" }],
    smbios: { manufacturer: "Acme", product: "Rocket", serial: "SN123" },
    qemuArguments: values.bmc ? ["-device", "ipmi-bmc-sim,id=bmc", "-device", "isa-ipmi-kcs,bmc=bmc"] : [],
  });
  const parameters = "console=ttyS0 no_timer_check net.ifnames=0 quiet rig.shell=1 rig.agent=by-hand";
  await vm.start({ ...ramdisk, cmdline: parameters });
  await vm.waitForConsole(/starting an agent is left to you/, { timeout: BOOT_MS, signal });
  return vm;
}

function rowsOf(clock: Clock, measured: readonly Round[]): Row[] {
  const middle = (of: (round: Round) => number) => median(measured.map(of));
  const beside = (what: string, goal: string, of: (round: Round) => readonly [number, number]): Row => ({
    what,
    ours: seconds(middle((round) => of(round)[0])),
    reference: seconds(middle((round) => of(round)[1])),
    ratio: middle((round) => of(round)[0] / of(round)[1]).toFixed(2),
    goal,
  });
  const alone = (what: string, of: (round: Round) => number): Row => ({
    ...{ what, ours: seconds(middle(of)), reference: "", ratio: "", goal: "" },
  });
  const rows: Row[] = [];
  for (const [index, release] of values.minimal ? [] : RELEASES.entries()) {
    const goal = release === "6.4" ? GOAL : "";
    const name = release === "6.4" ? "release 6.4" : "the newest release";
    const reference = (round: Round) => round.references[index] as Reference;
    rows.push(
      beside(`${clock}: ${name}, with Python's start`, goal, (round) => [
        round.ours.clock,
        reference(round).whole.clock,
      ]),
      beside(`${clock}: ${name}, its programs alone`, goal, (round) => [
        round.ours.clock,
        reference(round).seconds,
      ]),
    );
    if (clock === "seconds")
      rows.push(
        beside(`emulator's processor time: ${name}, with Python's start`, goal, (round) => [
          round.ours.processor,
          reference(round).whole.processor,
        ]),
      );
  }
  return [
    ...rows,
    alone(`${clock}: our inventory`, (round) => round.ours.clock),
    alone(`${clock}: of it our start`, (round) => round.start.clock),
    ...(clock === "seconds"
      ? [alone("emulator's processor time: our start", (round) => round.start.processor)]
      : []),
  ];
}
