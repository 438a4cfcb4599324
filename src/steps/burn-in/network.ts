// The burn-in of the network: two nodes that are burnt in at the same time send to each other, first in one direction and then in
// the other. Who the other one is, the operator says for each node. Source: hardware specification 10.4.

import { reportWhile } from "../../disk/elapsed-progress.ts";
import { CleaningError, CommandExecutionError } from "../../errors.ts";
import { ProgramFailedError } from "../../system/programs.ts";
import { isArgumentWord } from "../argument-word.ts";
import { CONNECTIONS, fioOnNetwork, type NetworkRole } from "./fio.ts";
import { BurnInSettings, type Duration } from "./settings.ts";
import { type BurnInContext, runTool } from "./tool.ts";

const SIX_HOURS = 21_600;
const PREFIX = "agent_burnin_fio_network_";
/** Seconds until the next try of a reader whose partner is still booting, or still in its first half. */
const PATIENCE = 30;
/** Seconds that a reader lets its partner go ahead when both change roles. */
const HEAD_START = 5;

type Plan = { readonly runtime: Duration; readonly outputFile: string | null };

/**
 * Waits for the other machine as long as it takes: the conductor's own limit for a step ends it.
 * @throws CleaningError for bad settings; CommandExecutionError if fio is missing or the transfer failed
 */
export async function burnInNetwork(context: BurnInContext): Promise<null> {
  const settings = new BurnInSettings(context.node, PREFIX);
  const plan = { runtime: settings.duration("runtime", SIX_HOURS), outputFile: settings.word("outputfile") };
  const { first, partner } = readPairing(settings);
  const roles: NetworkRole[] = [{ name: "writer" }, { name: "reader", partner }];
  if (first === "reader") roles.reverse();
  for (const [index, role] of roles.entries()) {
    if (index > 0 && role.name === "reader") await context.system.clock.sleep(HEAD_START, context.signal);
    const phase = `${role.name === "writer" ? "sending to" : "receiving from"} ${partner} (${index + 1} of 2)`;
    await reportWhile(transfer(context, role, plan), {
      clock: context.system.clock,
      report: context.report,
      phase,
      expected: plan.runtime.seconds === 0 ? null : plan.runtime.seconds,
    });
  }
  return null;
}

/** What the node is to do first, and with whom. @throws CleaningError */
function readPairing(settings: BurnInSettings): { first: NetworkRole["name"]; partner: string } {
  const config = settings.object("config");
  if (config === null) throw withoutConfig(settings.word("pairing_backend_url"));
  const { role = null, partner = null } = config;
  if (role !== "writer" && role !== "reader")
    throw new CleaningError(
      `driver_info/${PREFIX}config: "role" must be "writer" or "reader", not ${JSON.stringify(role)}`,
    );
  if (typeof partner !== "string" || !isArgumentWord(partner))
    throw new CleaningError(
      `driver_info/${PREFIX}config: "partner" must be the other node's host name or address, not ${JSON.stringify(partner)}`,
    );
  return { first: role, partner };
}

function withoutConfig(backend: string | null): CleaningError {
  const instead = `set driver_info/${PREFIX}config to {"role": "writer" or "reader", "partner": "the other node's address"}`;
  return new CleaningError(
    backend === null
      ? `Network burn-in does not know its partner: ${instead}`
      : `Pairing nodes by a coordination service is not supported, so driver_info/${PREFIX}pairing_backend_url has no use: ${instead}`,
  );
}

async function transfer(context: BurnInContext, role: NetworkRole, plan: Plan): Promise<void> {
  const { system, signal } = context;
  const argv = fioOnNetwork({ role, ...plan });
  let served = 0;
  for (;;) {
    try {
      await runTool(context, argv);
      return;
    } catch (error) {
      if (role.name === "writer") throw error;
      const file = plan.outputFile === null ? null : `${plan.outputFile}.${role.name}`;
      const refused = await refusedConnections(context, error, file);
      if (refused === null) throw error;
      served += CONNECTIONS - refused;
      // Those that found the partner in its first seconds are done, and their ends at the partner closed; the others' still wait.
      if (served >= CONNECTIONS) return;
      system.log.info(
        `${role.partner} answered ${served} of ${CONNECTIONS} connections; trying again in ${PATIENCE} s`,
      );
      await system.clock.sleep(PATIENCE, signal);
    }
  }
}

/**
 * How many connections found nobody, null if something else went wrong. fio's exit status is the number of its jobs that failed: where
 * all did nobody was there, and where some did its messages tell whether that is all there was to it.
 */
async function refusedConnections(
  { system }: BurnInContext,
  error: unknown,
  outputFile: string | null,
): Promise<number | null> {
  const cause = error instanceof CommandExecutionError ? error.cause : null;
  if (!(cause instanceof ProgramFailedError) || cause.exitCode === null) return null;
  if (cause.exitCode === CONNECTIONS) return CONNECTIONS;
  const written = outputFile === null ? null : await system.files.readAttribute(outputFile);
  const messages = `${cause.stdout}\n${cause.stderr}\n${written ?? ""}`;
  const refused = [...messages.matchAll(/^fio: pid=.*func=connect, error=Connection refused$/gm)].length;
  return refused > 0 && refused === cause.exitCode ? refused : null;
}
