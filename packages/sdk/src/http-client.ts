/**
 * The one place of the SDK that talks HTTP: bearer token, JSON both ways, problems as `FlowCatalystError`, retries.
 *
 * Only `fetch` is used, so that it runs on Bun, Node 20 and later, Deno and in browsers. Requests that the server
 * refused for being overloaded (503) or limited (429) are repeated after what `Retry-After` says, at most `maxRetries`
 * times; a lost connection is repeated only for requests that are safe to repeat.
 */
import type { Problem } from "@flowcatalyst/contracts";

export interface ClientOptions {
  /** Where the platform API is, e.g. `http://127.0.0.1:8080`. */
  readonly baseUrl: string;
  /** Sent as bearer token. */
  readonly token?: string;
  /** Per request, in milliseconds; 30,000 if absent. */
  readonly timeoutMs?: number;
  /** Repeats after an overload or a lost connection; 3 if absent. */
  readonly maxRetries?: number;
  /** Ends every call that is under way; each throws the signal's reason. */
  readonly signal?: AbortSignal;
  /** Another implementation of `fetch`, e.g. in tests. */
  readonly fetch?: typeof fetch;
}

export interface Call {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | readonly string[] | undefined>>;
  readonly body?: unknown;
  /** Safe to repeat when it is not known whether it arrived. */
  readonly repeatable?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** What the server said when it refused, or why it could not be reached (`code` SERVER_UNREACHABLE, `status` 0). */
export class FlowCatalystError extends Error {
  readonly status: number;
  readonly code: string;
  readonly faults: readonly { readonly path: string; readonly message: string }[];

  constructor(status: number, problem: Pick<Problem, "code" | "detail"> & { errors?: Problem["errors"] }) {
    super(problem.detail);
    this.name = "FlowCatalystError";
    this.status = status;
    this.code = problem.code;
    this.faults = problem.errors ?? [];
  }
}

const defaultTimeoutMs = 30_000;
const defaultMaxRetries = 3;
const firstRetryDelayMs = 200;
const maxRetryDelayMs = 10_000;

export class HttpClient {
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.#options = { ...options, baseUrl: options.baseUrl.replace(/\/+$/, "") };
  }

  get baseUrl(): string {
    return this.#options.baseUrl;
  }

  /** The parsed answer; `undefined` for 204. Throws FlowCatalystError. */
  async call<Answer>(call: Call): Promise<Answer> {
    const repeatable = call.repeatable ?? call.method === "GET";
    const maxRetries = this.#options.maxRetries ?? defaultMaxRetries;
    for (let retry = 0; ; retry += 1) {
      const outcome = await this.#once(call);
      if (outcome.kind === "answer") return outcome.body as Answer;
      const again = outcome.kind === "overloaded" || repeatable;
      if (!again || outcome.kind === "refused" || retry >= maxRetries) throw outcome.error;
      const backoffMs = Math.min(firstRetryDelayMs * 2 ** retry, maxRetryDelayMs);
      const stop = this.#stopOf(call);
      await pause(outcome.kind === "overloaded" ? (outcome.retryAfterMs ?? backoffMs) : backoffMs, stop);
    }
  }

  async #once(call: Call): Promise<Outcome> {
    const timeoutMs = this.#options.timeoutMs ?? defaultTimeoutMs;
    const stop = this.#stopOf(call);
    const signal = anyOf([AbortSignal.timeout(timeoutMs), stop]);
    let response: Response;
    let text: string;
    try {
      response = await (this.#options.fetch ?? fetch)(this.#options.baseUrl + call.path + queryOf(call), {
        method: call.method,
        headers: this.#headers(call),
        signal,
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
      });
      text = await response.text();
    } catch (cause) {
      stop?.throwIfAborted();
      const detail = `${this.#options.baseUrl} cannot be reached: ${reasonOf(cause, timeoutMs)}`;
      return { kind: "lost", error: new FlowCatalystError(0, { code: "SERVER_UNREACHABLE", detail }) };
    }
    if (response.ok) return { kind: "answer", body: text === "" ? undefined : parse(text) };
    const error = new FlowCatalystError(response.status, problemOf(response.status, text));
    if (response.status !== 503 && response.status !== 429) return { kind: "refused", error };
    return { kind: "overloaded", error, retryAfterMs: retryAfterMs(response.headers.get("retry-after")) };
  }

  #stopOf(call: Call): AbortSignal | undefined {
    return anyOf([this.#options.signal, call.signal]);
  }

  #headers(call: Call): Record<string, string> {
    return {
      accept: "application/json",
      ...(call.body === undefined ? {} : { "content-type": "application/json" }),
      ...(this.#options.token === undefined ? {} : { authorization: `Bearer ${this.#options.token}` }),
      ...call.headers,
    };
  }
}

type Outcome =
  | { readonly kind: "answer"; readonly body: unknown }
  | { readonly kind: "refused"; readonly error: FlowCatalystError }
  | { readonly kind: "overloaded"; readonly error: FlowCatalystError; readonly retryAfterMs: number | null }
  | { readonly kind: "lost"; readonly error: FlowCatalystError };

function anyOf(signals: readonly (AbortSignal | undefined)[]): AbortSignal | undefined {
  const given = signals.filter((signal) => signal !== undefined);
  return given.length > 1 ? AbortSignal.any(given) : given[0];
}

/** What runtimes call the same thing; Node hides it in the cause. */
const connectionFaults: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there",
  ConnectionRefused: "nothing listens there",
  ECONNRESET: "the connection was closed",
  ConnectionClosed: "the connection was closed",
  ENOTFOUND: "the host does not resolve",
  EAI_AGAIN: "the host does not resolve",
  FailedToOpenSocket: "the host does not resolve, or no connection is possible",
};

const causesMaxDepth = 4;

function reasonOf(thrown: unknown, timeoutMs: number): string {
  let fault = thrown;
  for (let depth = 0; depth < causesMaxDepth && fault instanceof Error; depth += 1) {
    if (fault.name === "TimeoutError") return `no answer within ${timeoutMs / 1000} s`;
    const known = "code" in fault ? connectionFaults[String(fault.code)] : undefined;
    if (known !== undefined) return known;
    fault = fault.cause;
  }
  return thrown instanceof Error ? thrown.message : String(thrown);
}

function queryOf(call: Call): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(call.query ?? {})) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) query.append(name, String(one));
  }
  const text = query.toString();
  return text === "" ? "" : `?${text}`;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function problemOf(status: number, text: string): Pick<Problem, "code" | "detail"> & { errors?: Problem["errors"] } {
  const body = parse(text);
  if (typeof body === "object" && body !== null && "code" in body && "detail" in body) {
    const problem = body as Problem;
    return { code: problem.code, detail: problem.detail, errors: problem.errors };
  }
  return { code: "UNEXPECTED_ANSWER", detail: `answered ${status}: ${text.slice(0, 200)}` };
}

function retryAfterMs(header: string | null): number | null {
  const seconds = Number(header);
  return header === null || !Number.isFinite(seconds) ? null : Math.min(seconds * 1000, maxRetryDelayMs);
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason instanceof Error ? signal.reason : new Error("aborted"));
    };
    signal?.addEventListener("abort", abort, { once: true });
  });
}
