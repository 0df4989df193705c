import { createHash } from "node:crypto";
import { headerNames } from "@flowcatalyst/contracts";
import { CodedError, type Clock } from "@flowcatalyst/foundation";
import type { IdempotencyStore, StoredAnswer } from "../ports/idempotency.ts";
import type { PlatformContext } from "./mount.ts";

/**
 * A POST under an `Idempotency-Key` happens once: the same key and body within 24 h gives the first answer again, the
 * same key with another body is a conflict. Only successes are remembered; a request that was refused changed nothing
 * and may be corrected and sent again under its key. A key belongs to one principal and one path.
 *
 * An answer that holds a secret is remembered without its body: the repeat is answered with the secrets as they are
 * then, and changes nothing. If the process dies between the change and the remembering, the key stays reserved, and
 * repeats are told so until it expires.
 */
export interface IdempotentAnswers {
  once(request: KeyedRequest, run: () => Promise<Response>): Promise<Response>;
}

export interface KeyedRequest {
  readonly key: string;
  /** The body as it came. */
  readonly text: string;
  readonly c: PlatformContext;
  /** Answers a repeat anew, because the first answer holds a secret; null: the first answer is kept and given again. */
  readonly again: (() => Promise<Response>) | null;
}

const keyPattern = /^[\x20-\x7e]{1,255}$/;
const keptHeaders = [headerNames.contentType, headerNames.location, headerNames.etag] as const;
const inProgressRetryAfterSeconds = 1;

export function createIdempotentAnswers(store: IdempotencyStore, clock: Pick<Clock, "now">): IdempotentAnswers {
  return {
    once: async ({ key, text, c, again }, run) => {
      if (!keyPattern.test(key)) throw new CodedError("IDEMPOTENCY_KEY_INVALID");
      const fullKey = `${c.get("principal").id} ${c.req.path} ${key}`;
      const state = await store.begin(fullKey, digestOf(text), clock.now());
      switch (state.kind) {
        case "repeat":
          return again === null ? repeated(state.answer) : asRepeat(await again());
        case "conflict":
          throw new CodedError("IDEMPOTENCY_KEY_REUSED");
        case "inProgress":
          throw new CodedError("STATE_CONFLICT", {
            message: "The first request with this Idempotency-Key has not been answered yet.",
            retryAfterSeconds: inProgressRetryAfterSeconds,
          });
        case "fresh":
          return first({ store, fullKey, keepsBody: again === null }, run);
      }
    },
  };
}

interface FirstRequest {
  readonly store: IdempotencyStore;
  readonly fullKey: string;
  readonly keepsBody: boolean;
}

async function first({ store, fullKey, keepsBody }: FirstRequest, run: () => Promise<Response>): Promise<Response> {
  let response: Response;
  try {
    response = await run();
  } catch (error) {
    await store.forget(fullKey);
    throw error;
  }
  const body = await response.text();
  const headers: Record<string, string> = {};
  for (const name of keptHeaders) {
    const value = response.headers.get(name);
    if (value !== null) headers[name] = value;
  }
  await store.complete(fullKey, { status: response.status, headers, body: keepsBody ? body : "" });
  return new Response(bodyFor(response.status, body), { status: response.status, headers: response.headers });
}

function repeated({ status, headers, body }: StoredAnswer): Response {
  return asRepeat(new Response(bodyFor(status, body), { status, headers }));
}

function asRepeat(response: Response): Response {
  response.headers.set(headerNames.idempotencyReplayed, "true");
  return response;
}

/** 204 must have no body at all. */
function bodyFor(status: number, body: string): string | null {
  return status === 204 ? null : body;
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("base64url");
}
