// Ironic's configuration file: what a scenario changes wins, and the rest stays.

import { expect, test } from "bun:test";
import { baseConfiguration, configurationText, merged, pathsIn } from "./configuration.ts";

const BASE = baseConfiguration("192.0.2.1", pathsIn("/run/rig", ["/boot/a", "/boot/b"]));

test("changes win option by option", () => {
  const result = merged(BASE, { agent: { require_tls: true }, conductor: { deploy_callback_timeout: 60 } });
  expect(result.agent).toEqual({ ...BASE.agent, require_tls: true });
  expect(result.conductor?.deploy_callback_timeout).toBe(60);
  expect(result.conductor?.clean_callback_timeout).toBe(900);
  expect(result.pxe).toEqual(BASE.pxe!);
});

test("sections and options as oslo.config reads them", () => {
  const text = configurationText({ DEFAULT: { debug: true, my_ip: "192.0.2.1" }, api: { port: 6385 } });
  expect(text).toBe("[DEFAULT]\ndebug = true\nmy_ip = 192.0.2.1\n\n[api]\nport = 6385\n");
});

test("every directory of boot files is allowed", () => {
  expect(BASE.conductor?.file_url_allowed_paths).toBe("/boot/a,/boot/b");
});
