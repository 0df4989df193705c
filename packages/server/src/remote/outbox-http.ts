/**
 * One POST that carries rows of an outbox, and what its answer means for all of them.
 *
 * | answer | outcome |
 * |---|---|
 * | 2xx with JSON that the caller can read | answered, by position |
 * | 2xx with JSON that it cannot | faulty: the rows were perhaps taken, and are sent again |
 * | 400, 413, 422 | refused |
 * | 401 | unauthorized |
 * | 403 | forbidden |
 * | 404, 3xx, 2xx without JSON or without end | unreachable: this is not the API that is meant, and an operator can
 * make it good |
 * | 429, 502, 503, 504, no answer in time, no connection | unreachable, with `Retry-After` if it says one |
 * | anything else | faulty |
 *
 * Proxies of the environment are ignored, and certificates are always verified, as for routers (platform-client).
 */
import type { Clock } from "@flowcatalyst/foundation";
import { retryAfterLimits, retryAfterMs } from "../domain/retry-after.ts";
import type { ItemOutcome, PublishOutcome } from "../ports/outbox-publisher.ts";
import { answerText } from "./answer-text.ts";

export interface OutboxHttpConfig {
  /** Asked at each request: a port of 0 becomes a real one only when something listens there. */
  readonly baseUrl: () => string;
  readonly token: string | null;
  /** `FlowCatalyst/<version>` */
  readonly userAgent: string;
  readonly timeoutMs: number;
}

export interface OutboxPost {
  readonly path: string;
  readonly body: string;
  /** Null: it says something else than what became of each item. */
  readonly read: (answer: unknown) => readonly ItemOutcome[] | null;
}

export const outboxHttpLimits = { answerMaxBytes: 8_388_608, detailMaxChars: 500 } as const;

const refusals: ReadonlySet<number> = new Set([400, 413, 422]);
const absences: ReadonlySet<number> = new Set([404, 405, 429, 502, 503, 504]);
const [okMin, okMax, redirectMax] = [200, 299, 399];

export type OutboxPoster = (post: OutboxPost, signal: AbortSignal) => Promise<PublishOutcome>;

export function createOutboxPoster(deps: { readonly clock: Clock }, config: OutboxHttpConfig): OutboxPoster {
  const { clock } = deps;
  const headers = {
    accept: "application/json",
    "content-type": "application/json",
    "user-agent": config.userAgent,
    ...(config.token === null ? {} : { authorization: `Bearer ${config.token}` }),
  };
  const session = new Bun.FetchSession({ tls: { rejectUnauthorized: true } });
  return async (post, signal) => {
    const late = new AbortController();
    const cancel = clock.setTimer(config.timeoutMs, () => late.abort());
    try {
      const url = config.baseUrl() + post.path;
      const response = await fetch(url, {
        method: "POST",
        headers,
        body: post.body,
        redirect: "manual",
        proxy: false,
        timeout: false,
        signal: AbortSignal.any([signal, late.signal]),
        session: url.startsWith("https:") ? session : undefined,
      });
      const text = await answerText(response, outboxHttpLimits.answerMaxBytes);
      if (text === null)
        return unreachable(`${whoOf(config)} answers more than the API ever does: is it the right one?`);
      return meaningOf({ response, text, nowMs: clock.now(), who: whoOf(config) }, post);
    } catch (error) {
      const who = whoOf(config);
      if (late.signal.aborted) return unreachable(`${who} gave no answer within ${config.timeoutMs} ms.`);
      return unreachable(`${who} cannot be reached (${reasonOf(error)}).`);
    } finally {
      cancel();
    }
  };
}

interface Answer {
  readonly response: Response;
  readonly text: string;
  readonly nowMs: number;
  readonly who: string;
}

function meaningOf({ response, text, nowMs, who }: Answer, { read }: OutboxPost): PublishOutcome {
  const { status } = response;
  const error = detailOf(text);
  if (status >= okMin && status <= okMax) return readAnswer({ status, text, who }, read);
  if (refusals.has(status)) return { kind: "refused", status, error };
  if (status === 401) {
    return { kind: "unauthorized", error: `${who} refuses the token (401): check FC_API_TOKEN here. ${error}`.trim() };
  }
  if (status === 403) return { kind: "forbidden", error: `403 ${error}`.trim() };
  if (absences.has(status)) {
    const retryAfter = response.headers.get("retry-after");
    const waitMs = retryAfter === null ? null : Math.min(retryAfterMs(retryAfter, nowMs), retryAfterLimits.maxMs);
    return { kind: "unreachable", error: `${who} answers ${status} ${error}`.trim(), retryAfterMs: waitMs };
  }
  if (status > okMax && status <= redirectMax) {
    return unreachable(`${who} answers ${status}, and redirects are not followed.`);
  }
  return { kind: "faulty", status, error };
}

function readAnswer(
  { status, text, who }: Omit<Answer, "response" | "nowMs"> & { readonly status: number },
  read: OutboxPost["read"],
): PublishOutcome {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    return unreachable(`${who} answers what is no JSON: is this the right address?`);
  }
  const results = read(answer);
  if (results !== null) return { kind: "answered", results };
  return { kind: "faulty", status, error: "The answer does not say what became of each item." };
}

function unreachable(error: string): PublishOutcome {
  return { kind: "unreachable", error, retryAfterMs: null };
}

/** The address as an operator reads it: without user, password and path. */
function whoOf(config: OutboxHttpConfig): string {
  return new URL(config.baseUrl()).origin;
}

/** What the fault was, without the address that some runtimes put into it. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  return "code" in error && typeof error.code === "string" && error.code !== "" ? error.code : error.name;
}

/** Of a problem document its detail and its first faults. */
function detailOf(text: string): string {
  try {
    const problem: unknown = JSON.parse(text);
    const isProblem = typeof problem === "object" && problem !== null && "detail" in problem;
    if (isProblem && typeof problem.detail === "string")
      return problem.detail.slice(0, outboxHttpLimits.detailMaxChars);
  } catch {
    // Something on the way has answered instead; its status says enough.
  }
  return "";
}
