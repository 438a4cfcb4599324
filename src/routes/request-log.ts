// The request log: Hono's, made fit for this agent's log. The query string is the one place where a request
// carries a secret, so only parameters known to be harmless are shown.

import type { MiddlewareHandler } from "hono";
import { logger } from "hono/logger";
import type { Logger } from "../system/log.ts";

const HARMLESS_PARAMETERS = new Set(["wait"]);

/**
 * Hono colours the status by the environment of the process; the log's sinks decide about their looks
 * themselves.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what is looked for.
const COLOURS = /\u001b\[\d+m/g;

export type PeerBindings = { Bindings: { readonly peer: string | null } };

/** Logs `<peer> <-- METHOD PATH` at DEBUG and `<peer> --> METHOD PATH STATUS TIME` at INFO. */
export function requestLog(log: Logger): MiddlewareHandler<PeerBindings> {
  return (context, next) => {
    const peer = context.env.peer ?? "-";
    const print = (line: string) => {
      const text = `${peer} ${maskQuery(line.replace(COLOURS, ""))}`;
      if (line.startsWith("<--")) log.debug(text);
      else log.info(text);
    };
    return logger(print)(context, next);
  };
}

/** `line` with everything masked that its query gives, but names and harmless values. */
export function maskQuery(line: string): string {
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
