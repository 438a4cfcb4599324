// Makes the generated documentation anew: `npm run docs`. A test fails as long as it differs from the option table
// (test/config/documentation.test.ts).

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { sampleFile, withOptionTables } from "../../src/config/documentation.ts";

const DOCS = join(import.meta.dir, "../../docs");

const page = join(DOCS, "configuration.md");
await writeFile(page, withOptionTables(await readFile(page, "utf8")));
await writeFile(join(DOCS, "ironic-python-agent.conf.sample"), sampleFile());
