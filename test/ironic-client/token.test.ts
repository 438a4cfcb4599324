import { describe, expect, test } from "bun:test";
import { AgentToken } from "../../src/ironic/token.ts";

const TOKEN = "gnhF7yzJ0T9nPDGJfl7XcLyvY6dPxvCUuDcZc7U2N-I";

describe("the agent token", () => {
  // control-plane 11.63; contract 10.8
  test("one of 32 characters or more is stored, anything shorter or else is not", () => {
    const token = new AgentToken();
    for (const candidate of [null, undefined, 5, "", "x".repeat(31), { length: 40 }])
      expect(token.accept(candidate)).toBe("invalid");
    expect(token.held).toBe(false);
    expect(token.accept("x".repeat(32))).toBe("accepted");
    expect(token.value).toBe("x".repeat(32));
  });

  // control-plane 11.63; contract 10.8
  test("the mask never replaces a token and is never stored", () => {
    const token = new AgentToken(TOKEN);
    expect(token.accept("******")).toBe("masked");
    expect(token.value).toBe(TOKEN);
    const none = new AgentToken();
    expect(none.accept("******")).toBe("masked");
    expect(none.held).toBe(false);
  });

  test("only the very token matches, and nothing does without one", () => {
    const token = new AgentToken(TOKEN);
    expect(token.matches(TOKEN)).toBe(true);
    for (const given of ["", TOKEN.slice(1), `${TOKEN}x`, TOKEN + TOKEN, TOKEN.toLowerCase(), "******"])
      expect(token.matches(given)).toBe(false);
    for (const given of ["", "null", "x"]) expect(new AgentToken().matches(given)).toBe(false);
    expect(new AgentToken("").held).toBe(false);
  });
});
