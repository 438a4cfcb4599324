// One run of the fleet benchmark: so many agents boot at once, are looked up, hold in a clean step and heartbeat, lose
// their API for a minute, get it back, finish the step and are stopped.

import type { FleetConductor } from "./conductors.ts";
import { FleetProcess } from "./fleet-process.ts";
import type { ApiRequest } from "./protocol.ts";
import { largest, mean, perSecond, quantile, statuses } from "./statistics.ts";

export type RunOptions = {
  readonly agents: number;
  /** Seconds that the quiet time and the outage last. */
  readonly quiet: number;
  readonly outage: number;
  readonly say: (text: string) => void;
};

/** Name and value, for the table. */
export type Figure = readonly [what: string, value: string];

const POLL_MS = 500;
/** For garbage and sockets of the start to go. */
const SETTLE_MS = 5000;
const PATIENCE_MS = 900_000;
/** Seconds within which a retry is due after a failure. */
const RETRY_SPREAD = 10;

export async function fleetRun(conductor: FleetConductor, options: RunOptions): Promise<Figure[]> {
  const { agents, quiet, outage, say } = options;
  await using fleet = await FleetProcess.start({ apiUrl: conductor.url, agents });
  say(`${agents} agents: enrolling the nodes …`);
  await conductor.beginCleaning(agents);

  fleet.startAgents(0, 0);
  await until(() => fleet.holding === 1);
  await Bun.sleep(SETTLE_MS);
  const alone = await fleet.measure();

  say(`${agents} agents: booting …`);
  const bootedAt = Date.now();
  if (agents > 1) fleet.startAgents(1, agents - 1);
  // A node may fail, at a size that is too much for the conductor: that is a figure, too.
  while (fleet.holding + (await conductor.failed()) < agents) {
    if (Date.now() - bootedAt > PATIENCE_MS)
      throw new Error(`only ${fleet.holding} agents got to their step`);
    await Bun.sleep(POLL_MS);
  }
  const bootTime = (Date.now() - bootedAt) / 1000;
  const failedInBoot = agents - fleet.holding;
  const boot = await fleet.measure();

  say(`${agents} agents: heartbeats for ${quiet} s …`);
  await Bun.sleep(SETTLE_MS);
  const before = await fleet.measure();
  const quietFrom = Date.now();
  await Bun.sleep(quiet * 1000);
  const after = await fleet.measure();
  const beats = after.requests.filter(({ kind }) => kind === "heartbeat");

  say(`${agents} agents: API down for ${outage} s …`);
  await conductor.goDown();
  const downFrom = Date.now();
  await Bun.sleep(outage * 1000);
  const comingUp = Date.now();
  const during = (await fleet.measure()).requests.filter(({ at }) => at >= downFrom);
  await conductor.comeBack();
  await Bun.sleep(RETRY_SPREAD * 1000 * 1.5);
  const since = (await fleet.measure()).requests.filter(({ at }) => at >= comingUp);
  // A service takes its time to come up, and answers before it says that it has.
  const upFrom = since.find(({ status }) => status !== 0)?.at ?? comingUp;
  const returned = since.filter(({ at }) => at >= upFrom);

  say(`${agents} agents: finishing their steps …`);
  const releasedAt = Date.now();
  fleet.release();
  const failures = await conductor.cleaned();
  const finishTime = (Date.now() - releasedAt) / 1000;
  const finish = await fleet.measure();
  const exitCodes = await fleet.stop();

  const perAgent = (after.usage.memory - alone.usage.memory) / Math.max(1, agents - 1);
  const lookups = boot.requests.filter(({ kind }) => kind === "lookup");
  return [
    ["agents", String(agents)],
    [
      "boot to a running clean step, all",
      `${bootTime.toFixed(1)} s${failedInBoot > 0 ? `, without ${failedInBoot} that failed` : ""}`,
    ],
    ["lookups", `${describe(lookups)}; ${rates(boot.requests, bootedAt, bootedAt + bootTime * 1000)}`],
    ["memory of the first agent", mebibytes(alone.usage.memory)],
    ["memory of each further one", mebibytes(perAgent)],
    ["heartbeats", `${describe(beats)}; ${rates(beats, quietFrom, quietFrom + quiet * 1000)}`],
    [
      "processor time per heartbeat, with the conductor's look at the commands after it",
      milliseconds((after.usage.cpu - before.usage.cpu) / beats.length),
    ],
    ["API down", `${describe(during)}; ${rates(during, downFrom, comingUp)}`],
    ["API back", `${describe(returned)}; ${rates(returned, upFrom, upFrom + RETRY_SPREAD * 1500)}`],
    ["all heard again after", seconds(recovered(returned, upFrom, agents))],
    ["release of the steps to all nodes clean", `${finishTime.toFixed(1)} s; ${describe(finish.requests)}`],
    ["nodes that failed", String(failures.length) + (failures[0] === undefined ? "" : `: ${failures[0]}`)],
    ["agents that did not end with 0", String(exitCodes.filter((code) => code !== 0).length)],
  ];
}

function describe(requests: readonly ApiRequest[]): string {
  const counts = Object.entries(statuses(requests)).map(([status, count]) => `${count} × ${status}`);
  const answered = requests.filter(({ status }) => status !== 0).map(({ took }) => took);
  const times =
    answered.length === 0
      ? ""
      : `, median ${quantile(answered, 0.5)} ms, 99 % ${quantile(answered, 0.99)} ms`;
  return `${counts.join(", ") || "none"}${times}`;
}

function rates(requests: readonly ApiRequest[], from: number, to: number): string {
  const counts = perSecond(requests, from, to);
  return `${mean(counts).toFixed(1)}/s, at most ${largest(counts)} in a second`;
}

/** Seconds from `from` until as many heartbeats were accepted as there are agents. */
function recovered(requests: readonly ApiRequest[], from: number, agents: number): number {
  const accepted = requests.filter(({ kind, status }) => kind === "heartbeat" && status === 202);
  const last = accepted[Math.min(agents, accepted.length) - 1];
  return last === undefined || accepted.length < agents ? Number.NaN : (last.at + last.took - from) / 1000;
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error("the agents did not get there in time");
    await Bun.sleep(POLL_MS);
  }
}

const mebibytes = (bytes: number) => `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
/** Of nothing there is no mean, and an end that was not seen has no time: the run was too short for it. */
const measured = (value: number, text: string) => (Number.isFinite(value) ? text : "not seen");
const milliseconds = (value: number) => measured(value, `${value.toFixed(2)} ms`);
const seconds = (value: number) => measured(value, `${value.toFixed(1)} s`);
