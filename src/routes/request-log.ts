// The request log: Hono's, in the words of the reference's newer releases: `IP - METHOD PATH?QUERY - STATUS (N.NNms)`. The query
// string is the one place where a request carries a secret, so only parameters known to be harmless are shown.
// Source: control-plane specification 10 and DEV-19.

import type { MiddlewareHandler } from "hono";
import { logger } from "hono/logger";
import type { Clock } from "../system/clock.ts";
import type { Logger } from "../system/log.ts";

/** The reference's name, which operators' filters know. */
export const REQUEST_LOGGER = "ironic_python_agent.api";

const HARMLESS_PARAMETERS = new Set(["wait"]);

/** Hono's second line of a request; its first says only that one has come. Its time is in whole milliseconds. */
const ANSWERED = /^--> (\S+) (.*) (\d{3}) \S+$/;

/**
 * Hono colours the status by the environment of the process; the log's sinks decide about their looks
 * themselves.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what is looked for.
const COLOURS = /\u001b\[\d+m/g;

export type PeerBindings = { Bindings: { readonly peer: string | null } };

/** Logs one line at INFO for each request, when its answer begins. */
export function requestLog(log: Logger, clock: Clock): MiddlewareHandler<PeerBindings> {
  return (context, next) => {
    const started = clock.monotonic();
    const print = (line: string) => {
      const [, method, target = "", status] = ANSWERED.exec(line.replace(COLOURS, "")) ?? [];
      if (method === undefined) return;
      const client = forwardedFor(context.req.raw.headers) ?? context.env.peer ?? "-";
      const milliseconds = ((clock.monotonic() - started) * 1000).toFixed(2);
      log.info(`${client} - ${method} ${maskQuery(target)} - ${status} (${milliseconds}ms)`);
    };
    return logger(print)(context, next);
  };
}

/** Whom a proxy in front says it asks for, if that is an address; anybody can send anything here. */
function forwardedFor(headers: Headers): string | null {
  const said = headers.get("x-forwarded-for")?.split(",")[0] ?? headers.get("x-real-ip");
  const address = said?.trim() ?? "";
  return /^[0-9a-f.:]{2,45}$/i.test(address) ? address : null;
}

/** `line` with everything masked that its query gives, but names and harmless values. */
export function maskQuery(line: string): string {
  if (!line.includes("?")) return line;
  return line.replace(/\?\S*/, (search) => {
    const shown = search
      .slice(1)
      .split("&")
      .map((pair) => {
        const equals = pair.indexOf("=");
        const name = pair.slice(0, Math.max(equals, 0));
        if (HARMLESS_PARAMETERS.has(name)) return pair;
        return equals < 0 ? "******" : `${name}=******`;
      });
    return `?${shown.join("&")}`;
  });
}
