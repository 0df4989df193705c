/**
 * The one place of the SDK that talks HTTP: bearer token, JSON both ways, problems as `FlowCatalystError`, repeats.
 *
 * Only `fetch` is used, so that it runs on Bun, Node 20 and later, Deno and in browsers.
 *
 * What is repeated, at most `maxRetries` times:
 *
 * - 429 and 503, and 409 with `Retry-After`: nothing was accepted, so every request is sent again;
 * - a lost connection, a timeout, 502 and 504: nobody knows whether it arrived, so only what is safe to repeat is sent
 *   again: reads, what carries an idempotency key (every POST of the platform's API does unless it has a key of its own
 *   kind), and changes without `ifMatch`.
 *
 * Between two tries it waits as long as `Retry-After` says, in either of its forms, else 200 ms doubling to 10 s, less
 * up to half of it by chance, so that clients that failed together do not come back together. A server that asks for
 * more than a minute is not waited for: the error says how long (`retryAfterMs`).
 */
import { FlowCatalystError, type RequestFault } from "./flow-catalyst-error.ts";
import type { KeyedChangeOptions, Operation } from "./operation.ts";
import { pause } from "./pause.ts";
import { retryAfterMs } from "./retry-after.ts";

/** Where the server is, and how it is spoken to. */
export interface ClientOptions {
  /** Where the API is, such as `http://127.0.0.1:8080`. */
  readonly baseUrl: string;
  /** Sent as bearer token; a function is asked before each request, for tokens that expire. */
  readonly token?: string | (() => string | Promise<string>);
  /** Per request, in milliseconds; 30,000 if absent. */
  readonly timeoutMs?: number;
  /** Repeats after an overload or a lost connection; 3 if absent. */
  readonly maxRetries?: number;
  /** Ends every call that is under way; each throws the signal's reason. */
  readonly signal?: AbortSignal;
  /** Sent with each request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Another implementation of `fetch`, such as one for tests. */
  readonly fetch?: (input: string, init: RequestInit) => Promise<Response>;
}

/** A request with a body that is a text already. */
export interface Call extends Operation {
  /** Instead of `body`. */
  readonly content?: { readonly mediaType: string; readonly text: string };
  /** Safe to repeat when it is not known whether it arrived; by the rules above if absent. */
  readonly repeatable?: boolean;
}

const defaultTimeoutMs = 30_000;
const defaultMaxRetries = 3;
const firstRetryDelayMs = 200;
const maxRetryDelayMs = 10_000;
const maxRetryAfterMs = 60_000;
const keyBytes = 16;

/** Sends requests to one server. */
export class HttpClient {
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.#options = { ...options, baseUrl: options.baseUrl.replace(/\/+$/, "") };
  }

  /** Without a slash at its end. */
  get baseUrl(): string {
    return this.#options.baseUrl;
  }

  /** How often a request is repeated. */
  get maxRetries(): number {
    return this.#options.maxRetries ?? defaultMaxRetries;
  }

  /** The parsed answer; `undefined` for 204. Throws `FlowCatalystError`. */
  async call<Answer>(given: Call): Promise<Answer> {
    const call = withKey(given);
    const repeatable = call.repeatable ?? isRepeatable(call);
    let lost = false;
    for (let retry = 0; ; retry += 1) {
      const outcome = await this.#once(call);
      if (outcome.kind === "answer") return outcome.body as Answer;
      // The first try may have removed it, and its answer was lost.
      if (lost && call.method === "DELETE" && outcome.error.status === 404) return undefined as Answer;
      lost ||= outcome.kind === "lost";
      const again = outcome.kind === "later" || (outcome.kind === "lost" && repeatable);
      const asked = outcome.error.retryAfterMs ?? 0;
      if (!again || !(retry < this.maxRetries) || asked > maxRetryAfterMs) throw outcome.error;
      await this.backOff(retry, { askedMs: outcome.error.retryAfterMs, signal: call.options?.signal });
    }
  }

  /**
   * Waits before a repeat: as long as was asked for, else longer each time.
   *
   * @internal
   */
  async backOff(retry: number, { askedMs, signal }: BackOff): Promise<void> {
    const full = Math.min(firstRetryDelayMs * 2 ** retry, maxRetryDelayMs);
    await pause(askedMs ?? full * (1 - Math.random() / 2), this.#stopOf(signal));
  }

  async #once(call: Call): Promise<Outcome> {
    const { baseUrl, timeoutMs = defaultTimeoutMs } = this.#options;
    const stop = this.#stopOf(call.options?.signal);
    stop?.throwIfAborted();
    const body = call.content?.text ?? (call.body === undefined ? undefined : JSON.stringify(call.body));
    const headers = await this.#headers(call);
    let response: Response;
    let text: string;
    try {
      response = await (this.#options.fetch ?? fetch)(baseUrl + call.path + queryOf(call), {
        method: call.method,
        headers,
        signal: anyOf([AbortSignal.timeout(timeoutMs), stop]) ?? null,
        ...(body === undefined ? {} : { body }),
      });
      text = await response.text();
    } catch (cause) {
      stop?.throwIfAborted();
      const message = withoutUser(`${baseUrl} cannot be reached: ${reasonOf(cause, timeoutMs)}`);
      return { kind: "lost", error: new FlowCatalystError({ code: "SERVER_UNREACHABLE", message, cause }) };
    }
    if (response.ok) return { kind: "answer", body: text === "" ? undefined : parse(text) };
    const error = errorOf(response, text);
    return { kind: kindOf(error), error };
  }

  #stopOf(signal: AbortSignal | undefined): AbortSignal | undefined {
    return anyOf([this.#options.signal, signal]);
  }

  async #headers({ body, content, options }: Call): Promise<Record<string, string>> {
    const { token } = this.#options;
    const bearer = typeof token === "function" ? await token() : token;
    const mediaType = content?.mediaType ?? (body === undefined ? undefined : "application/json");
    return {
      accept: "application/json",
      ...(mediaType === undefined ? {} : { "content-type": mediaType }),
      ...(bearer === undefined || bearer === "" ? {} : { authorization: `Bearer ${bearer}` }),
      ...(options?.ifMatch === undefined ? {} : { "if-match": String(options.ifMatch) }),
      ...(options?.idempotencyKey === undefined ? {} : { "idempotency-key": options.idempotencyKey }),
      ...this.#options.headers,
      ...options?.headers,
    };
  }
}

interface BackOff {
  readonly askedMs: number | null;
  readonly signal: AbortSignal | undefined;
}

type Outcome =
  | { readonly kind: "answer"; readonly body: unknown }
  | { readonly kind: "refused" | "later" | "lost"; readonly error: FlowCatalystError };

/** Later: nothing was accepted, and it may be the next time. Lost: nobody knows. */
function kindOf({ status, retryAfterMs: asked }: FlowCatalystError): "refused" | "later" | "lost" {
  if (status === 429 || status === 503 || (status === 409 && asked !== null)) return "later";
  return status === 502 || status === 504 ? "lost" : "refused";
}

/** A call that takes a key has one, the same in all of its tries. */
function withKey(call: Call): Call {
  if (call.keyed !== true || call.options?.idempotencyKey !== undefined) return call;
  const options: KeyedChangeOptions = { ...call.options, idempotencyKey: randomKey() };
  return { ...call, options };
}

function isRepeatable({ method, options }: Call): boolean {
  if (method === "GET" || options?.idempotencyKey !== undefined) return true;
  return method !== "POST" && options?.ifMatch === undefined;
}

/** A key nobody else has. `randomUUID` is not there on pages that were loaded without TLS. */
export function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(keyBytes));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

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

/** An address may have a user and a password before its host, which no message may show. */
function withoutUser(text: string): string {
  return text.replaceAll(/\/\/\S*@/g, "//");
}

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
    const values = typeof value === "object" && value !== null ? value : [value];
    for (const one of values) if (one !== undefined && one !== null) query.append(name, String(one));
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

const quotedMaxChars = 200;

function errorOf({ status, headers }: Response, text: string): FlowCatalystError {
  const body = parse(text);
  const common = {
    status,
    retryAfterMs: retryAfterMs(headers.get("retry-after"), Date.now()),
    requestId: headers.get("x-request-id"),
  };
  if (typeof body === "object" && body !== null && "code" in body && "detail" in body) {
    const faults = "errors" in body && Array.isArray(body.errors) ? body.errors.map(faultOf) : [];
    return new FlowCatalystError({ ...common, code: String(body.code), message: String(body.detail), faults });
  }
  const message = `answered ${status}: ${text.slice(0, quotedMaxChars)}`;
  return new FlowCatalystError({ ...common, code: "UNEXPECTED_ANSWER", message });
}

function faultOf(value: unknown): RequestFault {
  const { path, message } = (typeof value === "object" && value !== null ? value : {}) as Partial<RequestFault>;
  return { path: String(path ?? ""), message: String(message ?? "") };
}
