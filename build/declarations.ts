// Joins the declaration files that the compiler makes of src/sdk.ts into one, with nothing in it that an exported name does not need.
// The usual bundlers of declarations use the old compiler's JavaScript interface, which TypeScript 7 does not have.

import { dirname, join } from "node:path";

/** One top-level declaration: its text without `export`, with the comment above it, and the names in it. */
type Declaration = { readonly name: string; readonly text: string; readonly words: ReadonlySet<string> };

type Exported = { readonly name: string; readonly from: string };

/**
 * The text of one file that declares what `entry` exports. `files` by path, as the compiler wrote them.
 * @throws Error for what it does not understand, and when two needed declarations have one name
 */
export function bundleDeclarations(files: ReadonlyMap<string, string>, entry: string): string {
  const exported = [
    ...(files.get(entry) ?? "").matchAll(/^export (?:type )?\{([^}]*)\} from "([^"]+)";$/gm),
  ].flatMap(([, names = "", path = ""]) =>
    names
      .split(",")
      .map((name) => name.replace(/\btype\b/, "").trim())
      .filter((name) => name !== "")
      .map((name): Exported => ({ name, from: declarationFile(entry, path) })),
  );
  const parsed = new Map([...files].map(([path, text]) => [path, parseFile(path, text)]));
  const taken = new Map<string, string>();
  const kept: string[] = [];
  const queue = [...exported];
  const publicNames = new Set(exported.map(({ name }) => name));
  for (let wanted = queue.shift(); wanted !== undefined; wanted = queue.shift()) {
    const owner = taken.get(wanted.name);
    if (owner === wanted.from) continue;
    if (owner !== undefined) throw new Error(`${wanted.name} is declared in ${owner} and in ${wanted.from}`);
    taken.set(wanted.name, wanted.from);
    const file = parsed.get(wanted.from);
    const declarations = file?.declarations.filter(({ name }) => name === wanted.name) ?? [];
    if (file === undefined || declarations.length === 0)
      throw new Error(`${wanted.from} does not declare ${wanted.name}`);
    for (const { text, words } of declarations) {
      kept.push(publicNames.has(wanted.name) ? exportIt(text) : text);
      for (const word of words) {
        const imported = file.imports.get(word);
        if (imported !== undefined) queue.push({ name: word, from: imported });
        else if (file.declarations.some(({ name }) => name === word))
          queue.push({ name: word, from: wanted.from });
      }
    }
  }
  return `${kept.join("\n\n")}\n\nexport {};\n`;
}

type ParsedFile = {
  readonly declarations: readonly Declaration[];
  /** Name → the file it comes from. */
  readonly imports: ReadonlyMap<string, string>;
};

function parseFile(path: string, text: string): ParsedFile {
  const imports = new Map<string, string>();
  const declarations: Declaration[] = [];
  for (const statement of statements(text)) {
    const code = withoutComments(statement);
    const imported = /^import (?:type )?\{([^}]*)\} from "(\.[^"]+)";$/.exec(code);
    if (imported !== null) {
      for (const name of (imported[1] ?? "").split(","))
        imports.set(name.replace(/\btype\b/, "").trim(), declarationFile(path, imported[2] ?? ""));
      continue;
    }
    const declared =
      /^(?:export )?(?:declare )?(?:abstract )?(?:class|interface|type|const|function) ([A-Za-z_$][\w$]*)/.exec(
        code,
      );
    if (declared?.[1] === undefined) continue; // other packages' imports and re-exports: not understood if they were needed
    declarations.push({
      name: declared[1],
      text: statement.trim().replace(/^((?:\/\*[\s\S]*?\*\/\s*)*)export /, "$1"),
      words: new Set(code.match(/[A-Za-z_$][\w$]*/g) ?? []),
    });
  }
  return { declarations, imports };
}

/** What ends with its closing brace, without a semicolon. */
const HAS_BODY = /^(?:export )?(?:declare )?(?:abstract )?(?:class|interface)\b/;

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").trim();
}

/** Cuts at the ends of top-level statements: a `;`, or the `}` of a body, outside of all brackets, texts and comments. */
function statements(text: string): string[] {
  const found: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const two = text.slice(i, i + 2);
    if (two === "/*") i = text.indexOf("*/", i) + 1;
    else if (two === "//") i = text.indexOf("\n", i);
    else if (text[i] === '"') i = text.indexOf('"', i + 1);
    else if ("{([".includes(text[i] ?? " ")) depth += 1;
    else if ("})]".includes(text[i] ?? " ")) depth -= 1;
    const body = text[i] === "}" && depth === 0 && HAS_BODY.test(withoutComments(text.slice(start, i)));
    if (depth === 0 && (text[i] === ";" || body)) {
      found.push(text.slice(start, i + 1));
      start = i + 1;
    }
  }
  return found;
}

/** `./hardware/manager.ts` as imported from `path` → the path of its declarations. */
function declarationFile(path: string, imported: string): string {
  return join(dirname(path), imported.replace(/\.ts$/, ".d.ts"));
}

function exportIt(text: string): string {
  return text.replace(/^((?:\/\*[\s\S]*?\*\/\s*)*)/, "$1export ");
}
