import { CodedError } from "@flowcatalyst/foundation";
import { jsonFaultOffset, placeOf } from "./json-fault.ts";

/**
 * JSON without loss. `JSON.parse` reads numbers as doubles, so 12345678901234567890 would come out changed; a body that
 * may hold such a number is parsed again with each of them kept as it was written, and `JSON.stringify` writes it so.
 * Such a number is then an object for whoever looks at it, which is right for data that is only passed on.
 */

/** A number at the place of a value with sixteen digits or more, or an exponent. Strings may match too: harmless. */
const longNumberPattern = /(?:^|[:,[\s])-?(?:[\d.]{16}|\d[\d.]*[eE])/;

/** Deeper nesting is refused: recursive code further on must not run out of stack. */
export const jsonMaxDepth = 500;

/** Throws MALFORMED_JSON. */
export function parseJson(text: string): unknown {
  try {
    return longNumberPattern.test(text) ? JSON.parse(text, keepLongNumber) : JSON.parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.replace(/^JSON Parse error: /, "") : "not JSON";
    const { line, column } = placeOf(text, jsonFaultOffset(text));
    const message = `The body is not valid JSON at line ${line}, column ${column}: ${reason}.`;
    throw new CodedError("MALFORMED_JSON", { message, cause });
  }
}

/** True when the text is one JSON object or array. */
export function holdsJsonStructure(text: string): boolean {
  const first = firstVisible(text);
  if (first !== 0x7b && first !== 0x5b) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** True when objects and arrays are nested deeper than a delivery may be. */
export function tooDeep(jsonText: string): boolean {
  // A shorter text cannot open and close that many.
  if (jsonText.length <= 2 * jsonMaxDepth) return false;
  let depth = 0;
  let inString = false;
  for (let at = 0; at < jsonText.length; at++) {
    const code = jsonText.charCodeAt(at);
    if (inString) {
      if (code === 0x5c) at++;
      else if (code === 0x22) inString = false;
    } else if (code === 0x22) inString = true;
    else if (code === 0x7b || code === 0x5b) {
      if (++depth > jsonMaxDepth) return true;
    } else if (code === 0x7d || code === 0x5d) depth--;
  }
  return false;
}

function firstVisible(text: string): number {
  let at = 0;
  while (at < text.length && text.charCodeAt(at) <= 0x20) at++;
  return text.charCodeAt(at);
}

interface ReviverContext {
  readonly source?: string;
}

/** ES2026; not in the compiler's library yet. */
const rawJson = (text: string): unknown => (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(text);

function keepLongNumber(_key: string, value: unknown, context?: ReviverContext): unknown {
  if (typeof value !== "number" || context?.source === undefined) return value;
  return String(value) === context.source || !needsSource(value, context.source) ? value : rawJson(context.source);
}

/** Spellings such as 1.0 or 1e3 say the same as what JavaScript writes; only lost digits need the source. */
function needsSource(value: number, source: string): boolean {
  return !Number.isFinite(value) || source.replace(/[^\d]/g, "").replace(/^0+/, "").length > 15;
}
