import { validationError } from "../http/validation.ts";

/**
 * A query member that may be repeated or hold several values with commas; undefined: not given. Throws
 * VALIDATION_FAILED when there are more than are looked at.
 */
export function manyTexts(path: string, value: string | readonly string[] | undefined): readonly string[] | undefined {
  if (value === undefined) return undefined;
  const parts = (typeof value === "string" ? [value] : value).flatMap((text) => text.split(","));
  const texts = parts.map((text) => text.trim()).filter((text) => text !== "");
  if (texts.length > maxTexts) throw validationError([{ path, message: `must have at most ${maxTexts} values` }]);
  return texts.length === 0 ? undefined : texts;
}

/** Values of one query member that are looked at. */
const maxTexts = 100;

/** How a query names what belongs to no client. */
const platformClient = "null";

/** Clients a search asks for; `null` stands for what is of the platform. */
export function clientIdsOf(value: string | readonly string[] | undefined): {
  readonly clientIds?: readonly (string | null)[];
} {
  const texts = manyTexts("clientId", value);
  return texts === undefined ? {} : { clientIds: texts.map(clientIdOf) };
}

/** The client that a query names. */
export function clientIdOf(text: string): string | null {
  return text === platformClient ? null : text;
}
