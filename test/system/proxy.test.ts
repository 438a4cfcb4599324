import { describe, expect, test } from "bun:test";
import { environmentProxies, proxyFor } from "../../src/system/proxy.ts";

const proxies = { http: "http://proxy:3128", https: "http://secure:3129" };
const direct = (noProxy: string, url: string) => proxyFor(url, { proxies, noProxy }) === null;

describe("the proxy of a URL", () => {
  test("goes by its scheme", () => {
    expect(proxyFor("http://a.b/", { proxies, noProxy: null })).toBe("http://proxy:3128");
    expect(proxyFor("https://a.b/", { proxies, noProxy: null })).toBe("http://secure:3129");
    expect(proxyFor("https://a.b/", { proxies: { http: "x" }, noProxy: null })).toBeNull();
    expect(proxyFor("https://a.b/", { proxies: { all: "proxy:1" }, noProxy: null })).toBe("http://proxy:1");
  });

  // deploy 11.20
  test("is none for exempt hosts: names and their subdomains, ports, addresses, networks, everything", () => {
    for (const [noProxy, url] of [
      ["example.com", "http://example.com/"],
      ["example.com", "http://a.example.com/"],
      [".example.com", "http://a.example.com/"],
      ["*.example.com", "http://a.example.com/"],
      ["EXAMPLE.com", "http://a.Example.COM/"],
      ["x, example.com", "http://example.com/"],
      ["example.com:8080", "http://example.com:8080/"],
      ["example.com:443", "https://example.com/"],
      ["192.0.2.1", "http://192.0.2.1:6385/"],
      ["192.0.2.0/24", "http://192.0.2.200/"],
      ["0.0.0.0/0", "http://192.0.2.200/"],
      ["192.0.2.1/32", "http://192.0.2.1/"],
      ["2001:db8::1", "http://[2001:db8::1]:80/"],
      ["[2001:db8::1]:81", "http://[2001:db8::1]:81/"],
      ["*", "http://anything/"],
    ] as const)
      expect([noProxy, url, direct(noProxy, url)]).toEqual([noProxy, url, true]);
  });

  test("is used for everybody else", () => {
    for (const [noProxy, url] of [
      ["example.com", "http://badexample.com/"],
      ["example.com", "http://example.com.evil/"],
      ["example.com:8080", "http://example.com/"],
      ["192.0.2.0/24", "http://192.0.3.1/"],
      ["192.0.2.0/33", "http://192.0.2.1/"],
      ["192.0.2.0/24", "http://host/"],
      ["", "http://host/"],
      [" , ", "http://host/"],
    ] as const)
      expect([noProxy, url, direct(noProxy, url)]).toEqual([noProxy, url, false]);
  });
});

test("the environment's variables in both cases, lower case first, empty ones unset", () => {
  expect(environmentProxies({ HTTP_PROXY: "a", http_proxy: "b", https_proxy: "", NO_PROXY: "c" })).toEqual({
    proxies: { http: "b" },
    noProxy: "c",
  });
  expect(environmentProxies({})).toEqual({ proxies: {}, noProxy: null });
});
