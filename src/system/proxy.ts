// Which proxy a URL goes through, if any. The runtime's own matching of NO_PROXY is weak, so it is done here, with the
// rules people know from curl and Python's requests: suffixes at a dot, ports, networks, and * for everything.

/** Proxies by URL scheme (`http`, `https`, `all`), and the hosts that are reached without. */
export type ProxySettings = {
  readonly proxies: Readonly<Record<string, string>>;
  readonly noProxy: string | null;
};

/** The settings of the environment, lower-case names first, as every tool reads them. */
export function environmentProxies(environment: Readonly<Record<string, string | undefined>>): ProxySettings {
  const read = (name: string) => environment[name] || environment[name.toUpperCase()] || undefined;
  const proxies = Object.fromEntries(
    ["http", "https", "all"].flatMap((scheme) => {
      const proxy = read(`${scheme}_proxy`);
      return proxy === undefined ? [] : [[scheme, proxy]];
    }),
  );
  return { proxies, noProxy: read("no_proxy") ?? null };
}

/** The proxy for `url`, or null to connect directly. */
export function proxyFor(url: string, { proxies, noProxy }: ProxySettings): string | null {
  const { protocol, hostname, port } = new URL(url);
  const scheme = protocol.slice(0, -1);
  const proxy = proxies[scheme] ?? proxies.all;
  if (proxy === undefined || proxy === "") return null;
  const effectivePort = port === "" ? (scheme === "https" ? "443" : "80") : port;
  const exceptions = (noProxy ?? "").split(/[\s,]+/);
  if (exceptions.some((exception) => matches(exception, hostname, effectivePort))) return null;
  return proxy.includes("://") ? proxy : `http://${proxy}`;
}

function matches(exception: string, hostname: string, port: string): boolean {
  if (exception === "") return false;
  if (exception === "*") return true;
  const [, address = exception, wantedPort] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(exception) ?? [];
  if (wantedPort !== undefined && wantedPort !== port) return false;
  const host = parseAddress(unbracket(hostname));
  const [network = "", prefix] = unbracket(address).split("/");
  const base = parseAddress(network);
  if (base !== null) return host !== null && inNetwork(host, base, prefix);
  const domain = address.toLowerCase().replace(/^\*?\./, "");
  return host === null && (hostname === domain || hostname.endsWith(`.${domain}`));
}

type Address = { readonly bits: bigint; readonly width: 32 | 128 };

function inNetwork(host: Address, base: Address, prefix: string | undefined): boolean {
  const length = prefix === undefined ? base.width : Number(prefix);
  if (host.width !== base.width || !Number.isInteger(length) || length < 0 || length > base.width)
    return false;
  const shift = BigInt(base.width - length);
  return host.bits >> shift === base.bits >> shift;
}

/** An IPv4 or IPv6 address as a number; null if `text` is none. The URL parser knows all their spellings. */
function parseAddress(text: string): Address | null {
  if (/^\d+\.\d+\.\d+\.\d+$/.test(text) && URL.canParse(`http://${text}/`)) {
    const bits = text.split(".").reduce((sum, part) => (sum << 8n) | BigInt(part), 0n);
    return { bits, width: 32 };
  }
  if (!text.includes(":") || !URL.canParse(`http://[${text}]/`)) return null;
  const normal = unbracket(new URL(`http://[${text}]/`).hostname);
  const [left = "", right] = normal.split("::");
  const groups = (part: string) => (part === "" ? [] : part.split(":"));
  const tail = groups(right ?? "");
  const zeros = Array<string>(8 - groups(left).length - tail.length).fill("0");
  const bits = [...groups(left), ...zeros, ...tail].reduce(
    (sum, part) => (sum << 16n) | BigInt(`0x${part}`),
    0n,
  );
  return { bits, width: 128 };
}

function unbracket(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1");
}
