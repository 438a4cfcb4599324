// The little language of root device hints ("<or> a <or> b", ">= 50", "s== x"), with the reference's rules
// down to its odd ones, because operators have hints in their databases that rely on them: `=` means "at
// least", text and numbers never compare equal, and what follows a complete expression is ignored. Source:
// oslo.utils specs_matcher and ironic-lib; hardware specification 3.3.

/** In the order they are tried: `==` before `=`, and `s<=` before `s<`. */
const UNARY_OPERATORS = [
  "==",
  "=",
  "!=",
  "<in>",
  ">=",
  "<=",
  ">",
  "<",
  "s==",
  "s!=",
  "s<=",
  "s<",
  "s>=",
  "s>",
];
const OR = "<or>";
const ALL_IN = "<all-in>";

/** The expression makes no sense for the value it is compared with, or no sense at all. */
export class HintExpressionError extends Error {}

/** `operator` is empty for a plain value. */
export type HintExpression = { readonly operator: string; readonly values: readonly string[] };

/**
 * Reads one expression from the start of `text`; anything after it is ignored.
 * @throws HintExpressionError if there is an operator without a value, or nothing.
 */
export function parseExpression(text: string): HintExpression {
  const input = new Input(text);
  const alternatives = input.list(OR);
  if (alternatives.length > 0) return { operator: OR, values: alternatives };
  if (input.take(ALL_IN)) {
    const values = input.atoms();
    if (values.length > 0) return { operator: ALL_IN, values };
    input.rewind();
  }
  const operator = UNARY_OPERATORS.find((candidate) => input.take(candidate)) ?? "";
  const value = input.atom();
  if (value === null) throw new HintExpressionError(`"${text}" has no value to compare with`);
  return { operator, values: [value] };
}

/**
 * Compares a device's value with an expression. A plain value must be equal.
 * @throws HintExpressionError when the operator cannot be applied to these values.
 */
export function matchExpression(actual: string | number, { operator, values }: HintExpression): boolean {
  const value = values[0] ?? "";
  const text = () => {
    if (typeof actual === "string") return actual;
    throw new HintExpressionError(`"${operator}" compares text, and this is a number`);
  };
  switch (operator) {
    case "":
    case "s==":
      return actual === value;
    case "s!=":
      return actual !== value;
    case OR:
      return values.some((alternative) => alternative === actual);
    case "<in>":
      return text().includes(value);
    case "s<":
      return text() < value;
    case "s<=":
      return text() <= value;
    case "s>":
      return text() > value;
    case "s>=":
      return text() >= value;
    case ALL_IN:
      throw new HintExpressionError(`"${ALL_IN}" needs a list, which no root device hint is`);
    default:
      return compareNumbers(operator, number(actual), number(value));
  }
}

function compareNumbers(operator: string, actual: number, wanted: number): boolean {
  switch (operator) {
    case "==":
      return actual === wanted;
    case "!=":
      return actual !== wanted;
    case "<":
      return actual < wanted;
    case "<=":
      return actual <= wanted;
    case ">":
      return actual > wanted;
    default:
      // `=` is `>=` since the first days of the language.
      return actual >= wanted;
  }
}

/** What the reference's language takes for a number: decimal, underscores between digits, inf, nan. */
function number(value: string | number): number {
  if (typeof value === "number") return value;
  const text = value.trim().toLowerCase();
  const special = /^([+-]?)(inf|infinity|nan)$/.exec(text);
  if (special !== null) {
    if (special[2] === "nan") return Number.NaN;
    return special[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }
  const digits = "\\d+(?:_\\d+)*";
  if (!new RegExp(`^[+-]?(?:${digits}\\.?(?:${digits})?|\\.${digits})(?:e[+-]?${digits})?$`).test(text)) {
    throw new HintExpressionError(`"${value}" is not a number`);
  }
  return Number(text.replaceAll("_", ""));
}

/** A cursor over the text. White space before a token does not matter. */
class Input {
  readonly #text: string;
  #position = 0;

  constructor(text: string) {
    this.#text = text;
  }

  rewind(): void {
    this.#position = 0;
  }

  /** Moves behind `token` if it is next. */
  take(token: string): boolean {
    const start = this.#afterBlanks();
    if (!this.#text.startsWith(token, start)) return false;
    this.#position = start + token.length;
    return true;
  }

  /** A run of non-blank characters that does not begin with an operator; null if there is none. */
  atom(): string | null {
    const start = this.#afterBlanks();
    const operators = [...UNARY_OPERATORS, ALL_IN, OR];
    if (operators.some((operator) => this.#text.startsWith(operator, start))) return null;
    const match = /^\S+/.exec(this.#text.slice(start));
    if (match === null) return null;
    this.#position = start + match[0].length;
    return match[0];
  }

  atoms(): string[] {
    const found: string[] = [];
    for (let next = this.atom(); next !== null; next = this.atom()) found.push(next);
    return found;
  }

  /** The atoms of `token atom token atom …`, as many as there are complete pairs. */
  list(token: string): string[] {
    const found: string[] = [];
    for (;;) {
      const before = this.#position;
      const value = this.take(token) ? this.atom() : null;
      if (value === null) {
        this.#position = before;
        return found;
      }
      found.push(value);
    }
  }

  #afterBlanks(): number {
    let position = this.#position;
    while (" \t\n\r".includes(this.#text[position] ?? "x")) position += 1;
    return position;
  }
}
