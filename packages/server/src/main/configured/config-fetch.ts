import { CodedError, type Clock } from "@flowcatalyst/foundation";
import { placeOf } from "../router-queue.ts";
import { readConfigAnswer, type RouterConfigAnswer } from "./router-config-shapes.ts";

export const configFetchLimits = {
  /** From connect to the last byte. */
  timeoutMs: 10_000,
  /** 10,000 pools are a tenth of it. */
  answerMaxBytes: 16_777_216,
  faultsTold: 5,
} as const;

export interface ConfigFetchOptions {
  /** Bearer token; null: none is sent. */
  readonly token: string | null;
  /** `FlowCatalyst/<version>` */
  readonly userAgent: string;
}

export type FetchConfig = (url: string, signal: AbortSignal) => Promise<RouterConfigAnswer>;

/**
 * Reads pools and queues from an address. The token goes to that address and nowhere else: redirects are faults, and
 * proxies of the environment are ignored. Throws STORE_UNAVAILABLE with what to look at; the message holds neither the
 * token nor anything of the answer but the place of a fault.
 */
export function createConfigFetch({ clock }: { readonly clock: Clock }, options: ConfigFetchOptions): FetchConfig {
  return async (url, signal) => {
    const late = new AbortController();
    const cancel = clock.setTimer(configFetchLimits.timeoutMs, () => late.abort());
    const fail = (what: string): CodedError =>
      new CodedError("STORE_UNAVAILABLE", { message: `FC_ROUTER_CONFIG_URL ${placeOf(url)} ${what}` });
    try {
      const response = await fetch(url, initOf(url, AbortSignal.any([signal, late.signal]), options));
      if (response.status !== 200) {
        await response.body?.cancel();
        throw fail(statusAdvice(response.status));
      }
      return shaped(await readText(response, fail), fail);
    } catch (error) {
      if (error instanceof CodedError) throw error;
      if (late.signal.aborted) throw fail(`has not answered within ${configFetchLimits.timeoutMs} ms`);
      throw fail(`cannot be reached (${reasonOf(error)})`);
    } finally {
      cancel();
    }
  };
}

function initOf(url: string, signal: AbortSignal, { token, userAgent }: ConfigFetchOptions): BunFetchRequestInit {
  return {
    headers: {
      accept: "application/json",
      "user-agent": userAgent,
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
    },
    redirect: "manual",
    proxy: false,
    timeout: false,
    signal,
    ...(url.startsWith("https:") ? { tls: { rejectUnauthorized: true } } : {}),
  };
}

function statusAdvice(status: number): string {
  if (status === 401 || status === 403) {
    return `refuses this router (${status}): check FC_API_TOKEN here and FC_API_TOKENS there`;
  }
  if (status >= 300 && status < 400)
    return `answers ${status}, and redirects are not followed: name the address itself`;
  return `answers ${status}`;
}

function shaped(text: string, fail: (what: string) => CodedError): RouterConfigAnswer {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw fail("answers what is no JSON");
  }
  const read = readOrNull(body);
  if (read === null) throw fail("answers what cannot be read: it is too deep");
  if (read.kind === "shaped") return read.value;
  const told = read.faults.slice(0, configFetchLimits.faultsTold).map(({ path, message }) => `${path} ${message}`);
  throw fail(`answers what cannot be taken: ${told.join("; ")}`);
}

/** Null: it is nested so deep that it overflows the stack. */
function readOrNull(body: unknown): ReturnType<typeof readConfigAnswer> | null {
  try {
    return readConfigAnswer(body);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** What the fault was, without the address that some runtimes put into it. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  return "code" in error && typeof error.code === "string" && error.code !== "" ? error.code : error.name;
}

async function readText(response: Response, fail: (what: string) => CodedError): Promise<string> {
  if (response.body === null) return "";
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const decoder = new TextDecoder();
  let text = "";
  let leftBytes: number = configFetchLimits.answerMaxBytes;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    leftBytes -= value.length;
    if (leftBytes < 0) {
      await reader.cancel();
      throw fail(`answers more than ${configFetchLimits.answerMaxBytes} bytes`);
    }
    text += decoder.decode(value, { stream: true });
  }
}
