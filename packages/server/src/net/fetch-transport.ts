import type { Clock } from "@flowcatalyst/foundation";
import type { TargetUrl } from "../domain/target-url.ts";
import type { Transport, TransportRequest, TransportResult } from "../ports/transport.ts";
import { DeadlineWheel, type DeadlineSlot, type Expiring } from "./deadline-wheel.ts";
import { readResponseText } from "./response-text.ts";
import { TargetCache } from "./target-cache.ts";

/**
 * Outgoing requests by the runtime's `fetch`: why it and not another client stands in
 * docs/decisions/0003-outgoing-transport.md.
 *
 * **Where it connects.** The URL given to `fetch` names the checked address, never the host, so nothing is resolved
 * again between checking and dialling. The `host` header says the host. For HTTPS a `Bun.FetchSession` per host carries
 * the name: it is sent as SNI, and the certificate is verified against it. Connections belong to the session, so one
 * opened for a name is never used for another one, even on the same address; an HTTPS URL with an address in it is
 * verified against that address. What the environment says of proxies and of verification is ignored; a proxy has
 * to be configured. Redirects are answers.
 *
 * **Time.** One deadline covers a call from connect to the last byte read. Deadlines are slots of a wheel, and the
 * AbortController of a call that ended well serves the next one: a timer and a controller per call cost more than
 * the rest of this file. The caller's signal has one listener for all calls made under it.
 *
 * **Size.** At most `responseMaxBytes` of an answer are read; the connection of a longer one is closed.
 *
 * **Results.** Every end of a call is a value. A call that the caller aborted ends as `connectionFailed`: whoever
 * aborted it knows. What is not one of the known ways to fail is `connectionFailed` too, with the runtime's words,
 * because a target must not be able to throw into the router.
 *
 * **Limits.** How many calls run at once is the pools' business; the runtime's own limit must be above it
 * (`maxSimultaneousRequests`). At most `fetchTransportLimits.maxTlsHosts` sessions are kept. The runtime keeps the TLS
 * contexts of 60 of them: with more HTTPS hosts than that called in turn, connections to the rest are made anew.
 */
interface FetchTransportConfig {
  /** Certificates (PEM) trusted for targets instead of the well-known ones; null: the well-known ones. */
  readonly trustedCertificates: string | null;
  /** URL of a proxy for every call; null: none, whatever the environment says. */
  readonly proxy: string | null;
}

const fetchTransportLimits = {
  maxTlsHosts: 1_000,
  /** Calls kept for reuse; more than run at once are of no use. */
  maxIdleCalls: 4_096,
  /** Seconds an idle connection of an HTTPS host is kept. */
  idleConnectionSeconds: 60,
} as const;

export function createFetchTransport(deps: { readonly clock: Clock }, config: FetchTransportConfig): Transport {
  return new FetchTransport(deps.clock, config);
}

/** One call under way, or the remains of one that ended well, waiting for the next. */
class Call implements Expiring {
  readonly controller = new AbortController();
  timedOut = false;

  expire(): void {
    this.timedOut = true;
    this.controller.abort();
  }
}

/** A target ready to be dialled; `dialUrl` is for the address it was dialled at last. */
interface DialTarget {
  readonly target: TargetUrl;
  address: string;
  dialUrl: string;
}

class FetchTransport implements Transport {
  readonly #wheel: DeadlineWheel;
  readonly #config: FetchTransportConfig;
  readonly #targets = new TargetCache((reading): DialTarget | null =>
    reading.kind === "target" ? { target: reading, address: "", dialUrl: "" } : null,
  );
  readonly #sessions = new Map<string, Bun.FetchSession>();
  readonly #idleCalls: Call[] = [];
  readonly #callsBySignal = new WeakMap<AbortSignal, Set<Call>>();

  constructor(clock: Clock, config: FetchTransportConfig) {
    this.#wheel = new DeadlineWheel(clock);
    this.#config = config;
  }

  async post(request: TransportRequest, signal: AbortSignal): Promise<TransportResult> {
    const dial = this.#targets.get(request.url);
    if (dial === null) return { kind: "connectionFailed", detail: "the target is not an http or https URL" };
    if (signal.aborted) return { kind: "connectionFailed", detail: "aborted" };
    const call = this.#idleCalls.pop() ?? new Call();
    const siblings = this.#callsUnder(signal);
    siblings.add(call);
    const slot = this.#wheel.add(call, request.timeoutMs);
    try {
      const response = await fetch(dialUrlOf(dial, request.address), this.#init({ dial, request, call }));
      const body = await readResponseText(response, request.responseMaxBytes);
      this.#end(call, siblings, slot);
      this.#keepForReuse(call);
      const { status } = response;
      // Only a refusal says when to come back.
      const retryAfter = status < REFUSAL_MIN_STATUS ? null : response.headers.get("retry-after");
      return { kind: "response", status, retryAfter, body };
    } catch (error) {
      this.#end(call, siblings, slot);
      if (call.timedOut) return { kind: "timeout" };
      return signal.aborted ? { kind: "connectionFailed", detail: "aborted" } : failureOf(error);
    }
  }

  #init({ dial, request, call }: { dial: DialTarget; request: TransportRequest; call: Call }): BunFetchRequestInit {
    const { target } = dial;
    return {
      method: "POST",
      headers: { ...request.headers, host: target.authority },
      body: request.body as string | Uint8Array<ArrayBuffer>,
      redirect: "manual",
      decompress: false,
      proxy: this.#config.proxy ?? false,
      // The runtime's own limit of idle time; the deadline covers it.
      timeout: false,
      signal: call.controller.signal,
      session: target.secure ? this.#sessionOf(target) : undefined,
    };
  }

  /** Connections of one HTTPS host. The one made longest ago goes first when there are too many. */
  #sessionOf(target: TargetUrl): Bun.FetchSession {
    const { hostname } = target;
    const known = this.#sessions.get(hostname);
    if (known !== undefined) return known;
    if (this.#sessions.size >= fetchTransportLimits.maxTlsHosts) this.#dropOldestSession();
    const ca = this.#config.trustedCertificates;
    const session = new Bun.FetchSession({
      tls: {
        // Said, or NODE_TLS_REJECT_UNAUTHORIZED=0 in somebody's environment would turn it off.
        rejectUnauthorized: true,
        ...(target.address === null && { serverName: withoutRootDot(hostname) }),
        ...(ca !== null && { ca }),
      },
      keepAlive: { idleTimeout: fetchTransportLimits.idleConnectionSeconds },
    });
    this.#sessions.set(hostname, session);
    return session;
  }

  #dropOldestSession(): void {
    for (const [hostname, session] of this.#sessions) {
      this.#sessions.delete(hostname);
      // Calls under way finish on their connections.
      session.close();
      return;
    }
  }

  #callsUnder(signal: AbortSignal): Set<Call> {
    const known = this.#callsBySignal.get(signal);
    if (known !== undefined) return known;
    const calls = new Set<Call>();
    this.#callsBySignal.set(signal, calls);
    signal.addEventListener("abort", () => calls.forEach((call) => call.controller.abort()), { once: true });
    return calls;
  }

  #end(call: Call, siblings: Set<Call>, slot: DeadlineSlot): void {
    siblings.delete(call);
    this.#wheel.remove(slot, call);
  }

  /** Only after an answer that was read: the signal of a call that failed may still be looked at by the runtime. */
  #keepForReuse(call: Call): void {
    if (call.timedOut || call.controller.signal.aborted) return;
    if (this.#idleCalls.length < fetchTransportLimits.maxIdleCalls) this.#idleCalls.push(call);
  }
}

/** Certificates name hosts without the dot that makes a name absolute. */
function withoutRootDot(hostname: string): string {
  return hostname.endsWith(".") ? hostname.slice(0, -1) : hostname;
}

function dialUrlOf(dial: DialTarget, address: string): string {
  if (dial.address === address) return dial.dialUrl;
  const { secure, port, pathAndQuery } = dial.target;
  const host = address.includes(":") ? `[${address}]` : address;
  dial.address = address;
  dial.dialUrl = `${secure ? "https" : "http"}://${host}:${port}${pathAndQuery}`;
  return dial.dialUrl;
}

/** How OpenSSL and Node name faults of certificates and handshakes. */
const tlsCode = /CERT|SSL|TLS|SELF_SIGNED|UNABLE_TO_(GET_ISSUER|VERIFY)|DEPTH_ZERO|HOSTNAME_MISMATCH|INVALID_CA/;
const DETAIL_MAX_CHARS = 500;
const REFUSAL_MIN_STATUS = 300;

function failureOf(error: unknown): TransportResult {
  if (!(error instanceof Error)) return { kind: "connectionFailed", detail: "unknown" };
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  // The message names the dialled URL, which says nothing the attempt does not say already, and may be long.
  const detail = (code === "" ? error.message : code).slice(0, DETAIL_MAX_CHARS);
  return tlsCode.test(code) ? { kind: "tlsFailed", detail } : { kind: "connectionFailed", detail };
}
