/**
 * Which deduplication ids were published lately, as this publisher knows. The truth is in `queue_dedup`: one row per
 * publish, not one per message. Before it decides, a publisher that holds the publishing lock reads the rows it has not
 * seen, so all publishers decide from the same knowledge. An id and when it came are kept until the window has passed.
 */
export interface DedupRow {
  readonly seq: number;
  readonly at_ms: number;
  /** A JSON array of ids. */
  readonly ids: string;
}

export class DedupWindow {
  readonly #windowMs: number;
  readonly #known = new Map<string, number>();
  #seen: { readonly seq: number; readonly atMs: number; readonly ids: readonly string[] }[] = [];
  #lastSeq = 0;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /** Rows up to this one are known. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  absorb(rows: readonly DedupRow[]): void {
    for (const { seq, at_ms: atMs, ids } of rows) this.add(seq, atMs, JSON.parse(ids) as string[]);
  }

  /** What this publisher has committed itself. */
  add(seq: number, atMs: number, ids: readonly string[]): void {
    if (seq <= this.#lastSeq) return;
    this.#lastSeq = seq;
    this.#seen.push({ seq, atMs, ids });
    for (const id of ids) this.#known.set(id, atMs);
  }

  has(id: string, nowMs: number): boolean {
    const atMs = this.#known.get(id);
    return atMs !== undefined && nowMs - atMs < this.#windowMs;
  }

  /** Drops what the window has passed. Returns the last row that nobody needs any more; null: none went. */
  forget(nowMs: number): number | null {
    const passed = this.#seen.findIndex(({ atMs }) => nowMs - atMs < this.#windowMs);
    const gone = this.#seen.splice(0, passed < 0 ? this.#seen.length : passed);
    for (const { ids, atMs } of gone) {
      for (const id of ids) if (this.#known.get(id) === atMs) this.#known.delete(id);
    }
    return gone.at(-1)?.seq ?? null;
  }

  /** Knows nothing any more, and reads it again. */
  reset(): void {
    this.#known.clear();
    this.#seen = [];
    this.#lastSeq = 0;
  }
}
