// The parts of a request's URL as the client sent them. URL is not used: it decodes and normalises, and it
// throws on what a client may put into a Host header.

/** Scheme and host as received: what links of the API start with. */
export function origin(request: Request): string {
  const { url } = request;
  const scheme = url.slice(0, url.indexOf(":"));
  return `${scheme}://${request.headers.get("host") ?? url.slice(scheme.length + 3, pathStart(url))}`;
}

export function path(request: Request): string {
  const { url } = request;
  const end = url.indexOf("?");
  return url.slice(pathStart(url), end < 0 ? url.length : end);
}

/** With the question mark; empty if there is none. */
export function search(request: Request): string {
  const start = request.url.indexOf("?");
  return start < 0 ? "" : request.url.slice(start);
}

/** Of repeated parameters, get() finds the first, as the reference does. */
export function query(request: Request): URLSearchParams {
  return new URLSearchParams(search(request));
}

/** Index of the path's first slash. The URL may be nothing but a path. */
export function pathStart(url: string): number {
  if (url.startsWith("/")) return 0;
  const slash = url.indexOf("/", url.indexOf("://") + 3);
  return slash < 0 ? url.length : slash;
}
