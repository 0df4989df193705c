/**
 * The platform's API as a router without a database uses it: who calls, for how long, and what an answer means.
 *
 * Every call has a deadline, one token and one address. What comes of it is one of three things:
 *
 * | answer | means |
 * |---|---|
 * | 2xx with JSON | answered |
 * | 400, 413, 415, 422 | refused: the platform will never take this call; a value, for the caller to act on |
 * | anything else | STORE_UNAVAILABLE: nothing is known to have been recorded; call again later |
 *
 * Anything else: no connection, no answer in time, any other status, a body that is no JSON.
 *
 * 401 and 403 belong to the last row, because an operator can make them good without anything being lost meanwhile;
 * their message says which setting to look at. 404 does too: during an upgrade the platform may be the older of the
 * two.
 *
 * Messages are the same each time for the same fault, so that whoever warns of them warns once. No message holds the
 * token, a query (it may name a secret's reference) or a body.
 *
 * Proxies of the environment are ignored, as for targets, and certificates are always verified: secrets come this way.
 */
import { CodedError, type Clock } from "@flowcatalyst/foundation";
import { answerText } from "./answer-text.ts";

interface PlatformClientConfig {
  /** `http://host:8080`, perhaps with a path that stands before all paths of the API. */
  readonly baseUrl: string;
  /** A bearer token; null: the platform asks for none. */
  readonly token: string | null;
  /** `FlowCatalyst/<version>` */
  readonly userAgent: string;
}

interface PlatformCall {
  readonly method: "GET" | "POST";
  /** From the root of the API, with its query. */
  readonly path: string;
  /** JSON. */
  readonly body?: string;
  /** From connect to the last byte. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

type PlatformAnswer =
  | { readonly kind: "answered"; readonly body: unknown }
  | { readonly kind: "refused"; readonly detail: string };

export interface PlatformClient {
  /** Throws STORE_UNAVAILABLE. */
  call(call: PlatformCall): Promise<PlatformAnswer>;
  /** Why the last call that ended was no answer; null: it was one, or none has ended yet. */
  readonly fault: string | null;
  /** Without user and password: for people. */
  readonly place: string;
}

export const platformClientLimits = {
  /** 10,000 pools and 10,000 cancelled jobs are less than a quarter of it. */
  answerMaxBytes: 33_554_432,
  detailMaxChars: 300,
} as const;

const HTTP_OK_MIN = 200;
const HTTP_OK_MAX = 299;
/** The call itself is at fault: the same call would be answered the same. */
const refusals: ReadonlySet<number> = new Set([400, 413, 415, 422]);
const tokenRefusals: ReadonlySet<number> = new Set([401, 403]);

export function createPlatformClient(deps: { readonly clock: Clock }, config: PlatformClientConfig): PlatformClient {
  return new HttpPlatformClient(deps.clock, config);
}

class HttpPlatformClient implements PlatformClient {
  readonly place: string;
  fault: string | null = null;
  readonly #clock: Clock;
  readonly #base: string;
  readonly #headers: Readonly<Record<string, string>>;
  /** Keeps connections to an https platform, with verification said: the environment could turn it off. */
  readonly #session: Bun.FetchSession | undefined;

  constructor(clock: Clock, { baseUrl, token, userAgent }: PlatformClientConfig) {
    const url = new URL(baseUrl);
    this.place = url.origin + url.pathname.replace(/\/+$/, "");
    this.#clock = clock;
    this.#base = this.place;
    this.#session = url.protocol === "https:" ? new Bun.FetchSession({ tls: { rejectUnauthorized: true } }) : undefined;
    this.#headers = {
      accept: "application/json",
      "content-type": "application/json",
      "user-agent": userAgent,
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
    };
  }

  async call(call: PlatformCall): Promise<PlatformAnswer> {
    try {
      const answer = await this.#answerTo(call);
      this.fault = null;
      return answer;
    } catch (error) {
      // Being told to stop says nothing about the platform.
      if (call.signal?.aborted !== true) this.fault = error instanceof Error ? error.message : String(error);
      throw error;
    }
  }

  async #answerTo(call: PlatformCall): Promise<PlatformAnswer> {
    const late = new AbortController();
    const cancel = this.#clock.setTimer(call.timeoutMs, () => late.abort());
    const signal = call.signal === undefined ? late.signal : AbortSignal.any([call.signal, late.signal]);
    try {
      const response = await fetch(this.#base + call.path, this.#init(call, signal));
      const text = await readText(response);
      return this.#meaningOf(response.status, text);
    } catch (error) {
      if (error instanceof CodedError) throw error;
      if (late.signal.aborted) throw this.#unavailable(`has not answered within ${call.timeoutMs} ms`);
      // Without its cause, which the runtime gives the whole address, and that may name a secret's reference.
      throw this.#unavailable(`cannot be reached (${reasonOf(error)})`);
    } finally {
      cancel();
    }
  }

  #init({ method, body }: PlatformCall, signal: AbortSignal): BunFetchRequestInit {
    return {
      method,
      headers: this.#headers,
      ...(body === undefined ? {} : { body }),
      redirect: "manual",
      proxy: false,
      // The runtime's own limit of idle time; the deadline covers it.
      timeout: false,
      signal,
      session: this.#session,
    };
  }

  #meaningOf(status: number, text: string): PlatformAnswer {
    if (refusals.has(status)) return { kind: "refused", detail: `${status} ${detailOf(text)}` };
    if (tokenRefusals.has(status)) {
      throw this.#unavailable(`refuses this router (${status}): check FC_API_TOKEN here and FC_API_TOKENS there`);
    }
    if (status < HTTP_OK_MIN || status > HTTP_OK_MAX) throw this.#unavailable(`answers ${status} ${detailOf(text)}`);
    try {
      return { kind: "answered", body: JSON.parse(text) };
    } catch (cause) {
      throw this.#unavailable("answers what is no JSON: is FC_API_BASE_URL that of a platform?", cause);
    }
  }

  #unavailable(what: string, cause?: unknown): CodedError {
    const message = `The platform at ${this.place} ${what}`.trim();
    return new CodedError("STORE_UNAVAILABLE", cause === undefined ? { message } : { message, cause });
  }
}

/** What the fault was, without the address that some runtimes put into it. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  return "code" in error && typeof error.code === "string" && error.code !== "" ? error.code : error.name;
}

/** Of a problem document its detail. */
function detailOf(text: string): string {
  try {
    const problem: unknown = JSON.parse(text);
    const isProblem = typeof problem === "object" && problem !== null && "detail" in problem;
    if (isProblem && typeof problem.detail === "string") {
      return problem.detail.slice(0, platformClientLimits.detailMaxChars);
    }
  } catch {
    // Something on the way has answered instead; its status says enough.
  }
  return "";
}

/** Throws when there is more than any answer of the API has. */
async function readText(response: Response): Promise<string> {
  const text = await answerText(response, platformClientLimits.answerMaxBytes);
  if (text !== null) return text;
  throw new CodedError("STORE_UNAVAILABLE", { message: "The platform's answer is too large to be one." });
}
