// docs/api.md and docs/openapi.json are what the API says of itself.

import { expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { apiReference } from "../../src/routes/documentation.ts";
import { apiDocument, openApiFile } from "../support/api-document.ts";

const ADVICE = 'run "npm run docs"';
const docs = (name: string) => readFile(`${import.meta.dir}/../../docs/${name}`, "utf8");

test("docs/openapi.json is the document that agents serve", async () => {
  const file = await docs("openapi.json");
  expect(file === openApiFile(await apiDocument()) ? file : ADVICE).toBe(file);
});

test("docs/api.md is made from it", async () => {
  const page = await docs("api.md");
  expect(page === apiReference(await apiDocument()) ? page : ADVICE).toBe(page);
  expect(page).toContain("| `node` (required) | object |");
  expect(page).toContain("**`standby.sync`** — ");
  expect(page).not.toMatch(/undefined|\[object/);
});
