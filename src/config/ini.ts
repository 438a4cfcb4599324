// Configuration files: the INI dialect of oslo.config, which has its own rules for continuation lines, quotes and
// comments. Source: control-plane specification 2.3, checked against oslo.config's iniparser.

export type IniEntry = {
  /** As written, without brackets. */
  readonly section: string;
  readonly key: string;
  /** Continuation lines joined with newlines; `$name` not yet replaced. */
  readonly value: string;
  /** First line of the entry, from 1. */
  readonly line: number;
};

/** The file is not in the dialect. */
export class IniError extends Error {
  readonly line: number;

  constructor(message: string, line: number) {
    super(message);
    this.line = line;
  }
}

/** All pairs in the order of the file. @throws IniError */
export function parseIni(text: string): IniEntry[] {
  const entries: IniEntry[] = [];
  let section: string | null = null;
  let open: { section: string; key: string; values: string[]; line: number } | null = null;
  const close = () => {
    if (open !== null) {
      const { values, ...entry } = open;
      entries.push({ ...entry, value: values.join("\n") });
    }
    open = null;
  };
  for (const [index, raw] of text.split(/\r\n|\n|\r/).entries()) {
    const number = index + 1;
    const line = raw.trimEnd();
    if (line.startsWith(" ") || line.startsWith("\t")) {
      if (open === null) throw new IniError("an indented line continues nothing", number);
      open.values.push(line.trimStart());
      continue;
    }
    close();
    if (line === "" || line.startsWith("#") || line.startsWith(";")) continue;
    if (line.startsWith("[")) {
      section = sectionName(line, number);
      continue;
    }
    const pair = splitPair(line, number);
    if (section === null) throw new IniError(`"${pair.key}" stands before the first [section]`, number);
    open = { section, key: pair.key, values: [pair.value], line: number };
  }
  close();
  return entries;
}

function sectionName(line: string, number: number): string {
  if (!line.endsWith("]")) throw new IniError("a section must end with ]", number);
  if (line.length <= 2) throw new IniError("a section needs a name", number);
  return line.slice(1, -1);
}

function splitPair(line: string, number: number): { key: string; value: string } {
  const at = line.search(/[=:]/);
  // The text of the line stays out of the message: it may be half of a secret.
  if (at < 0) throw new IniError("expected name = value", number);
  const key = line.slice(0, at).trim();
  if (key === "") throw new IniError("a name must stand before = or :", number);
  return { key, value: unquote(line.slice(at + 1).trim()) };
}

/** One pair of equal quotes round the whole value is decoration. */
function unquote(value: string): string {
  const quoted = value.length >= 2 && value[0] === value.at(-1) && /^["']/.test(value);
  return quoted ? value.slice(1, -1) : value;
}
