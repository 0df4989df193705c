import {
  type CodedError,
  PROBLEM_CONTENT_TYPE,
  describeError,
  toProblem,
  wrapUnknown,
  type Logger,
} from "@flowcatalyst/foundation";
import type { Context, Env } from "hono";

/** The answer to a request that failed. Only `publicMessage` and the faults of the error are told; its cause is not. */
export function problemResponse(error: CodedError, instance?: string): Response {
  const problem = toProblem(error, instance === undefined ? {} : { instance });
  const headers: Record<string, string> = { "content-type": PROBLEM_CONTENT_TYPE, "cache-control": "no-store" };
  if (error.retryAfterSeconds !== undefined) headers["retry-after"] = String(Math.ceil(error.retryAfterSeconds));
  else if (problem.status === 503 || problem.status === 429) headers["retry-after"] = String(defaultRetryAfterSeconds);
  if (problem.status === 401) headers["www-authenticate"] = 'Bearer realm="flowcatalyst"';
  return new Response(JSON.stringify(problem), { status: problem.status, headers });
}

/** What a client is told to wait when the fault itself names no time. */
const defaultRetryAfterSeconds = 1;

/**
 * The `onError` of an application: every fault becomes a problem document, and what nobody foresaw is logged with its
 * cause, once, under the id the caller got.
 */
export function honoErrorHandler<E extends Env>(log: Logger): (error: Error, c: Context<E>) => Response {
  return (error, c) => {
    const coded = wrapUnknown(error);
    if (coded.code === "INTERNAL") {
      const { requestId } = c.var as { readonly requestId?: string };
      const fields = { method: c.req.method, path: c.req.path, requestId, error: describeError(coded.cause ?? coded) };
      log.error({ ...fields, ...coded.context, stack: stackOf(coded.cause) }, "request failed");
    }
    return problemResponse(coded, c.req.path);
  };
}

function stackOf(cause: unknown): string | undefined {
  return cause instanceof Error ? cause.stack : undefined;
}
