// The collectors lldp and parsed-lldp: what the switches tell, whatever collect_lldp says about the
// inventory. Both listen for themselves, at the same time, and hear the same frames.

import type { LldpData } from "../hardware/lldp.ts";
import type { JsonObject } from "../json.ts";
import type { Collector, CollectorContext } from "./collector.ts";
import { describeNeighbour } from "./lldp-meaning.ts";

/** `{interface: [[type, hex], …]}` */
export const collectLldp: Collector = async (context) => ({ lldp_raw: await listen(context) });

/** The same with the values in words, under the names that Ironic's own parser gives them. */
export const collectParsedLldp: Collector = async (context) => {
  const parsed: JsonObject = {};
  for (const [name, tlvs] of Object.entries(await listen(context))) parsed[name] = describeNeighbour(tlvs);
  return { parsed_lldp: parsed };
};

async function listen({ managers, signal }: CollectorContext): Promise<LldpData> {
  const interfaces = await managers.dispatch("listNetworkInterfaces", { collectLldp: false });
  const names = interfaces.map(({ name }) => name).filter((name) => name !== "lo");
  return managers.dispatch("collectLldpData", names, signal);
}
