/**
 * The receiver's ledger: what arrived, in what order, for one target path.
 *
 * An event is known by (group, place in the group), both assigned by the generator before sending. An arrival is in
 * order when every earlier event of its group was delivered before, i.e. answered 2xx. Kept in typed arrays, because a
 * million events must not make the receiver the bottleneck.
 */
export interface LedgerSummary {
  readonly delivered: number;
  readonly duplicates: number;
  readonly inverted: number;
  /** Arrivals that were answered with an error on purpose. */
  readonly refused: number;
  readonly firstInversion: string | null;
}

export class Ledger {
  readonly #lastDelivered: number[] = [];
  readonly #ordered: boolean;
  readonly #seen: Uint8Array[] = [];
  #delivered = 0;
  #duplicates = 0;
  #inverted = 0;
  #refused = 0;
  #firstInversion: string | null = null;

  constructor(ordered: boolean) {
    this.#ordered = ordered;
  }

  /** Notes an arrival; `accept`: it is answered 2xx. */
  arrive(group: number, place: number, accept: boolean): void {
    if (!this.#ordered) {
      this.#arriveUnordered(group, place, accept);
      return;
    }
    const last = this.#lastDelivered[group] ?? 0;
    if (place <= last) {
      this.#duplicates += 1;
      return;
    }
    if (place !== last + 1) {
      this.#inverted += 1;
      this.#firstInversion ??= `group ${group}: ${place} arrived when ${last} was the last delivered`;
    }
    if (!accept) {
      this.#refused += 1;
      return;
    }
    this.#lastDelivered[group] = place;
    this.#delivered += 1;
  }

  #arriveUnordered(group: number, place: number, accept: boolean): void {
    let seen = this.#seen[group] ?? new Uint8Array(64);
    if (place >= seen.length) {
      const larger = new Uint8Array(Math.max(place + 1, seen.length * 2));
      larger.set(seen);
      seen = larger;
    }
    this.#seen[group] = seen;
    if (seen[place] === 1) this.#duplicates += 1;
    else if (!accept) this.#refused += 1;
    else {
      seen[place] = 1;
      this.#delivered += 1;
    }
  }

  summary(): LedgerSummary {
    return {
      delivered: this.#delivered,
      duplicates: this.#duplicates,
      inverted: this.#inverted,
      refused: this.#refused,
      firstInversion: this.#firstInversion,
    };
  }

  get delivered(): number {
    return this.#delivered;
  }
}

/** Latencies of the hold, in microseconds, in buckets of 10 us up to 10 s. */
export class LatencyHistogram {
  readonly #buckets = new Uint32Array(1_000_001);
  #count = 0;
  #maxMs = 0;

  add(ms: number): void {
    const bucket = Math.min(1_000_000, Math.max(0, Math.floor(ms * 100)));
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1;
    this.#count += 1;
    if (ms > this.#maxMs) this.#maxMs = ms;
  }

  summary(): { count: number; p50: number; p95: number; p99: number; max: number } {
    return {
      count: this.#count,
      p50: this.#quantile(0.5),
      p95: this.#quantile(0.95),
      p99: this.#quantile(0.99),
      max: Number(this.#maxMs.toFixed(2)),
    };
  }

  #quantile(share: number): number {
    const rank = Math.ceil(this.#count * share);
    let seen = 0;
    for (let bucket = 0; bucket < this.#buckets.length; bucket += 1) {
      seen += this.#buckets[bucket] ?? 0;
      if (seen >= rank && seen > 0) return bucket / 100;
    }
    return 0;
  }
}
