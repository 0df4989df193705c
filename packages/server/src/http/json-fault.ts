/**
 * Where a text stops being JSON: the offset of the first character that cannot be there, or its length if the text
 * ends too soon. The runtime's parser says what it met but not where, and in a batch that is what one wants to know.
 * Runs only when parsing has failed.
 */
export function jsonFaultOffset(text: string): number {
  const open: ("{" | "[")[] = [];
  let expected: Expected = "value";
  let at = skipSpace(text, 0);
  while (at < text.length) {
    const step = nextStep(text, at, { expected, open });
    if (step === null) return at;
    if (step.stopsAt !== undefined) return step.stopsAt;
    expected = step.expected;
    at = skipSpace(text, step.end);
  }
  return text.length;
}

/** Line and column of an offset, both from 1. */
export function placeOf(text: string, offset: number): { readonly line: number; readonly column: number } {
  const before = text.slice(0, offset);
  const lineStart = before.lastIndexOf("\n") + 1;
  return { line: before.split("\n").length, column: offset - lineStart + 1 };
}

type Expected = "value" | "valueOrEnd" | "key" | "keyOrEnd" | "colon" | "commaOrEnd" | "nothing";

interface Place {
  readonly expected: Expected;
  /** What is open around the place; changed by brackets. */
  readonly open: ("{" | "[")[];
}

interface Step {
  readonly end: number;
  readonly expected: Expected;
  /** Set when the fault lies inside a token. */
  readonly stopsAt?: number;
}

const stringPattern = /"(?:[ !#-[\]-\uffff]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*/y;
const scalarPattern = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

function nextStep(text: string, at: number, { expected, open }: Place): Step | null {
  const char = text[at];
  const isEnd = (char === "}" && open.at(-1) === "{") || (char === "]" && open.at(-1) === "[");
  if (isEnd && (expected === "commaOrEnd" || expected === "valueOrEnd" || expected === "keyOrEnd")) {
    open.pop();
    return { end: at + 1, expected: afterValue(open) };
  }
  switch (expected) {
    case "value":
    case "valueOrEnd":
      return value(text, at, open);
    case "key":
    case "keyOrEnd":
      return char === '"' ? stringEnd(text, at, "colon") : null;
    case "colon":
      return char === ":" ? { end: at + 1, expected: "value" } : null;
    case "commaOrEnd":
      return char === "," ? { end: at + 1, expected: open.at(-1) === "{" ? "key" : "value" } : null;
    case "nothing":
      return null;
  }
}

function value(text: string, at: number, open: ("{" | "[")[]): Step | null {
  const char = text[at];
  if (char === '"') return stringEnd(text, at, afterValue(open));
  if (char === "{" || char === "[") {
    open.push(char);
    return { end: at + 1, expected: char === "{" ? "keyOrEnd" : "valueOrEnd" };
  }
  const end = matchEnd(scalarPattern, text, at);
  return end === null ? null : { end, expected: afterValue(open) };
}

function stringEnd(text: string, at: number, expected: Expected): Step {
  const end = matchEnd(stringPattern, text, at) ?? at;
  return text[end] === '"' && end > at ? { end: end + 1, expected } : { end, expected, stopsAt: end };
}

function matchEnd(pattern: RegExp, text: string, at: number): number | null {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : null;
}

function afterValue(open: readonly string[]): Expected {
  return open.length === 0 ? "nothing" : "commaOrEnd";
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && " \t\n\r".includes(text.charAt(at))) at++;
  return at;
}
