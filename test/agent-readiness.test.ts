import { expect, test } from "bun:test";
import { warnAboutProtocol } from "../src/agent/readiness.ts";
import { Config } from "../src/config/config.ts";
import { recordedSystem } from "./support/recorded-system.ts";

test.each([
  [{ listen_tls: true }, 1],
  [{ listen_tls: true, advertise_protocol: "https" as const }, 0],
  [{}, 0],
])("TLS that Ironic is not told of is warned of: %j", (options, warnings) => {
  const system = recordedSystem({});
  warnAboutProtocol(Config.of(options), system.log);
  expect(system.records.map(({ message }) => message.includes("Set advertise_protocol = https"))).toEqual(
    Array.from({ length: warnings }, () => true),
  );
});
