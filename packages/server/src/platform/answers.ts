import { headerNames, mediaTypes } from "@flowcatalyst/contracts";
import { CodedError } from "@flowcatalyst/foundation";
import type { Page } from "../ports/settings.ts";
import type { SearchPage, SearchPaging } from "../ports/search.ts";

/** The answers that all resources have in common. */

const jsonHeaders = { [headerNames.contentType]: mediaTypes.json } as const;

export function jsonAnswer(body: unknown, status = 200): Response {
  return new Response(JSON.stringify(body), { status, headers: jsonHeaders });
}

/** An answer whose text is JSON already. */
export function jsonTextAnswer(text: string, status = 200): Response {
  return new Response(text, { status, headers: jsonHeaders });
}

export function emptyAnswer(): Response {
  return new Response(null, { status: 204 });
}

/** An entity with its version as the tag to send in `If-Match`. */
export function entityAnswer(entity: { readonly version: number }, status = 200): Response {
  const headers = { ...jsonHeaders, [headerNames.etag]: `"${entity.version}"` };
  return new Response(JSON.stringify(entity), { status, headers });
}

/** 201 with the entity and where it is; 200 when a key showed that it was made before. */
export function createdAnswer(
  entity: { readonly id: string; readonly version?: number },
  location: string,
  repeated = false,
): Response {
  const response = createdTextAnswer(JSON.stringify(entity), location, repeated);
  if (entity.version !== undefined) response.headers.set(headerNames.etag, `"${entity.version}"`);
  return response;
}

/** The same of an entity that is JSON text already. */
export function createdTextAnswer(text: string, location: string, repeated = false): Response {
  const headers = { ...jsonHeaders, [headerNames.location]: location };
  return new Response(text, { status: repeated ? 200 : 201, headers });
}

export function listAnswer<Item, Wire>(page: Page<Item>, toWire: (item: Item) => Wire): Response {
  return jsonAnswer({
    items: page.items.map(toWire),
    ...(page.nextCursor === null ? {} : { nextCursor: page.nextCursor }),
    ...(page.total === null ? {} : { total: page.total }),
  });
}

/** The members of a numbered page besides its items. */
export function searchMembers(found: SearchPage<unknown>, paging: SearchPaging): Readonly<Record<string, unknown>> {
  return {
    page: paging.page,
    size: paging.size,
    totalItems: found.totalItems,
    totalPages: Math.ceil(found.totalItems / paging.size),
    ...(found.totalIsLowerBound ? { totalIsLowerBound: true } : {}),
  };
}

/** The same answer for what does not exist and for what belongs to another tenant. */
export function notFound(what: string, id: string): CodedError {
  return new CodedError("NOT_FOUND", { message: `There is no ${what} ${id.slice(0, shownIdMaxChars)}.` });
}

const shownIdMaxChars = 100;

/** What came is there, else NOT_FOUND. */
export function found<Entity>(entity: Entity | null, what: string, id: string): Entity {
  if (entity === null) throw notFound(what, id);
  return entity;
}
