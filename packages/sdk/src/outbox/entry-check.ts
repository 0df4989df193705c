import { outboxLimits } from "./outbox-limits.ts";

/**
 * Checks of entries before they become rows. A fault names the place and says what would be right: TypeError for what
 * has the wrong form, RangeError for what is too long or too large. Nothing was written then.
 */

/** The text at `path`; undefined if it is absent, which null means too. */
export function optionalText(value: unknown, path: string, maxChars: number): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw new TypeError(`${path}: must be text, not ${kindOf(value)}`);
  if (value.length > maxChars) {
    throw new RangeError(`${path}: ${value.length} characters; at most ${maxChars} are taken`);
  }
  if (value.includes("\0")) throw new TypeError(`${path}: must not hold the character NUL`);
  if (isWellFormed(value)) return value;
  throw new TypeError(`${path}: must not hold half of a surrogate pair`);
}

/** As optionalText, and neither absent nor empty. */
export function requiredText(value: unknown, path: string, maxChars: number): string {
  const text = optionalText(value, path, maxChars);
  if (text === undefined || text === "") throw new TypeError(`${path}: must be given, and not be empty`);
  return text;
}

/** As optionalText, and not empty. */
export function optionalKey(value: unknown, path: string, maxChars: number = outboxLimits.keyMaxChars) {
  return value === undefined || value === null ? undefined : requiredText(value, path, maxChars);
}

/** RFC 3339 with a zone, as the platform reads it; `Date` takes much more. */
const timePattern = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})$/;

/** RFC 3339 of a Date or of text that is one already; undefined if absent. */
export function optionalTime(value: unknown, path: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  const text = value instanceof Date ? timeText(value) : requiredText(value, path, 64);
  if (timePattern.test(text) && !Number.isNaN(Date.parse(text))) return text;
  throw new TypeError(`${path}: must be a time with its zone, like 2026-01-31T12:00:00.000Z`);
}

/** Years before 0 and after 9999 have another form, which is none of RFC 3339. */
function timeText(date: Date): string {
  return Number.isNaN(date.getTime()) ? "" : date.toISOString();
}

/** A URL that will be called as it is written. */
export function requiredUrl(value: unknown, path: string): string {
  const url = requiredText(value, path, outboxLimits.urlMaxChars);
  if (!/[\s\p{Cc}]/u.test(url)) return url;
  throw new TypeError(`${path}: must not have spaces or control characters`);
}

/** What a `content-type` header can carry; undefined if absent. */
export function optionalContentType(value: unknown, path: string): string | undefined {
  const type = optionalKey(value, path);
  if (type === undefined || /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(type)) return type;
  throw new TypeError(`${path}: must be visible ASCII, like application/json`);
}

export function checkContextData(value: unknown, path: string): void {
  if (value === undefined || value === null) return;
  if (!Array.isArray(value)) throw new TypeError(`${path}: must be a list`);
  if (value.length > outboxLimits.contextDataMaxItems) {
    throw new RangeError(`${path}: at most ${outboxLimits.contextDataMaxItems} items are taken`);
  }
  for (const [at, item] of value.entries()) {
    const { key, value: text } = (typeof item === "object" && item !== null ? item : {}) as Record<string, unknown>;
    requiredText(key, `${path}[${at}].key`, outboxLimits.keyMaxChars);
    if (optionalText(text, `${path}[${at}].value`, outboxLimits.contextValueMaxChars) === undefined) {
      throw new TypeError(`${path}[${at}].value: must be text`);
    }
  }
}

/** JSON of what is not undefined. */
export function jsonAt(value: unknown, path: string): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    // A circle, or a BigInt.
    throw new TypeError(`${path}: cannot be written as JSON: ${String(error)}`, { cause: error });
  }
  if (text !== undefined) return text;
  // It would be left out, and nobody would know.
  throw new TypeError(`${path}: cannot be written as JSON: it is a function, a symbol, or says that it is nothing`);
}

/** Checks what is to be sent as data, if there is any. */
export function checkData(value: unknown, path: string): void {
  if (value === undefined || value === null) return;
  const bytes = byteLength(typeof value === "string" ? value : jsonAt(value, path));
  if (bytes > outboxLimits.dataMaxBytes) {
    throw new RangeError(`${path}: ${bytes} bytes; at most ${outboxLimits.dataMaxBytes} are taken`);
  }
}

export function checkMembers(entry: object, known: ReadonlySet<string>, path: string): void {
  const stranger = Object.keys(entry).find((member) => !known.has(member));
  if (stranger !== undefined)
    throw new TypeError(`${path}.${stranger}: no such member; known: ${[...known].join(", ")}`);
}

export function byteLength(text: string): number {
  return encoder.encode(text).length;
}

const encoder = new TextEncoder();

function isWellFormed(text: string): boolean {
  return !/[\ud800-\udfff]/u.test(text);
}

function kindOf(value: unknown): string {
  return Array.isArray(value) ? "a list" : typeof value;
}
