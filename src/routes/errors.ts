// Every refusal of the API has one form: {"faultcode", "faultstring"}. Conductors show the text to operators,
// and take any that contains "agent is busy" for a 409.
// Source: control-plane specification 3.3; the texts of HTTP-level errors are werkzeug's.

import { Type } from "@sinclair/typebox";
import { errorText, RestError } from "../errors.ts";
import { jsonResponse } from "./responses.ts";

export const Fault = Type.Object({
  faultcode: Type.Union([Type.Literal("Client"), Type.Literal("Server")]),
  faultstring: Type.String(),
});

/** An error of HTTP itself, not of a command. */
export class HttpFault extends Error {
  readonly status: number;
  readonly reason: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, reason: string, description: string, headers: Record<string, string> = {}) {
    super(description);
    this.status = status;
    this.reason = reason;
    this.headers = headers;
  }
}

export const badRequest = (description: string) => new HttpFault(400, "Bad Request", description);

export const unauthorized = () => new HttpFault(401, "Unauthorized", "Token invalid.");

export const notFound = () =>
  new HttpFault(
    404,
    "Not Found",
    "The requested URL was not found on the server. If you entered the URL manually please check your " +
      "spelling and try again.",
  );

/** `allow` lists the methods the resource has, e.g. "GET, HEAD". */
export const methodNotAllowed = (allow: string) =>
  new HttpFault(405, "Method Not Allowed", "The method is not allowed for the requested URL.", {
    Allow: allow,
  });

/** Closes the connection, or the server would have to read all that is still to come. */
export const bodyTooLarge = () =>
  new HttpFault(413, "Request Entity Too Large", "The data value transmitted exceeds the capacity limit.", {
    Connection: "close",
  });

/** False for what should not happen, and belongs into the log. */
export function isExpected(error: unknown): boolean {
  return error instanceof HttpFault || error instanceof RestError;
}

export function faultResponse(error: unknown): Response {
  if (error instanceof HttpFault)
    return fault(error.status, `${error.status} ${error.reason}: ${error.message}`, error.headers);
  if (error instanceof RestError) return fault(error.code, error.toString());
  return fault(500, `500 Internal Server Error: ${errorText(error)}`);
}

function fault(status: number, text: string, headers: Readonly<Record<string, string>> = {}): Response {
  // The text may quote what a client sent, like an unknown command's name: it must not pass for a busy agent.
  const faultstring = (status === 409 ? text : text.replace(/agent is busy/gi, "agent-is-busy")).replace(
    /agent_token/gi,
    "agent token",
  );
  return jsonResponse({ faultcode: status >= 500 ? "Server" : "Client", faultstring }, status, headers);
}
