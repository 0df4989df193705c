import { lookup } from "node:dns/promises";
import type { Clock } from "@flowcatalyst/foundation";
import type { AddressPolicy } from "../domain/address-policy.ts";
import { isLocalhostName, type TargetUrlReading } from "../domain/target-url.ts";
import type { AddressGuard, Resolution } from "../ports/transport.ts";
import { TargetCache } from "./target-cache.ts";

/**
 * Resolves a target's host once and checks every address of it; what it answers is dialled, so a resolver that answers
 * otherwise the next time gains nothing. One forbidden address among several forbids the host: which of them is
 * dialled must not be a matter of luck.
 *
 * Answers are kept for seconds only, because a name may move; a host that does not resolve even shorter. Checks of one
 * host that come together share one lookup. A URL that names an address costs no lookup and is judged once. `localhost`
 * and names below it are this machine without asking anybody.
 *
 * Bounds: hosts kept, lookups under way, and time per lookup. A resolver that hangs makes its hosts `unresolved`, which
 * is an attempt that failed and is tried again; it cannot stop targets that are known.
 */
interface DnsAddressGuardDeps {
  readonly clock: Clock;
  readonly policy: AddressPolicy;
  /** Every address of a name. Rejects, or gives none, when there is none. */
  readonly resolve: ResolveHost;
}

type ResolveHost = (hostname: string) => Promise<readonly string[]>;

export const addressGuardLimits = {
  maxHosts: 10_000,
  hostTtlMs: 5_000,
  unresolvedTtlMs: 1_000,
  lookupTimeoutMs: 5_000,
  maxLookups: 512,
} as const;

/**
 * The operating system's resolver: hosts file, search domains and all, as every other program on the machine sees it.
 */
export async function systemResolveHost(hostname: string): Promise<readonly string[]> {
  const answers = await lookup(hostname, { all: true, verbatim: true });
  return answers.map(({ address }) => address);
}

export function createDnsAddressGuard(deps: DnsAddressGuardDeps): AddressGuard {
  return new DnsAddressGuard(deps);
}

interface KnownHost {
  readonly resolution: Promise<Resolution>;
  /** By the monotonic clock; infinite while the lookup is under way. */
  expiresAtMs: number;
}

/** A URL that can be judged without asking, or the name to ask for. */
type Judged =
  | { readonly kind: "known"; readonly resolution: Promise<Resolution> }
  | { readonly kind: "ask"; readonly name: string };

class DnsAddressGuard implements AddressGuard {
  readonly #clock: Clock;
  readonly #policy: AddressPolicy;
  readonly #resolve: ResolveHost;
  readonly #targets = new TargetCache((reading) => this.#judgeUrl(reading));
  readonly #hosts = new Map<string, KnownHost>();
  #lookups = 0;

  constructor(deps: DnsAddressGuardDeps) {
    this.#clock = deps.clock;
    this.#policy = deps.policy;
    this.#resolve = deps.resolve;
  }

  check(url: string, signal: AbortSignal): Promise<Resolution> {
    const judged = this.#targets.get(url);
    if (judged.kind === "known") return judged.resolution;
    const known = this.#hosts.get(judged.name);
    if (known !== undefined && known.expiresAtMs > this.#clock.monotonicMs()) {
      return known.expiresAtMs === Number.POSITIVE_INFINITY ? untilAborted(known.resolution, signal) : known.resolution;
    }
    return untilAborted(this.#lookUp(judged.name), signal);
  }

  #judgeUrl(reading: TargetUrlReading): Judged {
    if (reading.kind === "invalid") return answer({ kind: "unresolved", detail: `the target ${reading.detail}` });
    if (reading.address !== null) return answer(this.#judge([reading.address]));
    if (isLocalhostName(reading.hostname)) return answer(this.#judgeLocalhost());
    return { kind: "ask", name: reading.hostname };
  }

  /** IPv4 first, as most servers of a developer's machine listen there; IPv6 where only that is allowed. */
  #judgeLocalhost(): Resolution {
    const resolution = this.#judge(["127.0.0.1"]);
    const other = this.#judge(["::1"]);
    return resolution.kind === "allowed" || other.kind === "forbidden" ? resolution : other;
  }

  #judge(addresses: readonly string[]): Resolution {
    for (const address of addresses) {
      const verdict = this.#policy.judge(address);
      if (verdict.kind === "forbidden") return { kind: "forbidden", address, range: verdict.range };
    }
    // Many machines have no way out over IPv6 although names have such addresses; nobody has only IPv6 today.
    const address = addresses.find((each) => !each.includes(":")) ?? addresses[0];
    return address === undefined
      ? { kind: "unresolved", detail: "the host has no address" }
      : { kind: "allowed", address };
  }

  #lookUp(name: string): Promise<Resolution> {
    if (this.#lookups >= addressGuardLimits.maxLookups) {
      return Promise.resolve({ kind: "unresolved", detail: "too many lookups are under way" });
    }
    this.#lookups += 1;
    const host: KnownHost = { resolution: this.#resolveInTime(name), expiresAtMs: Number.POSITIVE_INFINITY };
    this.#hosts.delete(name);
    this.#makeRoom();
    this.#hosts.set(name, host);
    void host.resolution.then((resolution) => {
      const { hostTtlMs, unresolvedTtlMs } = addressGuardLimits;
      const ttlMs = resolution.kind === "unresolved" ? unresolvedTtlMs : hostTtlMs;
      host.expiresAtMs = this.#clock.monotonicMs() + ttlMs;
    });
    return host.resolution;
  }

  /** Never rejects. */
  async #resolveInTime(name: string): Promise<Resolution> {
    const timedOut = Promise.withResolvers<Resolution>();
    const cancelTimer = this.#clock.setTimer(addressGuardLimits.lookupTimeoutMs, () =>
      timedOut.resolve({ kind: "unresolved", detail: "the resolver did not answer in time" }),
    );
    // The slot is given back when the resolver is done, not when we stop waiting: it is the resolver that is bounded.
    const resolved = this.#ask(name).finally(() => {
      this.#lookups -= 1;
    });
    const resolution = await Promise.race([resolved, timedOut.promise]);
    cancelTimer();
    return resolution;
  }

  async #ask(name: string): Promise<Resolution> {
    try {
      return this.#judge(await this.#resolve(name));
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : "failed";
      return { kind: "unresolved", detail: `the host does not resolve: ${code}` };
    }
  }

  #makeRoom(): void {
    if (this.#hosts.size < addressGuardLimits.maxHosts) return;
    for (const oldest of this.#hosts.keys()) {
      this.#hosts.delete(oldest);
      return;
    }
  }
}

function answer(resolution: Resolution): Judged {
  return { kind: "known", resolution: Promise.resolve(resolution) };
}

/** The lookup goes on for the others that wait for it. */
function untilAborted(resolution: Promise<Resolution>, signal: AbortSignal): Promise<Resolution> {
  if (signal.aborted) return Promise.resolve({ kind: "unresolved", detail: "aborted" });
  return new Promise((resolve) => {
    const onAbort = (): void => resolve({ kind: "unresolved", detail: "aborted" });
    signal.addEventListener("abort", onAbort, { once: true });
    void resolution.then((value) => {
      signal.removeEventListener("abort", onAbort);
      resolve(value);
    });
  });
}
