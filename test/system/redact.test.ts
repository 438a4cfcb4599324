import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { redactText, redactValue } from "../../src/system/redact.ts";

describe("redactText", () => {
  test("credentials in URLs and secret query parameters disappear, the rest stays", () => {
    expect(redactText("GET https://user:pa55@host:8080/img.raw?agent_token=abc123&x=1 failed")).toBe(
      "GET https://******@host:8080/img.raw?agent_token=******&x=1 failed",
    );
  });

  test("the request log's line does not hold the token", () => {
    expect(redactText("--> POST /v1/commands/?wait=true&agent_token=s3cret 200 3ms")).toBe(
      "--> POST /v1/commands/?wait=true&agent_token=****** 200 3ms",
    );
  });

  test("a megabyte of letters is passed through in no time", () => {
    // Minutes, if every letter were taken for the start of a URL, or every backslash for that of a quotation.
    for (const letter of ["x", "\\", "\n", " ", '"', "-", "token"]) {
      const text = letter.repeat(1024 * 1024);
      expect(redactText(text)).toBe(text);
    }
  });

  test("text without secrets is unchanged", () => {
    const text = "wrote 10 MiB to /dev/sda from http://192.0.2.1:8080/image?format=raw (a@b)";
    expect(redactText(text)).toBe(text);
  });
});

describe("a secret in a text", () => {
  test.each([
    ["a query", "GET /v1/commands/?wait=true&agent_token=S3CRET HTTP/1.1"],
    ["an assignment", "image_server_password=S3CRET"],
    ["JSON that is quoted", 'Error 500: {"callback_url": "http://x", "agent_token":"S3CRET", "a": 1}'],
    [
      "JSON in a string of JSON",
      JSON.stringify({ error_message: JSON.stringify({ agent_token: "S3CRET" }) }),
    ],
    ["a Python dictionary", "{'rescue_password': 'S3CRET', 'a': 1}"],
    ["a config drive in JSON", '{"configdrive": "S3CRET"}'],
    ["a header", "Authorization: Basic S3CRET"],
    ["a header among others", "content-type: text/plain, X-Auth-Token: S3CRET, date: now"],
    ["an option and its value", "ironic-python-agent --agent_token S3CRET --debug"],
    ["a URL", "http://user:S3CRET@host/"],
    ["a URL whose password holds an @", "http://user:p@S3CRET@host/"],
  ])("in %s is masked", (_where, text) => {
    expect(redactText(text)).not.toContain("S3CRET");
    expect(redactText(text).length).toBeGreaterThan(10); // and the rest stays
  });

  test.each([
    "agent_token",
    "agent_secret_token",
    "rescue_password",
    "password",
    "image_server_password",
    "image_request_authorization",
    "pull_secret",
    "oci_pull_secret",
    "redfish_password",
    "X-Auth-Token",
    "auth",
    "private_key",
    "snmp_community",
    "snmp_community_write",
    "irmc_snmp_community",
    "snmp_auth_key",
    "snmp_priv_key",
    "ipmi_hex_kg_key",
    "ssh_key_contents",
  ])("a member called %s is masked", (name) => {
    expect(redactValue({ [name]: "S3CRET" })).toEqual({ [name]: "******" });
  });

  test("names that only resemble one stay", () => {
    const harmless = {
      agent_token_required: true,
      author: "me",
      community: "public",
      snmp_version: "2c",
      tokens: 3,
      secretary: "x",
    };
    expect(redactValue(harmless)).toEqual(harmless);
  });
});

describe("redactValue", () => {
  test("secret members are masked at any depth, bulky ones cut, null stays null", () => {
    expect(
      redactValue({
        config: { agent_token: "t", agent_token_required: true },
        list: [{ rescue_password: "p", configdrive: "H4sI" }, { agent_token: null }],
      }),
    ).toEqual({
      config: { agent_token: "******", agent_token_required: true },
      list: [{ rescue_password: "******", configdrive: "<...>" }, { agent_token: null }],
    });
  });

  test("no secret survives wherever it stands", () => {
    fc.assert(
      fc.property(
        fc.letrec((tie) => ({
          tree: fc.oneof(
            fc.constant("plain"),
            fc.record({ agent_token: fc.constant("S3CRET-VALUE") }),
            fc.array(tie("tree"), { maxLength: 3 }),
            fc.dictionary(fc.string(), tie("tree"), { maxKeys: 3 }),
          ),
        })).tree,
        (tree) => !JSON.stringify(redactValue(tree)).includes("S3CRET-VALUE"),
      ),
    );
  });
});
