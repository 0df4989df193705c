import type { Clock } from "@flowcatalyst/foundation";
import {
  outboxRetryDelayMs,
  outboxStatus,
  type OutboxResult,
  type OutboxRow,
  type OutboxRowId,
  type OutboxStatus,
} from "../domain/outbox-row.ts";
import type { OutboxClaim, OutboxClaimAnswer, OutboxSource } from "../ports/outbox-source.ts";

/** A row as the application wrote it, and where it stands. */
export interface MemoryRow {
  readonly number: number;
  readonly row: OutboxRow;
  status: OutboxStatus;
  retryCount: number;
  error: string | null;
  updatedAtMs: number;
}

export interface NewMemoryRow {
  readonly group?: string | null;
  readonly type?: string;
  readonly payload?: string | null;
  readonly clientId?: string | null;
  readonly headers?: string | null;
}

/** What a scripted database does instead of answering. */
export type Interference = (call: "claim" | "settle" | "release" | "acquire" | "verify") => void | Promise<void>;

/** A source that keeps its rows in memory, by the rules of the port, and does what a test tells it. */
export class MemoryOutbox implements OutboxSource {
  readonly capabilities = { wakeUps: true, fencedClaims: true };
  readonly rows: MemoryRow[] = [];
  readonly claims: OutboxClaim[] = [];
  interfere: Interference = () => undefined;
  pausedReason: string | null = null;
  /** By the application, in a transaction that goes on. */
  readonly locked = new Set<OutboxRowId>();
  /** Settled with success, in the order they were written down. */
  readonly done: number[] = [];
  readonly #clock: Clock;
  readonly #waiters = new Set<() => void>();
  #told: () => void = () => undefined;
  #holder: string | null = null;
  #untilMs = 0;
  #epoch = 0;
  #made = 0;
  #passedMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  insert(...rows: readonly NewMemoryRow[]): readonly MemoryRow[] {
    const inserted = rows.map((row) => this.#rowOf(row));
    this.rows.push(...inserted);
    this.#told();
    return inserted;
  }

  #rowOf({ group = null, type = "EVENT", payload, clientId = null, headers = null }: NewMemoryRow): MemoryRow {
    const number = this.#made++;
    const id = `row${String(number).padStart(7, "0")}` as OutboxRowId;
    const text = payload === undefined ? JSON.stringify({ type: "a.b", source: "s", data: number }) : payload;
    const row: OutboxRow = {
      form: "platform",
      id,
      position: { createdAt: String(number).padStart(9, "0"), id },
      group,
      type,
      payload: text,
      payloadBytes: text?.length ?? 0,
      clientId,
      headers,
      retryCount: 0,
    };
    return { number, row, status: 0, retryCount: 0, error: null, updatedAtMs: this.#nowMs() };
  }

  /** For the delays of retries, and for how long rows are in progress. */
  passTime(ms: number): void {
    this.#passedMs += ms;
  }

  #nowMs(): number {
    return this.#clock.now() + this.#passedMs;
  }

  statuses(): readonly OutboxStatus[] {
    return this.rows.map(({ status }) => status);
  }

  /** Resolves when it is so, looked at after each write. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise<void>((resolve) => void this.#waiters.add(resolve));
  }

  #changed(): void {
    for (const waiter of this.#waiters) waiter();
    this.#waiters.clear();
  }

  readonly lease = {
    acquire: async (holder: string, ttlMs: number) => {
      await this.interfere("acquire");
      const nowMs = this.#clock.monotonicMs();
      if (this.#holder !== holder && this.#holder !== null && nowMs < this.#untilMs) return null;
      if (this.#holder !== holder) this.#epoch++;
      this.#holder = holder;
      this.#untilMs = nowMs + ttlMs;
      return { epoch: this.#epoch };
    },
    release: async (holder: string) => {
      if (this.#holder === holder) this.#holder = null;
    },
  };

  /** Somebody else takes the lease, whoever has it. */
  usurp(): void {
    this.#holder = "usurper";
    this.#untilMs = this.#clock.monotonicMs() + 1_000_000;
    this.#epoch++;
  }

  async claim(claim: OutboxClaim): Promise<OutboxClaimAnswer> {
    await this.interfere("claim");
    this.claims.push(claim);
    if (claim.epoch !== this.#epoch) return { kind: "fenced" };
    if (this.pausedReason !== null) return { kind: "paused", reason: this.pausedReason };
    const nowMs = this.#nowMs();
    const isRetry = claim.which === "retries";
    const isDue = (row: MemoryRow): boolean =>
      isRetry
        ? isWaiting(row) &&
          row.retryCount < claim.maxRetries &&
          nowMs - row.updatedAtMs >= outboxRetryDelayMs(row.retryCount)
        : row.status === outboxStatus.pending;
    const from = claim.after === null ? 0 : this.rows.findIndex(({ row }) => row.id === claim.after?.id) + 1;
    const window = this.rows
      .slice(isRetry ? 0 : from)
      .filter(isDue)
      .slice(0, claim.maxScanned);
    const busy = new Set(this.rows.filter(({ status }) => status === 9).map(({ row }) => row.group));
    const firstHeld = this.#firstHeld(claim);
    const given: MemoryRow[] = [];
    let [bytes, passedOver] = [0, 0];
    let last: MemoryRow | undefined;
    for (const row of window) {
      if (given.length >= claim.maxRows || (given.length > 0 && bytes + row.row.payloadBytes > claim.maxBytes)) break;
      last = row;
      const { group } = row.row;
      const isFirst = group === null || (firstHeld.get(group)?.[0] === row.number && !busy.has(group));
      if (!isFirst) passedOver++;
      else {
        if (group !== null) firstHeld.get(group)?.shift();
        given.push(row);
        bytes += row.row.payloadBytes;
      }
    }
    for (const row of isRetry ? window.filter((each) => !given.includes(each)) : []) row.status = outboxStatus.pending;
    for (const row of given) this.#set(row, outboxStatus.inProgress);
    const rows = given.map(({ row, retryCount }) => ({ ...row, retryCount }));
    return { kind: "claimed", rows, next: isRetry ? null : (last?.row.position ?? null), passedOver };
  }

  /** By group, the rows that hold those behind them, in order. */
  #firstHeld({ blockOnError }: OutboxClaim): Map<string, number[]> {
    const held = new Map<string, number[]>();
    for (const row of this.rows) {
      const { group } = row.row;
      if (group === null || !(row.status === 0 || (blockOnError && isWaiting(row)))) continue;
      const numbers = held.get(group) ?? [];
      if (numbers.length === 0) held.set(group, numbers);
      numbers.push(row.number);
    }
    return held;
  }

  async settle(results: readonly OutboxResult[]): Promise<readonly OutboxRowId[]> {
    await this.interfere("settle");
    for (const result of results) {
      if (this.locked.has(result.id)) continue;
      const row = this.rows[Number(result.id.slice("row".length))];
      if (row === undefined) continue;
      if (result.kind === "done" ? [1, 2, 5].includes(row.status) : row.status !== 9) continue;
      if (result.kind === "done") this.done.push(row.number);
      else row.error = result.error;
      if (result.kind === "failed" && result.countsAsRetry) row.retryCount++;
      this.#set(row, result.kind === "done" ? outboxStatus.success : result.status);
    }
    this.#changed();
    return results.flatMap(({ id }) => (this.locked.has(id) ? [id] : []));
  }

  async release(rows: readonly OutboxRow[]): Promise<readonly OutboxRowId[]> {
    await this.interfere("release");
    const ids = new Set(rows.flatMap(({ id }) => (this.locked.has(id) ? [] : [id])));
    for (const row of this.rows) if (ids.has(row.row.id) && row.status === 9) this.#set(row, outboxStatus.pending);
    this.#changed();
    return rows.flatMap(({ id }) => (this.locked.has(id) ? [id] : []));
  }

  async recover(inProgressForMs: number): Promise<number> {
    const nowMs = this.#nowMs();
    const left = this.rows.filter(({ status, updatedAtMs }) => status === 9 && nowMs - updatedAtMs >= inProgressForMs);
    for (const row of left) this.#set(row, outboxStatus.pending);
    return left.length;
  }

  #set(row: MemoryRow, status: OutboxStatus): void {
    row.status = status;
    row.updatedAtMs = this.#nowMs();
  }

  async deleteFinished(): Promise<number> {
    return 0;
  }

  async counts() {
    const of = (...states: readonly OutboxStatus[]): number =>
      this.rows.filter(({ status }) => states.includes(status)).length;
    return {
      pending: of(0),
      inProgress: of(9),
      waiting: of(3, 4, 6),
      exhausted: 0,
      refused: of(2, 5),
      countedTo: 100_000,
      oldestAgeMs: null,
    };
  }

  listen(told: () => void, signal: AbortSignal): Promise<void> {
    this.#told = told;
    return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  }

  async verify(): Promise<void> {
    await this.interfere("verify");
  }

  async probe(): Promise<void> {}
  async close(): Promise<void> {}
}

function isWaiting({ status }: MemoryRow): boolean {
  return status === outboxStatus.internalError || status === outboxStatus.unauthorized || status === 6;
}
