/**
 * Rows in hand: claimed, and not settled yet.
 *
 * Rows of one group stand in a line, in order. A line is ready (its first row may go into a batch) or busy (a batch
 * under way has rows of it), so no two batches share a group. A row without a group has a line of its own. Lines that
 * are ready wait by the type of their first row, in the order they became ready; types take turns.
 *
 * A row counts as in hand until what became of it is written down, so that what the source is slow to take is bounded
 * too.
 */
import type { OutboxRow } from "../domain/outbox-row.ts";
import type { OutboxKind } from "../ports/outbox-publisher.ts";
import type { Look } from "./scan.ts";

export interface HandRow {
  readonly row: OutboxRow;
  readonly kind: OutboxKind;
  readonly json: string;
  readonly claimedAtMs: number;
}

export interface Line {
  readonly group: string | null;
  /** How its rows were found: where those behind them are looked for. */
  readonly look: Look;
  readonly rows: HandRow[];
  /** Those before it are in a batch, or gone. */
  head: number;
  isBusy: boolean;
}

export interface Batch {
  readonly kind: OutboxKind;
  readonly rows: readonly HandRow[];
  readonly lines: readonly Line[];
}

interface BatchLimits {
  readonly maxRows: number;
  readonly maxChars: number;
}

export class Hand {
  readonly #lines = new Map<string, Line>();
  /** The types in the order they take turns. */
  readonly #ready = new Map<OutboxKind, Set<Line>>();
  #rows = 0;
  #bytes = 0;

  get rows(): number {
    return this.#rows;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Groups with rows that wait or are under way. */
  get groups(): number {
    return this.#lines.size;
  }

  add(rows: readonly HandRow[], look: Look): void {
    const touched = new Set<Line>();
    for (const row of rows) {
      this.#rows++;
      this.#bytes += row.row.payloadBytes;
      const line = this.#lineOf(row.row.group, look);
      line.rows.push(row);
      touched.add(line);
    }
    for (const line of touched) if (!line.isBusy) this.#makeReady(line);
  }

  /** Null: no line is ready. */
  takeBatch(limits: BatchLimits): Batch | null {
    for (const [kind, ready] of this.#ready) {
      if (ready.size === 0) continue;
      // To the end of the turns.
      this.#ready.delete(kind);
      this.#ready.set(kind, ready);
      return fill(kind, ready, limits);
    }
    return null;
  }

  /**
   * The batch is over for the line: what waits in it may go next. `held`: it may not, and is given back instead, for
   * the caller to release. True with an empty list: no row of the line is left.
   */
  giveBack(line: Line, isHeld: boolean): { readonly isEmpty: boolean; readonly released: readonly HandRow[] } {
    line.isBusy = false;
    const left = line.rows.splice(0).slice(line.head);
    line.head = 0;
    if (left.length > 0 && !isHeld) {
      line.rows.push(...left);
      this.#makeReady(line);
      return { isEmpty: false, released: [] };
    }
    if (line.group !== null) this.#lines.delete(line.group);
    return { isEmpty: true, released: left };
  }

  /** Takes out all rows that are in no batch: of lines that are ready, and what waits in busy ones. */
  takeWaiting(): readonly HandRow[] {
    const taken: HandRow[] = [];
    for (const ready of this.#ready.values()) {
      for (const line of ready) {
        taken.push(...line.rows.slice(line.head));
        if (line.group !== null) this.#lines.delete(line.group);
      }
      ready.clear();
    }
    for (const line of this.#lines.values()) taken.push(...line.rows.splice(line.head));
    return taken;
  }

  /** When the row that has waited longest was claimed; null: none waits. */
  waitingSinceMs(): number | null {
    let sinceMs: number | null = null;
    for (const ready of this.#ready.values()) {
      const [line] = ready;
      const row = line?.rows[line.head];
      if (row !== undefined && (sinceMs === null || row.claimedAtMs < sinceMs)) sinceMs = row.claimedAtMs;
    }
    return sinceMs;
  }

  /** What became of them is written down. */
  settled(rows: readonly HandRow[]): void {
    this.#rows -= rows.length;
    for (const { row } of rows) this.#bytes -= row.payloadBytes;
  }

  #lineOf(group: string | null, look: Look): Line {
    const known = group === null ? undefined : this.#lines.get(group);
    if (known !== undefined) return known;
    const line: Line = { group, look, rows: [], head: 0, isBusy: false };
    if (group !== null) this.#lines.set(group, line);
    return line;
  }

  #makeReady(line: Line): void {
    const kind = line.rows[line.head]?.kind;
    if (kind === undefined) return;
    const ready = this.#ready.get(kind) ?? new Set();
    if (!this.#ready.has(kind)) this.#ready.set(kind, ready);
    ready.add(line);
  }
}

function fill(kind: OutboxKind, ready: Set<Line>, { maxRows, maxChars }: BatchLimits): Batch {
  const rows: HandRow[] = [];
  const lines: Line[] = [];
  let chars = 0;
  const fits = (row: HandRow): boolean => rows.length === 0 || chars + row.json.length <= maxChars;
  for (const line of ready) {
    let row = line.rows[line.head];
    if (rows.length >= maxRows || row === undefined || !fits(row)) break;
    ready.delete(line);
    line.isBusy = true;
    lines.push(line);
    while (row?.kind === kind && rows.length < maxRows && fits(row)) {
      chars += row.json.length;
      rows.push(row);
      line.head++;
      row = line.rows[line.head];
    }
  }
  return { kind, rows, lines };
}
