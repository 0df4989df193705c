import { textWithoutPasswords } from "./address.ts";
import { CodedError } from "./coded-error.ts";
import { isSecretKey } from "./secret-keys.ts";

/** What stands where a secret was. */
export const REDACTED = "[redacted]";

/** Deeper objects are cut in a log line: a log is for reading, and a cycle must end somewhere. */
const MAX_DEPTH = 6;
const MAX_ITEMS = 100;
/** Longer texts are cut in a log line. */
const MAX_TEXT_CHARS = 8_192;

/** Webhook secrets, and passwords inside addresses, are taken out of any text, whatever its key is called. */
const WEBHOOK_SECRET = /whsec_[A-Za-z0-9+/=_-]+/g;

/** A text without the webhook secrets and URL passwords in it. */
export function redactText(text: string): string {
  const short = text.length > MAX_TEXT_CHARS ? `${text.slice(0, MAX_TEXT_CHARS)}…` : text;
  return textWithoutPasswords(short.replaceAll(WEBHOOK_SECRET, `whsec_${REDACTED}`), REDACTED);
}

/** Fields ready for a log line: secrets gone, errors as plain objects with their causes, depth and size bounded. */
export function redactFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return redactObject(fields, 0);
}

function redactObject(object: Readonly<Record<string, unknown>>, depth: number): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(object)) {
    result[key] = isSecretKey(key) && value !== undefined && value !== null ? REDACTED : redactValue(value, depth + 1);
  }
  return result;
}

function redactValue(value: unknown, depth: number): unknown {
  if (typeof value === "string") return redactText(value);
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object" || value === null) return value;
  if (depth > MAX_DEPTH) return "…";
  if (value instanceof Error) return plainError(value, depth);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
  if (value instanceof URL) return redactText(value.href);
  if (value instanceof Uint8Array) return `${value.byteLength} bytes`;
  if (value instanceof Map || value instanceof Set) return `${value.constructor.name} of ${value.size}`;
  if (Array.isArray(value)) {
    const items: unknown[] = value.slice(0, MAX_ITEMS);
    const shown = items.map((item) => redactValue(item, depth + 1));
    return value.length > MAX_ITEMS ? [...shown, `… ${value.length - MAX_ITEMS} more`] : shown;
  }
  return redactObject(value as Record<string, unknown>, depth);
}

function plainError(error: Error, depth: number): Record<string, unknown> {
  const system = error as Error & { readonly code?: unknown };
  return {
    name: error.name,
    ...(system.code === undefined ? {} : { code: system.code }),
    message: redactText(error.message),
    ...(error instanceof CodedError && Object.keys(error.context).length > 0
      ? { context: redactValue(error.context, depth + 1) }
      : {}),
    ...(error instanceof CodedError && error.errors !== undefined
      ? { errors: redactValue(error.errors, depth + 1) }
      : {}),
    ...(error.stack === undefined ? {} : { stack: redactText(error.stack) }),
    ...(error.cause === undefined ? {} : { cause: redactValue(error.cause, depth + 1) }),
  };
}
