import { CodedError } from "@flowcatalyst/foundation";

/**
 * Keyset cursors: the sort key of the last row given, as base64url of JSON. Callers treat them as opaque; what comes
 * back is checked for shape only, since any key is a valid place to go on from and scopes are applied to every page.
 */
export type CursorKey = readonly (string | number)[];

export function encodeCursor(key: CursorKey): string {
  return Buffer.from(JSON.stringify(key)).toString("base64url");
}

/** `shape` tells the types of the parts, e.g. `["string"]`; numbers are whole. Throws CURSOR_INVALID. */
export function decodeCursor(cursor: string, shape: readonly ("string" | "number")[]): CursorKey {
  const key = parse(Buffer.from(cursor, "base64url").toString());
  if (!Array.isArray(key) || key.length !== shape.length) throw new CodedError("CURSOR_INVALID");
  const parts = key as readonly unknown[];
  if (parts.some((part, index) => !hasShape(part, shape[index]))) throw new CodedError("CURSOR_INVALID");
  return parts as CursorKey;
}

function hasShape(part: unknown, type: "string" | "number" | undefined): boolean {
  return typeof part === type && (typeof part !== "number" || Number.isSafeInteger(part));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
