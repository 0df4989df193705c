import { deferred, type Clock } from "@flowcatalyst/foundation";
import { ok, type Behaviour } from "./behaviour.ts";
import type { SignatureState } from "./received-signature.ts";
import { receiverLimits } from "./receiver-limits.ts";

/** What a request occupies besides its body and headers; an estimate. */
const overheadBytes = 512;

export interface ReceivedRequest {
  readonly number: number;
  readonly at: string;
  readonly signature: SignatureState;
  readonly answered: number | "hung";
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Receiver {
  behaviour: Behaviour;
  timesLeft: number;
  count: number;
  requests: ReceivedRequest[];
}

/**
 * The receivers by name, and what they remember. Bounded in number and in bytes: the receiver used longest ago is
 * forgotten first, and so are its requests when all of them together become too large.
 */
export class ReceiverBook {
  readonly #clock: Clock;
  /** The first is the one used longest ago. */
  readonly #receivers = new Map<string, Receiver>();
  #keptBytes = 0;
  #somethingCame = deferred();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  names(): readonly string[] {
    return [...this.#receivers.keys()];
  }

  find(name: string): Receiver | undefined {
    return this.#receivers.get(name);
  }

  /** The receiver of that name, made if need be; it counts as used. */
  of(name: string): Receiver {
    const receiver = this.#receivers.get(name) ?? { behaviour: ok, timesLeft: Infinity, count: 0, requests: [] };
    this.#receivers.delete(name);
    this.#receivers.set(name, receiver);
    if (this.#receivers.size > receiverLimits.maxReceivers) this.#forgetOldestReceiver();
    return receiver;
  }

  /** The behaviour for one more request; it is used up after as many as it was told for. */
  takeBehaviour(receiver: Receiver): Behaviour {
    if (receiver.timesLeft <= 0) return ok;
    receiver.timesLeft -= 1;
    return receiver.behaviour;
  }

  keep(receiver: Receiver, request: ReceivedRequest): void {
    receiver.requests.push(request);
    this.#keptBytes += bytesOf(request);
    if (receiver.requests.length > receiverLimits.maxRequestsPerReceiver) this.#forgetOldestRequest(receiver);
    for (const other of this.#receivers.values()) {
      while (this.#keptBytes > receiverLimits.keptMaxBytes && other.requests.length > 0) {
        this.#forgetOldestRequest(other);
      }
    }
    this.#somethingCame.resolve();
    this.#somethingCame = deferred();
  }

  /** Forgets what came, and how much; how the receiver behaves stays: it was told so, and nobody said otherwise. */
  clear(name: string): void {
    const receiver = this.#receivers.get(name);
    if (receiver === undefined) return;
    while (receiver.requests.length > 0) this.#forgetOldestRequest(receiver);
    receiver.count = 0;
  }

  /** Resolves when the receiver has got something, or the time is over. */
  async arrived(name: string, waitMs: number, signal: AbortSignal): Promise<void> {
    const untilMs = this.#clock.monotonicMs() + waitMs;
    while ((this.#receivers.get(name)?.count ?? 0) === 0 && !signal.aborted) {
      const leftMs = untilMs - this.#clock.monotonicMs();
      if (leftMs <= 0) return;
      const over = new AbortController();
      const wait = this.#clock.sleep(leftMs, AbortSignal.any([signal, over.signal]));
      await Promise.race([this.#somethingCame.promise, wait]);
      over.abort();
    }
  }

  #forgetOldestRequest({ requests }: Receiver): void {
    const oldest = requests.shift();
    if (oldest !== undefined) this.#keptBytes -= bytesOf(oldest);
  }

  #forgetOldestReceiver(): void {
    for (const name of this.#receivers.keys()) {
      this.clear(name);
      this.#receivers.delete(name);
      return;
    }
  }
}

function bytesOf({ headers, body }: ReceivedRequest): number {
  let bytes = overheadBytes + body.length;
  for (const name in headers) bytes += name.length + (headers[name]?.length ?? 0);
  return bytes;
}
