// Makes the generated documentation anew: `npm run docs`. Tests fail as long as it differs from the option table
// (test/config/documentation.test.ts) and from the API (test/routes/documentation.test.ts).

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { sampleFile, withOptionTables } from "../../src/config/documentation.ts";
import { apiReference } from "../../src/routes/documentation.ts";
import { apiDocument, openApiFile } from "../support/api-document.ts";

const DOCS = join(import.meta.dir, "../../docs");

const page = join(DOCS, "configuration.md");
await writeFile(page, withOptionTables(await readFile(page, "utf8")));
await writeFile(join(DOCS, "ironic-python-agent.conf.sample"), sampleFile());

const api = await apiDocument();
await writeFile(join(DOCS, "openapi.json"), openApiFile(api));
await writeFile(join(DOCS, "api.md"), apiReference(api));
