// The two kinds of answers: JSON in the reference's form, and redirects with the HTML page that HTTP asks
// for.

import { pythonJson } from "./python-json.ts";

/** `body` is any record that JSON can hold. */
export function jsonResponse(body: unknown, status = 200, headers: Readonly<Record<string, string>> = {}) {
  const text = pythonJson(body);
  return new Response(text, {
    status,
    // The text is ASCII, so its length is its size. HEAD takes it over, which is why it is set here.
    headers: { "Content-Type": "application/json", "Content-Length": String(text.length), ...headers },
  });
}

/** 308: the client repeats the request, method and body unchanged. `location` is absolute. */
export function permanentRedirect(location: string): Response {
  const url = escapeHtml(location);
  const page =
    "<!doctype html>\n<html lang=en>\n<title>Redirecting...</title>\n<h1>Redirecting...</h1>\n" +
    "<p>You should be redirected automatically to the target URL: " +
    `<a href="${url}">${url}</a>. If not, click the link.\n`;
  return new Response(page, {
    status: 308,
    headers: {
      "Content-Type": "text/html; charset=utf-8",
      "Content-Length": String(new TextEncoder().encode(page).length),
      Location: location,
    },
  });
}

const NAMED: Readonly<Record<string, string>> = { "&": "amp", "<": "lt", ">": "gt" };

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&${NAMED[character] ?? `#${character.charCodeAt(0)}`};`);
}
