import { CodedError } from "@flowcatalyst/foundation";
import { jsonFaultOffset, placeOf } from "./json-fault.ts";

/**
 * JSON without loss. `JSON.parse` reads numbers as doubles, so 12345678901234567890 would come out changed; a body that
 * may hold such a number is parsed again with each of them kept as it was written, and `JSON.stringify` writes it so.
 * Such a number is then an object for whoever looks at it, which is right for data that is only passed on.
 */

/** A number at the place of a value with sixteen digits or more, or an exponent. Strings may match too: harmless. */
const longNumberPattern = /(?:^|[:,[\s])-?(?:[\d.]{16}|\d[\d.]*[eE])/;

/** Deeper nesting of data is refused: recursive code further on must not run out of stack. */
export const jsonMaxDepth = 500;
/** Of a whole body: data of the greatest depth, and what it may lie in (a batch, its list, an event). */
const bodyMaxDepth = jsonMaxDepth + 4;
/** The place of a fault is looked for in texts up to this size: it costs many times what parsing does. */
const placeMaxChars = 1_048_576;

/** Throws MALFORMED_JSON, and VALIDATION_FAILED for what is nested too deeply to be parsed safely. */
export function parseJson(text: string): unknown {
  if (tooDeep(text, bodyMaxDepth)) {
    const message = `must not be nested deeper than ${bodyMaxDepth}`;
    throw new CodedError("VALIDATION_FAILED", {
      message: `The body ${message}.`,
      errors: [{ path: "", message }],
    });
  }
  try {
    return longNumberPattern.test(text) ? JSON.parse(text, keepLongNumber) : JSON.parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.replace(/^JSON Parse error: /, "") : "not JSON";
    throw new CodedError("MALFORMED_JSON", {
      message: `The body is not valid JSON${placeText(text)}: ${reason}.`,
      cause,
    });
  }
}

function placeText(text: string): string {
  if (text.length > placeMaxChars) return "";
  const { line, column } = placeOf(text, jsonFaultOffset(text));
  return ` at line ${line}, column ${column}`;
}

/** True when the text is one JSON object or array. */
export function holdsJsonStructure(text: string): boolean {
  const first = firstVisible(text);
  if (first !== 0x7b && first !== 0x5b) return false;
  // Not worth the time: whoever asks refuses it for its depth.
  if (tooDeep(text)) return true;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** True when objects and arrays are nested deeper than a delivery may be, or than `maxDepth`. */
export function tooDeep(jsonText: string, maxDepth: number = jsonMaxDepth): boolean {
  // A shorter text cannot open that many.
  if (jsonText.length <= maxDepth) return false;
  let depth = 0;
  let inString = false;
  for (let at = 0; at < jsonText.length; at++) {
    const code = jsonText.charCodeAt(at);
    if (inString) {
      if (code === 0x5c) at++;
      else if (code === 0x22) inString = false;
    } else if (code === 0x22) inString = true;
    else if (code === 0x7b || code === 0x5b) {
      if (++depth > maxDepth) return true;
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
