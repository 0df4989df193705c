import { headerNames, wireLimits } from "@flowcatalyst/contracts";
import { CodedError } from "@flowcatalyst/foundation";
import type { BodyReader } from "../http/body-reader.ts";
import { parseJson } from "../http/json-text.ts";
import { unknownFieldMessage, validationError, type TaggedFault } from "../http/validation.ts";
import type { IdempotentAnswers } from "./idempotent-answers.ts";
import { requireJson, type PlatformContext } from "./mount.ts";

/**
 * Bodies that hold a list in one of two forms: all or nothing under a name of its own, or each for itself as `items`.
 */

export interface BodyDeps {
  readonly bodies: BodyReader;
  readonly idempotentAnswers: IdempotentAnswers;
}

/** Answers a JSON body, once under its `Idempotency-Key` if it has one. */
export async function answerJson(
  deps: BodyDeps,
  c: PlatformContext,
  answer: (body: unknown) => Promise<Response>,
): Promise<Response> {
  requireJson(c.req.header(headerNames.contentType));
  const text = await deps.bodies.text(c.req.raw);
  return keyed(deps, { c, text }, () => answer(parseJson(text)));
}

export interface Keyed {
  readonly c: PlatformContext;
  readonly text: string;
}

/** What is posted may have keys of its own in the body; the header works on it all the same. */
export function keyed(
  { idempotentAnswers }: Pick<BodyDeps, "idempotentAnswers">,
  { c, text }: Keyed,
  run: () => Promise<Response>,
): Promise<Response> {
  const key = c.req.header(headerNames.idempotencyKey);
  return key === undefined ? run() : idempotentAnswers.once({ key, text, c, again: null }, run);
}

export type BatchMembers =
  | { readonly kind: "whole"; readonly values: readonly unknown[] }
  | { readonly kind: "items"; readonly values: readonly unknown[] };

/** Exactly one of `whole` and `items`, and nothing else. `whole` null: there is no such form. Throws. */
export function batchMembers(body: unknown, whole: string | null): BatchMembers {
  const names = whole === null ? "items" : `${whole} or items`;
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw validationError([{ path: "", message: `must be an object with ${names}` }]);
  }
  const { items, ...rest } = body as Readonly<Record<string, unknown>>;
  const faults: TaggedFault[] = Object.keys(rest)
    .filter((path) => path !== whole)
    .map((path) => ({ path, message: unknownFieldMessage, unknownField: true }));
  const given = whole === null ? undefined : rest[whole];
  if (given === undefined && items === undefined) faults.push({ path: whole ?? "items", message: "is required" });
  if (given !== undefined && items !== undefined) {
    faults.push({ path: "items", message: `must not stand beside ${whole}` });
  }
  if (given !== undefined && !Array.isArray(given)) faults.push({ path: whole ?? "", message: "must be an array" });
  if (items !== undefined && !Array.isArray(items)) faults.push({ path: "items", message: "must be an array" });
  if (faults.length > 0) throw validationError(faults);
  if (Array.isArray(given)) return { kind: "whole", values: given };
  return { kind: "items", values: Array.isArray(items) ? items : [] };
}

/** Throws VALIDATION_FAILED for an empty list, BATCH_TOO_LARGE for one that is too long. */
export function requireItemCount(count: number, what: string, maxItems: number): void {
  if (count === 0) throw validationError([{ path: "items", message: "must not be empty" }]);
  if (count <= maxItems) return;
  const message = `A batch has at most ${maxItems} ${what}; this one has ${count}.`;
  throw new CodedError("BATCH_TOO_LARGE", { message, errors: [{ path: "items", message }] });
}

/** Refused as a whole: an item that is told to come back would come back with as much. Throws PAYLOAD_TOO_LARGE. */
export function requireBatchBytes(texts: Iterable<string | null>, what: string): void {
  let bytes = 0;
  for (const text of texts) bytes += text === null ? 0 : Buffer.byteLength(text);
  if (bytes <= wireLimits.batchMaxBytes) return;
  throw new CodedError("PAYLOAD_TOO_LARGE", { message: `The ${what} of a batch must be at most 32 MiB together.` });
}
