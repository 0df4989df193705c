import {
  outboxLimits,
  type OutboxPosition,
  type OutboxResult,
  type OutboxRow,
  type OutboxRowId,
} from "../../domain/outbox-row.ts";
import type {
  OutboxClaim,
  OutboxClaimAnswer,
  OutboxCounts,
  OutboxLease,
  OutboxRetryRule,
  OutboxSource,
  OutboxSourceCapabilities,
} from "../../ports/outbox-source.ts";
import type { PostgresDatabase, PostgresSession } from "../../postgres/postgres-database.ts";
import { isRepeatable, toStoreError } from "../../postgres/postgres-errors.ts";
import { statement, toJsonRows } from "../../postgres/statement.ts";
import { exhaustedFrom, outboxCountedTo, sqlForm, statusLiteral, tablesMissing, type SqlForm } from "../outbox-form.ts";
import { beforeAll, claimNew, claimRetries, type ClaimRow } from "./claim-statements.ts";
import { outboxStatements, type OutboxStatements } from "./outbox-statements.ts";
import { postgresNames, type PostgresNames } from "./postgres-ddl.ts";
import type { OutboxSourceConfig } from "../outbox-source-config.ts";

export const postgresOutboxCapabilities: OutboxSourceCapabilities = { wakeUps: true, fencedClaims: true };

const repeatTries = 5;
const probeStatement = statement<{ readonly one: number }>("SELECT 1 AS one");

/** Both are closed with the source. */
export interface PostgresOutboxDeps {
  /** Of the profile `hot`. */
  readonly database: PostgresDatabase;
  /** Of the profile `unsynced`. */
  readonly unsynced: PostgresDatabase;
}

/** A result as its statement reads it. */
interface StoredResult {
  readonly id: OutboxRowId;
  readonly status: string;
  readonly error: string;
  readonly retries: number;
}

/**
 * An outbox table in an application's PostgreSQL database.
 *
 * **Claims** are one statement each (claim-statements.ts) and come one after another: those of this process because
 * each waits for the one before it, those of others because the control row is locked. Outcomes, releases and the lease
 * need no claim to be over.
 *
 * **Cost.** A row is inserted, updated twice and deleted. The session takes generic plans and has scans turned off
 * (postgres/postgres-database.ts), because an outbox is empty when statistics are made and full when they matter; a
 * plan test with a million rows holds every statement to its index. A claim looks at `maxScanned` rows, and asks the
 * index of groups once per group among them.
 *
 * **Durability.** Claims do not wait for the disk: what a crash of the server takes back is pending again, and claimed
 * and sent once more with the same deduplication id. So the way to the webhook waits for the application's commit and
 * no other. Whatever ends a row's progress is waited for, many rows to a commit: taken back by a crash that no
 * connection notices, the row would stand in progress for nobody, and hold its group. So are the lease, whose epoch
 * must not be given twice, and what operators do.
 *
 * **Time** is the database's, in rows and in the lease, so processors need no common clock.
 *
 * **Wake-ups** come from a trigger that notifies once per inserting statement; they arrive with the commit. A NOTIFY
 * makes commits of the whole server take turns for a moment; an application that minds drops the trigger, and the
 * processor polls.
 *
 * **Failures.** Without the database all calls throw STORE_UNAVAILABLE, and connections are made again for ever. A
 * connection lost during a commit leaves open whether the call did its work: rows a claim took unseen come back by
 * `recover`, and what was not settled is sent again with the same deduplication id. A deadlock with the application's
 * own transactions is done again.
 */
export class PostgresOutboxSource implements OutboxSource {
  readonly capabilities = postgresOutboxCapabilities;
  readonly lease: OutboxLease;
  readonly #database: PostgresDatabase;
  readonly #unsynced: PostgresDatabase;
  readonly #form: SqlForm;
  readonly #names: PostgresNames;
  readonly #statements: OutboxStatements;
  readonly #claimNew: ReturnType<typeof claimNew>;
  readonly #claimRetries: ReturnType<typeof claimRetries>;
  #lastClaim: Promise<unknown> = Promise.resolve();

  constructor({ database, unsynced }: PostgresOutboxDeps, config: OutboxSourceConfig) {
    this.#database = database;
    this.#unsynced = unsynced;
    this.#form = sqlForm(config.form);
    this.#names = postgresNames(config.table);
    this.#statements = outboxStatements(this.#form, this.#names);
    this.#claimNew = claimNew(this.#form, this.#names);
    this.#claimRetries = claimRetries(this.#form, this.#names);
    this.lease = {
      acquire: (holder, ttlMs) => this.#again((session) => session.one(this.#statements.acquire, [holder, ttlMs])),
      release: async (holder) => {
        await this.#again((session) => session.run(this.#statements.giveBack, [holder]));
      },
    };
  }

  async verify(): Promise<void> {
    await this.#verifyTable(this.#names.quoted, this.#form.columns);
    await this.#verifyTable(this.#names.control, ["only_row", "epoch", "holder", "lease_until", "paused_reason"]);
    const row = await this.#database.one(this.#statements.control, []);
    if (row === null) throw tablesMissing(this.#names.control, ["its row"]);
  }

  async #verifyTable(table: string, wanted: readonly string[]): Promise<void> {
    const found = new Set((await this.#database.query(this.#statements.columns, [table])).map(({ column }) => column));
    if (found.size === 0) throw tablesMissing(table, []);
    const missing = wanted.filter((column) => !found.has(column));
    if (missing.length > 0) throw tablesMissing(table, missing);
  }

  /** Two claims at once would wait for each other in the database, and the second see the states before the first. */
  claim(claim: OutboxClaim): Promise<OutboxClaimAnswer> {
    const claimed = this.#lastClaim.then(() => this.#claim(claim));
    this.#lastClaim = claimed.catch(() => undefined);
    return claimed;
  }

  async #claim(claim: OutboxClaim): Promise<OutboxClaimAnswer> {
    const rows = await this.#again((session) => this.#ask(session, claim), this.#unsynced);
    const [first] = rows;
    if (first === undefined || !first.ours) return { kind: "fenced" };
    if (first.paused_reason !== null) return { kind: "paused", reason: first.paused_reason };
    return {
      kind: "claimed",
      rows: rows.flatMap((row) => (row.id === null ? [] : [this.#rowOf(row, row.id)])),
      next: first.next_at === null ? null : positionOf(first.next_at, first.next_id ?? ""),
      passedOver: first.passed_over,
    };
  }

  #ask(session: PostgresSession, claim: OutboxClaim): Promise<readonly ClaimRow[]> {
    const { epoch, maxScanned, maxRows, maxBytes, payloadMaxBytes, blockOnError, maxRetries } = claim;
    const values = [epoch, maxScanned, maxRows, maxBytes, payloadMaxBytes, blockOnError] as const;
    if (claim.which === "retries") return session.query(this.#claimRetries, [...values, maxRetries]);
    const { createdAt, id } = claim.after ?? beforeAll;
    return session.query(this.#claimNew, [...values, createdAt, id]);
  }

  #rowOf(row: ClaimRow, id: string): OutboxRow {
    const common = {
      id: id as OutboxRowId,
      position: positionOf(row.created_at, id),
      group: row.message_group,
      payload: row.payload,
      payloadBytes: row.payload_bytes,
      headers: row.headers,
      retryCount: row.retry_count,
    };
    if (this.#form.form === "platform") {
      return { form: "platform", ...common, type: row.type ?? "", clientId: row.client_id ?? null };
    }
    const { pool_code: poolCode = null, target = "", deduplication_id: deduplicationId = null } = row;
    return { form: "router", ...common, poolCode, target, deduplicationId };
  }

  async settle(results: readonly OutboxResult[]): Promise<readonly OutboxRowId[]> {
    const done = results.filter(({ kind }) => kind === "done").map(({ id }) => id);
    const others = results.flatMap((result) => (result.kind === "done" ? [] : [this.#storedOf(result)]));
    if (others.length === 0) return this.#again((session) => this.#settleDone(session, done));
    return this.#database.transaction(async (session) => {
      const locked = await this.#settleDone(session, done);
      const changed = await session.run(this.#statements.others, [toJsonRows(others)]);
      return changed === others.length ? locked : [...locked, ...(await this.#inProgress(session, others))];
    });
  }

  async #settleDone(session: PostgresSession, ids: readonly OutboxRowId[]): Promise<readonly OutboxRowId[]> {
    if (ids.length === 0 || (await session.run(this.#statements.done, [ids])) === ids.length) return [];
    const left = await session.query(this.#statements.notDone, [ids]);
    return left.map(({ id }) => id as OutboxRowId);
  }

  async #inProgress(
    session: PostgresSession,
    rows: readonly { readonly id: OutboxRowId }[],
  ): Promise<readonly OutboxRowId[]> {
    const left = await session.query(this.#statements.stillInProgress, [rows.map(({ id }) => id)]);
    return left.map(({ id }) => id as OutboxRowId);
  }

  #storedOf(result: Exclude<OutboxResult, { readonly kind: "done" }>): StoredResult {
    const literal = statusLiteral(this.#form, result.status).replaceAll("'", "");
    return {
      id: result.id,
      status: literal,
      error: result.error.slice(0, outboxLimits.errorMaxChars),
      retries: result.kind === "failed" && result.countsAsRetry ? 1 : 0,
    };
  }

  async release(rows: readonly OutboxRow[]): Promise<readonly OutboxRowId[]> {
    if (rows.length === 0) return [];
    const ids = rows.map(({ id }) => id);
    return this.#again(async (session) => {
      const changed = await session.run(this.#statements.release, [ids]);
      return changed === rows.length ? [] : this.#inProgress(session, rows);
    });
  }

  async recover(inProgressForMs: number): Promise<number> {
    await this.#again((session) => session.run(this.#statements.giveTimes, []));
    return this.#again((session) => session.run(this.#statements.recover, [inProgressForMs]));
  }

  deleteFinished(settledForMs: number, limit: number): Promise<number> {
    const values = [settledForMs, limit] as const;
    return this.#again((session) => session.run(this.#statements.deleteFinished, values), this.#unsynced);
  }

  async counts({ maxRetries }: OutboxRetryRule): Promise<OutboxCounts> {
    const values = [exhaustedFrom(maxRetries), outboxCountedTo] as const;
    const row = await this.#again((session) => session.one(this.#statements.counts, values));
    return {
      pending: row?.pending ?? 0,
      inProgress: row?.in_progress ?? 0,
      waiting: row?.waiting ?? 0,
      exhausted: row?.exhausted ?? 0,
      refused: row?.refused ?? 0,
      countedTo: outboxCountedTo,
      oldestAgeMs: row?.oldest_age_ms ?? null,
    };
  }

  async listen(told: () => void, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const stop = this.#database.listen(this.#names.channel, told);
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    stop();
  }

  async probe(): Promise<void> {
    await this.#database.one(probeStatement, []);
  }

  async close(): Promise<void> {
    await Promise.all([this.#database.close(), this.#unsynced.close()]);
  }

  /** A statement that lost a deadlock has done nothing. */
  async #again<Result>(
    work: (session: PostgresSession) => Promise<Result>,
    session: PostgresSession = this.#database,
  ): Promise<Result> {
    for (let tried = 1; ; tried++) {
      try {
        return await work(session);
      } catch (error) {
        if (!isRepeatable(error)) throw error;
        if (tried === repeatTries) throw toStoreError(error);
      }
    }
  }
}

function positionOf(createdAt: string, id: string): OutboxPosition {
  return { createdAt, id: id as OutboxRowId };
}
