// /v1/commands/: where a conductor tells the agent what to do, and looks at what became of it.

import { Type } from "@sinclair/typebox";
import { CommandResult } from "../extensions/command-result.ts";
import type { CommandRegistry } from "../extensions/registry.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { Authorization } from "./authorization.ts";
import { type CommandEvents, StreamedEvent } from "./command-events.ts";
import { CommandRequest, readCommandRequest } from "./command-request.ts";
import { Fault } from "./errors.ts";
import { path, query } from "./request-url.ts";
import { jsonResponse } from "./responses.ts";
import { router } from "./routing.ts";
import { typed } from "./typed.ts";

export type CommandRoutesOptions = {
  readonly commands: CommandRegistry;
  readonly events: CommandEvents;
  readonly authorization: Authorization;
  readonly metrics: Metrics;
  /** Called for each request that passed authorization, before it is dealt with: the conductor has looked in. */
  readonly onConductorRequest: () => void;
  /** Called when all of a command's request is there: what takes time from now on is the command. */
  readonly onBodyRead: (request: Request) => void;
};

/** The router has null for an id that it cannot decode, whatever its types say. */
type OfOneCommand = { readonly request: Request; readonly params: { readonly id: string | null } };

const CommandList = Type.Object({ commands: Type.Array(CommandResult) });

/** Of repeated ones the first counts. */
const Query = Type.Object({
  agent_token: Type.Optional(Type.String({ description: "The token that Ironic gave to this agent." })),
});
const WaitingQuery = Type.Object({
  ...Query.properties,
  wait: Type.Optional(
    Type.Union([Type.Boolean(), Type.String()], {
      description: "`true`, in any letter case: answer when the command has ended, however long that takes.",
    }),
  ),
});

const TOKEN_FOR_READING =
  "A token that is sent is checked. One is needed after the first reading with a right one, with an Ironic of API version 1.96 or " +
  "newer, and as the option `command_results_token` says.";

export function commandRoutes(options: CommandRoutesOptions) {
  const { commands, authorization, metrics, onConductorRequest, onBodyRead } = options;
  // The reference's names: conductors' dashboards know them.
  const timer = (handler: string) => metrics.timer(`ironic_python_agent.api.app.${handler}`);
  const timers = {
    list: timer("list_commands"),
    read: timer("get_command"),
    run: timer("run_command"),
  };

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
    return timers.list.time(() => jsonResponse({ commands: commands.results() }));
  };

  const read = async (request: OfOneCommand) => {
    const asked = query(request.request);
    authorizeRead(asked);
    return timers.read.time(async () => {
      const id = idIn(request);
      return jsonResponse(waits(asked) ? await commands.wait(id) : commands.get(id));
    });
  };

  const execute = async ({ request }: { request: Request }) => {
    const asked = query(request);
    // Before the body, so that a stranger cannot make the agent hold half a gigabyte.
    authorizeCommand(asked);
    const { name, params } = await readCommandRequest(request);
    onBodyRead(request);
    return timers.run.time(async () => {
      const result = await commands.execute(name, params);
      return jsonResponse(waits(asked) ? await commands.wait(result.id) : result);
    });
  };

  const events = (request: OfOneCommand) => {
    // Not reported as a request of the conductor: it reads no events.
    authorization.toRead(query(request.request).get("agent_token"));
    return options.events.answer(idIn(request), request.request);
  };

  return (
    router()
      .get("/commands/", list, {
        query: typed(Query),
        response: { 200: typed(CommandList), 401: typed(Fault) },
        detail: {
          summary: "All commands since the agent started, oldest first.",
          description: TOKEN_FOR_READING,
        },
      })
      // The body is read by `execute`: the router would go by its Content-Type, which means nothing here.
      .post("/commands/", execute, {
        parse: "none",
        query: typed(WaitingQuery),
        body: typed(CommandRequest),
        response: {
          200: typed(CommandResult),
          400: typed(Fault),
          401: typed(Fault),
          404: typed(Fault),
          409: typed(Fault),
          413: typed(Fault),
        },
        detail: {
          summary: "Run a command.",
          description:
            "Needs the token, unless the agent is standalone. One command runs at a time. A synchronous command is answered with its end; " +
            "an asynchronous one at once as RUNNING, unless `wait` is true. A command that failed is answered 200, with command_status FAILED.",
        },
      })
      .get("/commands/:id", read, {
        query: typed(WaitingQuery),
        response: { 200: typed(CommandResult), 401: typed(Fault), 404: typed(Fault) },
        detail: { summary: "One command.", description: TOKEN_FOR_READING },
      })
      .get("/commands/:id/events", events, {
        query: typed(Query),
        response: {
          200: typed(Type.Unsafe<AsyncIterable<StreamedEvent>>(StreamedEvent), "text/event-stream"),
          401: typed(Fault),
          404: typed(Fault),
          503: typed(Fault),
        },
        detail: {
          summary: "One command, watched live.",
          description:
            "Server-sent events. `state` comes first and, when the command has ended, last; `progress` holds the latest progress; `log` is a " +
            "line of the command's log; `skipped` says how many lines a slow reader has lost. The data of each is JSON. A reader that comes late " +
            "gets the latest 200 lines of the command last started, one that comes again with Last-Event-ID those after it; after the last event " +
            `it is answered 204. ${TOKEN_FOR_READING}`,
        },
      })
  );
}

/** Only the word `true` waits, in any letter case. */
function waits(asked: URLSearchParams): boolean {
  return asked.get("wait")?.toLowerCase() === "true";
}

/** The command's id; as it was sent if it cannot be decoded, so that the refusal says what was asked for. */
function idIn({ request, params }: OfOneCommand): string {
  return params.id ?? path(request).split("/commands/")[1]?.split("/")[0] ?? "";
}
