// Rules of the tests that no linter knows.

import { expect, test } from "bun:test";

test("no test uses Bun's rejects and resolves matchers", async () => {
  // They wait inside the event loop and lose other work's events (see support/rejection.ts).
  const matcher = new RegExp(`\\)\\s*\\.(?:${["rejects", "resolves"].join("|")})\\s*\\.`);
  const offenders: string[] = [];
  for await (const path of new Bun.Glob("**/*.test.ts").scan(import.meta.dir))
    if (matcher.test(await Bun.file(`${import.meta.dir}/${path}`).text())) offenders.push(path);
  expect(offenders).toEqual([]);
});
