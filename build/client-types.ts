// The types of src/client.ts as one file that needs nothing of this project's: only the packages elysia and, to use it, Eden.

import { bundleDeclarations } from "./declarations.ts";

const ROUTES = "routes/api.d.ts";
/** The routes' type is that of a function's result, and what the function takes is nobody's business. */
const RESULT =
  /declare function documented\(options: SharedOptions\): ([\s\S]*?);\n(?:\/\*\*[^\n]*\*\/\n)?export type AgentApi = ReturnType<typeof documented>;/;

/** `files`: what the compiler made of src/client.ts, by path. @throws Error when the routes' type is not found */
export function clientTypes(files: ReadonlyMap<string, string>): string {
  const routes = files.get(ROUTES) ?? "";
  if (!RESULT.test(routes)) throw new Error(`${ROUTES} does not declare AgentApi as it did`);
  const alone = routes.replace(RESULT, "export type AgentApi = $1;");
  return bundleDeclarations(new Map([...files, [ROUTES, withNamedImports(alone)]]), "client.d.ts");
}

/** The compiler writes `import("../json.ts").Json` in the middle of a type; here it is imported above. */
function withNamedImports(text: string): string {
  const imports = new Set<string>();
  const body = text.replace(/import\("(\.[^"]+)"\)\.(\w+)/g, (_, path: string, name: string) => {
    imports.add(`import type { ${name} } from "${path}";`);
    return name;
  });
  return [...imports, body].join("\n");
}
