// The operator's own client, `baremetal`: what it shows of a node goes into the report of a failed scenario, because that
// is what an operator would have to find the cause with.

import { run } from "../rig/programs.ts";
import { PATH } from "./python-service.ts";

const TIMEOUT_MS = 60_000;

/** The rest is configuration of the rig or empty. */
const FIELDS = [
  ...["name", "provision_state", "target_provision_state", "power_state", "last_error"],
  ...["maintenance", "maintenance_reason", "fault", "clean_step", "deploy_step"],
  ...["properties", "instance_info", "driver_internal_info", "raid_config"],
];
const HISTORY_COLUMNS = ["Created At", "Severity", "Description of the event"];

/** The client's view of a node and of its history, in YAML below the commands that gave it. */
export async function nodeAsOperatorsSeeIt(apiUrl: string, node: string): Promise<string> {
  const columns = HISTORY_COLUMNS.flatMap((column) => ["-c", column]);
  const commands = [
    ["baremetal", "node", "show", node, "-f", "yaml", "--fields", ...FIELDS],
    ["baremetal", "node", "history", "list", node, "-f", "yaml", ...columns],
  ];
  const outputs = await Promise.all(
    commands.map(async (argv) => {
      const env = { PATH, OS_AUTH_TYPE: "none", OS_ENDPOINT: apiUrl };
      const { stdout } = await run(argv, { env, timeoutMs: TIMEOUT_MS });
      return `$ ${argv.slice(0, argv.indexOf("-f")).join(" ")}\n${stdout.trim()}`;
    }),
  );
  return outputs.join("\n");
}
