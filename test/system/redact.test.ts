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
    const text = "x".repeat(1024 * 1024);
    expect(redactText(text)).toBe(text); // minutes, if every letter were taken for the start of a URL
  });

  test("text without secrets is unchanged", () => {
    const text = "wrote 10 MiB to /dev/sda from http://192.0.2.1:8080/image?format=raw (a@b)";
    expect(redactText(text)).toBe(text);
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
