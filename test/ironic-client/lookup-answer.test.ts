import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Config } from "../../src/config/config.ts";
import { OPTION_NAMES, optionSpec } from "../../src/config/options.ts";
import { applyLookupAnswer, parseLookupAnswer, UnusableAnswerError } from "../../src/ironic/lookup-answer.ts";
import { AgentToken } from "../../src/ironic/token.ts";
import type { Json, JsonObject } from "../../src/json.ts";
import type { LogRecord } from "../../src/system/log.ts";
import { recordedSystem } from "../support/recorded-system.ts";

const TOKEN = "gnhF7yzJ0T9nPDGJfl7XcLyvY6dPxvCUuDcZc7U2N-I";
const node = {
  uuid: "1be26c0b-03f2-4d2e-ae87-c02d7f33c123",
  driver_internal_info: { content: "** Redacted" },
};

function apply(config: JsonObject, options = Config.of(), token = new AgentToken()) {
  const { log, records } = recordedSystem();
  const answer = parseLookupAnswer({ node, config: { heartbeat_timeout: 300, ...config } });
  return { state: applyLookupAnswer(answer, options, token, log), options, token, records };
}

const warnings = (records: readonly LogRecord[]) =>
  records
    .filter(({ level }) => level === "WARNING")
    .map(({ message }) => message)
    .sort();

describe("reading a lookup answer", () => {
  // contract 10.7
  test("the usual form, with whatever newer releases add", () => {
    const answer = parseLookupAnswer({
      node,
      config: {
        heartbeat_timeout: 300,
        agent_token: TOKEN,
        metrics: { backend: null, prepend_uuid: null },
        agent_containers: { foo: [1] },
      },
      something: "new",
    });
    expect(answer).toMatchObject({ uuid: node.uuid, heartbeatTimeout: 300, token: TOKEN, node });
  });

  // control-plane 11.53
  test("the form of very old APIs", () => {
    expect(parseLookupAnswer({ node, heartbeat_timeout: 30 })).toMatchObject({
      heartbeatTimeout: 30,
      token: null,
    });
  });

  test("what cannot be used says why", () => {
    for (const [answer, reason] of [
      [null, "node"],
      [[], "node"],
      [{ config: { heartbeat_timeout: 1 } }, "node"],
      [{ node: { uuid: 5 }, config: { heartbeat_timeout: 1 } }, "UUID"],
      [{ node, config: {} }, "it has no heartbeat_timeout"],
      [{ node, config: { heartbeat_timeout: null } }, "it has no heartbeat_timeout"],
      [
        { node, config: { heartbeat_timeout: "300" } },
        'heartbeat_timeout must be a number of seconds above 0, not "300"',
      ],
      [{ node, config: { heartbeat_timeout: 0 } }, "must be a number of seconds above 0, not 0"],
      [{ node }, "it has no heartbeat_timeout"],
    ] as const)
      expect(() => parseLookupAnswer(answer as never)).toThrow(reason);
  });
});

describe("applying it", () => {
  test("settings of Ironic's administrators override the options", () => {
    const { options } = apply({
      agent_token_required: true,
      disable_deep_image_inspection: true,
      permitted_image_formats: ["raw"],
      agent_md5_checksum_enable: false,
      tls_min_version: "1.3",
      tls_cipher_suites: "ECDHE-RSA-AES256-GCM-SHA384",
    });
    expect(options.get("agent_token_required")).toBe(true);
    expect(options.get("disable_deep_image_inspection")).toBe(true);
    expect(options.get("permitted_image_formats")).toEqual(["raw"]);
    expect(options.get("md5_enabled")).toBe(false);
    expect(options.get("tls_min_version")).toBe("1.3");
    expect(options.get("tls_cipher_suites")).toBe("ECDHE-RSA-AES256-GCM-SHA384");
    expect(options.origin("md5_enabled")).toBe("lookup answer");
  });

  test("nulls and absent members change nothing; wrong ones are warned about and change nothing", () => {
    const before = [...Config.of().entries()];
    const nulls = {
      tls_min_version: null,
      permitted_image_formats: null,
      enable_bios_bootloader_install: null,
      metrics: { backend: null, prepend_uuid: null, global_prefix: "" },
      metrics_statsd: null,
      agent_containers: {},
    };
    const kept = apply(nulls);
    expect([...kept.options.entries()]).toEqual(before);
    expect(warnings(kept.records)).toEqual([]);
    const wrong = {
      enable_bios_bootloader_install: "false",
      tls_min_version: "1.1",
      tls_cipher_suites: "NOSUCH-CIPHER",
      permitted_image_formats: "raw",
      agent_md5_checksum_enable: "yes",
      metrics: { backend: "carbon", prepend_host: 1, future: true },
      metrics_statsd: { statsd_host: "  ", statsd_port: 70000 },
      agent_containers: ["podman"],
    };
    const { options, records } = apply(wrong);
    expect([...options.entries()]).toEqual(before);
    expect(warnings(records)).toEqual([
      expect.stringContaining("'s agent_containers cannot"),
      expect.stringContaining("'s agent_md5_checksum_enable cannot"),
      expect.stringContaining("'s enable_bios_bootloader_install cannot"),
      expect.stringContaining("'s metrics.backend cannot"),
      expect.stringContaining("'s metrics.future means nothing"),
      expect.stringContaining("'s metrics.prepend_host cannot"),
      expect.stringContaining("'s metrics_statsd.statsd_host cannot"),
      expect.stringContaining("'s metrics_statsd.statsd_port cannot"),
      expect.stringContaining("'s permitted_image_formats cannot"),
      expect.stringContaining("'s tls_cipher_suites cannot"),
      expect.stringContaining("'s tls_min_version cannot"),
    ]);
  });

  // DEV-23: the reference drops these.
  test("the metrics' members are applied, nested as they are", () => {
    const { options, records } = apply({
      metrics: {
        backend: "statsd",
        prepend_host: true,
        prepend_host_reverse: false,
        prepend_uuid: true,
        global_prefix: "dc1",
      },
      metrics_statsd: { statsd_host: "192.0.2.5", statsd_port: 9125 },
    });
    expect([
      options.get("metrics.backend"),
      options.get("metrics.prepend_host"),
      options.get("metrics.prepend_host_reverse"),
      options.get("metrics.prepend_uuid"),
      options.get("metrics.global_prefix"),
      options.get("metrics_statsd.statsd_host"),
      options.get("metrics_statsd.statsd_port"),
    ]).toEqual(["statsd", true, false, true, "dc1", "192.0.2.5", 9125]);
    expect(warnings(records)).toEqual([]);
  });

  test("containers: lists, text of older releases, and members that mean nothing any more", () => {
    const { options, records } = apply({
      agent_containers: {
        allow_arbitrary_containers: true,
        allowed_containers: ["docker://example/a", "docker://example/b"],
        runner: "docker",
        pull_options: ["--tls-verify=false"],
        run_options: "--rm --network=host",
        container_conf_file: "/etc/containers.conf",
      },
    });
    expect(options.get("container.allow_arbitrary_containers")).toBe(true);
    expect(options.get("container.allowed_containers")).toEqual(["docker://example/a", "docker://example/b"]);
    expect(options.get("container.runner")).toBe("docker");
    expect(options.get("container.pull_options")).toEqual(["--tls-verify=false"]);
    expect(options.get("container.run_options")).toEqual(["--rm", "--network=host"]);
    expect(warnings(records)).toEqual([expect.stringContaining("container_conf_file means nothing")]);
  });

  // contract 1.2: releases before the switch allow it.
  test("an answer without enable_bios_bootloader_install allows it, unless an operator has forbidden it", () => {
    expect(apply({}).options.get("enable_bios_bootloader_install")).toBe(true);
    expect(
      apply({ enable_bios_bootloader_install: false }).options.get("enable_bios_bootloader_install"),
    ).toBe(false);
    expect(
      apply({}, Config.of({ enable_bios_bootloader_install: null })).options.get(
        "enable_bios_bootloader_install",
      ),
    ).toBe(true);
    const forbidden = Config.of({ enable_bios_bootloader_install: false });
    expect(apply({}, forbidden).options.get("enable_bios_bootloader_install")).toBe(false);
  });

  test("the token requirement is never switched off", () => {
    expect(
      apply({ agent_token_required: false }, Config.of({ agent_token_required: true })).options.get(
        "agent_token_required",
      ),
    ).toBe(true);
  });

  // control-plane 11.63; contract 10.8, 10.9
  test("a token is taken; the mask keeps the one that is held", () => {
    expect(apply({ agent_token: TOKEN }).token.value).toBe(TOKEN);
    const held = apply(
      { agent_token: "******", agent_token_required: true },
      Config.of(),
      new AgentToken(TOKEN),
    );
    expect([held.state, held.token.value]).toEqual(["usable", TOKEN]);
    expect(apply({ agent_token: "short", agent_token_required: true }).token.held).toBe(false);
  });

  test("the mask without a token means that it is lost, whether or not Ironic says that it insists on tokens", () => {
    for (const required of [{ agent_token_required: true }, { agent_token_required: false }, {}]) {
      expect(apply({ agent_token: "******", ...required }).state).toBe("lost");
      const standalone = Config.of({ standalone: true });
      expect(apply({ agent_token: "******", ...required }, standalone).state).toBe("usable");
    }
  });

  test.each([[{}], [{ agent_token: null }]])(
    "no token at all (%j) is another case, and said once",
    (answer) => {
      const errors = (...given: [Config?, AgentToken?]) => {
        const { state, records } = apply(answer, ...given);
        expect(state).toBe("usable");
        return records.filter(({ level }) => level === "ERROR").map(({ message }) => message);
      };
      expect(errors()).toEqual([expect.stringContaining("hands out no agent token")]);
      expect(errors(Config.of(), new AgentToken(TOKEN))).toEqual([]);
      expect(errors(Config.of({ standalone: true }))).toEqual([]);
      expect(errors(Config.of({ commands_without_token: true }))).toEqual([]);
    },
  );
});

describe("whatever Ironic sends", () => {
  const json = fc.jsonValue() as fc.Arbitrary<Json>;

  test("is read or refused as unusable, and nothing else", () => {
    const answers = fc.oneof(
      json,
      fc.record({ node: json, config: json }),
      fc.record({ node: fc.constant(node), config: json }),
    );
    fc.assert(
      fc.property(answers, (answer) => {
        try {
          parseLookupAnswer(answer);
        } catch (error) {
          expect(error).toBeInstanceOf(UnusableAnswerError);
        }
      }),
    );
  });

  test("an object that cannot be made a text is refused as any other nonsense is", () => {
    const { options, records } = apply({ tls_cipher_suites: { toString: "" } });
    expect(options.get("tls_cipher_suites")).toEqual(Config.of({}).get("tls_cipher_suites"));
    expect(warnings(records)).toEqual([expect.stringContaining("tls_cipher_suites cannot be used")]);
  });

  test("leaves every option with a value of its type", () => {
    const members = {
      agent_token: json,
      agent_token_required: json,
      disable_deep_image_inspection: json,
      permitted_image_formats: json,
      enable_bios_bootloader_install: json,
      agent_md5_checksum_enable: json,
      tls_min_version: json,
      tls_cipher_suites: fc.oneof(json, fc.string()),
      metrics: fc.oneof(json, fc.record({ backend: json, prepend_host: json, global_prefix: json })),
      metrics_statsd: fc.oneof(
        json,
        fc.record({ statsd_host: json, statsd_port: fc.oneof(json, fc.double()) }),
      ),
      agent_containers: fc.oneof(
        json,
        fc.record({ runner: json, run_options: json, allowed_containers: json }),
      ),
    };
    fc.assert(
      fc.property(fc.record(members, { requiredKeys: [] }), (config) => {
        const { options, token } = apply(config as JsonObject);
        for (const name of OPTION_NAMES) {
          const value = options.get(name);
          if (value === null) continue;
          const { type } = optionSpec(name);
          const shown = Array.isArray(value) ? "list" : typeof value;
          const expected = {
            bool: "boolean",
            string: "string",
            list: "list",
            int: "number",
            float: "number",
            port: "number",
          };
          expect([name, shown]).toEqual([name, expected[type]]);
        }
        expect(token.value === null || token.value.length >= 32).toBe(true);
      }),
    );
  });
});
