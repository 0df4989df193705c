import { outboxRetryDelayMs, type OutboxPosition, type OutboxRow, type OutboxRowId } from "../../domain/outbox-row.ts";
import type { OutboxClaim, OutboxClaimAnswer } from "../../ports/outbox-source.ts";
import type { SqlForm } from "../outbox-form.ts";
import type { FileSession } from "./outbox-file.ts";

/** However many are asked for: for so long nobody else writes to the file, and this thread does nothing else. */
export const sqliteClaimLimits = { maxRows: 1_000, maxScanned: 1_000 } as const;

/**
 * One claim, inside a transaction that nobody else writes beside: rows are looked at one after another, and each group
 * is asked once for what it holds.
 */
export class SqliteClaim {
  readonly #file: FileSession;
  readonly #sql: ClaimTexts;
  readonly #claim: OutboxClaim;
  readonly #nowMs: number;
  readonly #groups = new Map<string, GroupState>();
  #bytes = 0;

  constructor(file: FileSession, sql: ClaimTexts, { claim, nowMs }: { claim: OutboxClaim; nowMs: number }) {
    const { maxRows, maxScanned } = sqliteClaimLimits;
    this.#file = file;
    this.#sql = sql;
    this.#claim = {
      ...claim,
      maxRows: Math.min(claim.maxRows, maxRows),
      maxScanned: Math.min(claim.maxScanned, maxScanned),
    };
    this.#nowMs = nowMs;
  }

  run(): OutboxClaimAnswer {
    return this.#claim.which === "new" ? this.#new() : this.#retries();
  }

  #new(): OutboxClaimAnswer {
    const { after, maxScanned } = this.#claim;
    const rows: OutboxRow[] = [];
    let next: OutboxPosition | null = null;
    let passedOver = 0;
    let passedSinceGiven = 0;
    const looks = this.#file.all<LookedRow>(this.#sql.pending, after?.createdAt ?? "", after?.id ?? "", maxScanned);
    for (const look of looks) {
      if (!this.#mayGo(look)) {
        passedSinceGiven += 1;
        next = positionOf(look);
        continue;
      }
      if (!this.#fits(look, rows.length))
        return { kind: "claimed", rows, next: rows.at(-1)?.position ?? null, passedOver };
      rows.push(this.#give(look));
      next = positionOf(look);
      passedOver += passedSinceGiven;
      passedSinceGiven = 0;
    }
    return { kind: "claimed", rows, next, passedOver: passedOver + passedSinceGiven };
  }

  #retries(): OutboxClaimAnswer {
    const looks: LookedRow[] = [];
    const { maxRetries, maxScanned } = this.#claim;
    // An application may have written a number of retries below zero: it counts as none.
    if (maxRetries > 0) looks.push(...this.#file.all<LookedRow>(this.#sql.dueBelowZero, maxScanned));
    for (let retries = 0; retries < maxRetries; retries++) {
      const room = maxScanned - looks.length;
      if (room <= 0) break;
      const dueBefore = new Date(this.#nowMs - outboxRetryDelayMs(retries)).toISOString();
      looks.push(...this.#file.all<LookedRow>(this.#sql.due, retries, dueBefore, room));
    }
    const rows: OutboxRow[] = [];
    const held: LookedRow[] = [];
    /** The last row of each group that may go, by its id: what the next one may have before it. */
    const last = new Map<string, string>();
    let isFull = false;
    for (const look of looks.toSorted(byPosition)) {
      if (!this.#mayRetry(look, last)) held.push(look);
      else if (isFull || !this.#fits(look, rows.length)) isFull = true;
      else rows.push(this.#give(look));
    }
    for (const { id } of held) this.#file.run(this.#sql.letGo, new Date(this.#nowMs).toISOString(), id);
    return { kind: "claimed", rows, next: null, passedOver: held.length };
  }

  #mayGo(look: LookedRow): boolean {
    if (look.grp === null) return true;
    const state = this.#groupOf(look.grp);
    return !state.closed && (state.heldFrom === null || byPosition(look, state.heldFrom) < 0);
  }

  #groupOf(group: string): GroupState {
    const known = this.#groups.get(group);
    if (known !== undefined) return known;
    const { after, blockOnError } = this.#claim;
    const isUnderWay = this.#file.one(this.#sql.inProgressOf, group) !== null;
    const isBehind = after !== null && this.#file.one(this.#sql.pendingUpTo, group, after.createdAt, after.id) !== null;
    const waits = blockOnError
      ? this.#sql.firstWaiting.flatMap((text) => this.#file.one<PlacedRow>(text, group) ?? [])
      : [];
    const state = { closed: isUnderWay || isBehind, heldFrom: waits.toSorted(byPosition)[0] ?? null };
    this.#groups.set(group, state);
    return state;
  }

  /**
   * What waits before it in its group must be given as well: the one before it is the last that may go, or there is
   * none.
   */
  #mayRetry(look: LookedRow, last: Map<string, string>): boolean {
    if (look.grp === null) return true;
    const place = [look.grp, look.created_at, look.id] as const;
    if (this.#file.one(this.#sql.inProgressOf, look.grp) !== null && !last.has(look.grp)) return false;
    if (this.#file.one(this.#sql.pendingBefore, ...place) !== null) return false;
    if (this.#claim.blockOnError) {
      const before = this.#sql.waitingBefore.flatMap((text) => this.#file.one<PlacedRow>(text, ...place) ?? []);
      const nearest = before.toSorted(byPosition).at(-1);
      // Rows given by this claim are in progress by now, and are not found any more.
      if (nearest !== undefined && nearest.id !== last.get(look.grp)) return false;
    }
    last.set(look.grp, look.id);
    return true;
  }

  #fits({ bytes }: LookedRow, given: number): boolean {
    const { maxRows, maxBytes, payloadMaxBytes } = this.#claim;
    const total = this.#bytes + (bytes <= payloadMaxBytes ? bytes : 0);
    if (given >= maxRows || (given > 0 && total > maxBytes)) return false;
    this.#bytes = total;
    return true;
  }

  #give(look: LookedRow): OutboxRow {
    const now = new Date(this.#nowMs).toISOString();
    this.#file.run(this.#sql.take, now, look.id);
    const row = this.#file.one<StoredRow>(this.#sql.read, this.#claim.payloadMaxBytes, look.id);
    const id = look.id as OutboxRowId;
    const common = {
      id,
      position: positionOf(look),
      group: look.grp,
      payload: row?.payload ?? null,
      payloadBytes: look.bytes,
      headers: row?.headers ?? null,
      retryCount: row?.retry_count ?? 0,
    };
    if (this.#sql.form === "platform") {
      return { form: "platform", ...common, type: row?.type ?? "", clientId: row?.client_id ?? null };
    }
    const { pool_code: poolCode = null, target = "", deduplication_id: deduplicationId = null } = row ?? {};
    return { form: "router", ...common, poolCode, target, deduplicationId };
  }
}

export interface ClaimTexts {
  readonly form: SqlForm["form"];
  readonly pending: string;
  readonly due: string;
  readonly dueBelowZero: string;
  readonly inProgressOf: string;
  readonly pendingUpTo: string;
  readonly pendingBefore: string;
  /** A look-up per state that waits. */
  readonly firstWaiting: readonly string[];
  readonly waitingBefore: readonly string[];
  readonly take: string;
  readonly read: string;
  readonly letGo: string;
}

/**
 * Rows of the group `?1` that are not finished. SQLite takes an index of some rows only where the condition of these
 * rows stands in the query, word for word.
 */
export function ofGroup(sql: SqlForm): string {
  return `${sql.group} = ?1 AND status <> ${sql.success}`;
}

export function claimTexts(sql: SqlForm, table: string): ClaimTexts {
  const { group } = sql;
  const looked = `id, created_at, ${group} AS grp, octet_length(payload) AS bytes`;
  const inGroup = (status: string): string => `FROM "${table}" WHERE ${ofGroup(sql)} AND status = ${status}`;
  const waiting = sql.waiting.split(", ");
  return {
    form: sql.form,
    pending: `SELECT ${looked} FROM "${table}" WHERE status = ${sql.pending} AND (created_at, id) > (?1, ?2)
      AND id IS NOT NULL
      ORDER BY created_at, id LIMIT ?3`,
    due: `SELECT ${looked} FROM "${table}" WHERE status IN (${sql.waiting}) AND retry_count = ?1 AND updated_at <= ?2
      ORDER BY updated_at LIMIT ?3`,
    dueBelowZero: `SELECT ${looked} FROM "${table}" WHERE status IN (${sql.waiting}) AND retry_count < 0 LIMIT ?1`,
    inProgressOf: `SELECT 1 ${inGroup(sql.inProgress)} LIMIT 1`,
    pendingUpTo: `SELECT 1 ${inGroup(sql.pending)} AND (created_at, id) <= (?2, ?3) LIMIT 1`,
    pendingBefore: `SELECT 1 ${inGroup(sql.pending)} AND (created_at, id) < (?2, ?3) LIMIT 1`,
    firstWaiting: waiting.map((status) => `SELECT created_at, id ${inGroup(status)} ORDER BY created_at, id LIMIT 1`),
    waitingBefore: waiting.map(
      (status) => `SELECT created_at, id ${inGroup(status)} AND (created_at, id) < (?2, ?3)
        ORDER BY created_at DESC, id DESC LIMIT 1`,
    ),
    take: `UPDATE "${table}" SET status = ${sql.inProgress}, retry_count = max(coalesce(retry_count, 0), 0),
      updated_at = ?1 WHERE id = ?2`,
    read: `SELECT CASE WHEN octet_length(payload) <= ?1 THEN payload END AS payload, headers, retry_count,
      ${sql.own.join(", ")} FROM "${table}" WHERE id = ?2`,
    letGo: `UPDATE "${table}" SET status = ${sql.pending}, updated_at = ?1 WHERE id = ?2`,
  };
}

interface PlacedRow {
  readonly created_at: string;
  readonly id: string;
}

interface LookedRow extends PlacedRow {
  readonly grp: string | null;
  readonly bytes: number;
}

interface StoredRow {
  readonly payload: string | null;
  readonly headers: string | null;
  readonly retry_count: number;
  readonly type?: string;
  readonly client_id?: string | null;
  readonly pool_code?: string | null;
  readonly target?: string;
  readonly deduplication_id?: string | null;
}

interface GroupState {
  readonly closed: boolean;
  /** The first row that waits: it and what is behind it may not go. */
  readonly heldFrom: PlacedRow | null;
}

function positionOf({ created_at: createdAt, id }: PlacedRow): OutboxPosition {
  return { createdAt, id: id as OutboxRowId };
}

function byPosition(one: PlacedRow, other: PlacedRow): number {
  if (one.created_at !== other.created_at) return one.created_at < other.created_at ? -1 : 1;
  if (one.id === other.id) return 0;
  return one.id < other.id ? -1 : 1;
}
