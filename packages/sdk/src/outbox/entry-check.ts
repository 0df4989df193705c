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

/** RFC 3339 of a Date or of text that is one already; undefined if absent. */
export function optionalTime(value: unknown, path: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  const date = value instanceof Date ? value : new Date(requiredText(value, path, 64));
  if (Number.isNaN(date.getTime())) throw new TypeError(`${path}: must be a time, like 2026-01-31T12:00:00.000Z`);
  return typeof value === "string" ? value : date.toISOString();
}

/** JSON of it; undefined if there is none (undefined, a function). */
export function jsonAt(value: unknown, path: string): string | undefined {
  try {
    return JSON.stringify(value);
  } catch (error) {
    // A circle, or a BigInt.
    throw new TypeError(`${path}: cannot be written as JSON: ${String(error)}`, { cause: error });
  }
}

/** The number of bytes of the data, checked. */
export function checkData(value: unknown, path: string): void {
  if (value === undefined || value === null) return;
  const bytes = byteLength(typeof value === "string" ? value : (jsonAt(value, path) ?? ""));
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
