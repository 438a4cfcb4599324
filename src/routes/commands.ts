// /v1/commands/: where a conductor tells the agent what to do, and looks at what became of it.

import type { CommandRegistry } from "../extensions/registry.ts";
import type { Authorization } from "./authorization.ts";
import { readCommandRequest } from "./command-request.ts";
import { query } from "./request-url.ts";
import { jsonResponse } from "./responses.ts";
import { addSlash, PREFIXES, READ_AND_COMMAND, READ_ONLY, refuse, router } from "./routing.ts";

export type CommandRoutesOptions = {
  readonly commands: CommandRegistry;
  readonly authorization: Authorization;
  /** Called for each request that passed authorization, before it is dealt with: the conductor has looked in. */
  readonly onConductorRequest: () => void;
};

export function commandRoutes({ commands, authorization, onConductorRequest }: CommandRoutesOptions) {
  const authorizeRead = (asked: URLSearchParams) => {
    authorization.toRead(asked.get("agent_token"));
    onConductorRequest();
  };

  const authorizeCommand = (asked: URLSearchParams) => {
    authorization.toCommand(asked.get("agent_token"));
    onConductorRequest();
  };

  const list = ({ request }: { request: Request }) => {
    authorizeRead(query(request));
    return jsonResponse({ commands: commands.results() });
  };

  const read = async ({ request, params }: { request: Request; params: { id: string } }) => {
    const asked = query(request);
    authorizeRead(asked);
    return jsonResponse(waits(asked) ? await commands.wait(params.id) : commands.get(params.id));
  };

  const execute = async ({ request }: { request: Request }) => {
    const asked = query(request);
    // Before the body, so that a stranger cannot make the agent hold half a gigabyte.
    authorizeCommand(asked);
    const { name, params } = await readCommandRequest(request);
    const result = await commands.execute(name, params);
    return jsonResponse(waits(asked) ? await commands.wait(result.id) : result);
  };

  const routes = router();
  for (const prefix of PREFIXES) {
    routes
      .get(`${prefix}/commands/`, list)
      // The body is read by `execute`: the router would go by its Content-Type, which means nothing here.
      .post(`${prefix}/commands/`, execute, { parse: "none" })
      .all(`${prefix}/commands/`, refuse(READ_AND_COMMAND))
      .get(`${prefix}/commands`, addSlash)
      .post(`${prefix}/commands`, addSlash, { parse: "none" })
      .all(`${prefix}/commands`, refuse(READ_AND_COMMAND))
      .get(`${prefix}/commands/:id`, read)
      .all(`${prefix}/commands/:id`, refuse(READ_ONLY));
  }
  return routes;
}

/** Only the word `true` waits, in any letter case. */
function waits(asked: URLSearchParams): boolean {
  return asked.get("wait")?.toLowerCase() === "true";
}
