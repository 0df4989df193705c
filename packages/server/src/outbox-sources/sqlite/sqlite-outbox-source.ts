import type { Clock } from "@flowcatalyst/foundation";
import { outboxLimits, type OutboxResult, type OutboxRow, type OutboxRowId } from "../../domain/outbox-row.ts";
import type {
  OutboxClaim,
  OutboxClaimAnswer,
  OutboxCounts,
  OutboxLease,
  OutboxRetryRule,
  OutboxSource,
  OutboxSourceCapabilities,
} from "../../ports/outbox-source.ts";
import {
  exhaustedFrom,
  outboxCountedTo,
  outboxTableOf,
  sqlForm,
  statusConditions,
  statusLiteral,
  tablesMissing,
  type SqlForm,
} from "../outbox-form.ts";
import type { OutboxSourceConfig } from "../outbox-source-config.ts";
import { outboxFileLimits, type FileSession, type OutboxFile } from "./outbox-file.ts";
import { claimTexts, SqliteClaim, type ClaimTexts } from "./sqlite-claim.ts";

export interface SqliteOutboxDeps {
  readonly file: OutboxFile;
  readonly clock: Clock;
}

export const sqliteOutboxCapabilities: OutboxSourceCapabilities = { wakeUps: true, fencedClaims: true };

/**
 * An outbox table in an application's SQLite file.
 *
 * **Claims** are transactions that begin as writers, so nobody writes beside them, and each begins by looking whose the
 * lease is: that is all the fencing there is to do. **Time** is this machine's, as the application's is.
 *
 * **Wake-ups**: SQLite counts the commits of other connections (`PRAGMA data_version`), which is asked every 20 ms and
 * reads no more than a page. Commits of this process's own do not count.
 *
 * **Failures.** A file that is locked for more than 5 s, cannot be opened, or is on a failing disk is
 * STORE_UNAVAILABLE; a full disk STORE_FULL. The call has then done nothing.
 */
export class SqliteOutboxSource implements OutboxSource {
  readonly capabilities = sqliteOutboxCapabilities;
  readonly lease: OutboxLease;
  readonly #file: OutboxFile;
  readonly #clock: Clock;
  readonly #form: SqlForm;
  readonly #name: string;
  readonly #texts: ClaimTexts;

  constructor({ file, clock }: SqliteOutboxDeps, config: OutboxSourceConfig) {
    this.#file = file;
    this.#clock = clock;
    this.#form = sqlForm(config.form);
    this.#name = outboxTableOf(config.table).name;
    this.#texts = claimTexts(this.#form, this.#name);
    this.lease = {
      acquire: (holder, ttlMs) => this.#acquire(holder, ttlMs),
      release: async (holder) => {
        const text = `UPDATE "${this.#name}_control" SET holder = NULL, lease_until = NULL WHERE holder = ?1`;
        await this.#file.write((file) => file.run(text, holder));
      },
    };
  }

  async verify(): Promise<void> {
    const wanted = { [this.#name]: this.#form.columns, [`${this.#name}_control`]: ["epoch", "holder", "lease_until"] };
    for (const [table, columns] of Object.entries(wanted)) {
      const found = await this.#file.read((file) =>
        file.all<{ readonly name: string }>("SELECT name FROM pragma_table_info(?1)", table),
      );
      if (found.length === 0) throw tablesMissing(table, []);
      const missing = columns.filter((column) => !found.some(({ name }) => name === column));
      if (missing.length > 0) throw tablesMissing(table, missing);
    }
    const rows = await this.#file.read((file) => file.all(`SELECT 1 FROM "${this.#name}_control"`));
    if (rows.length === 0) throw tablesMissing(`${this.#name}_control`, ["its row"]);
  }

  #acquire(holder: string, ttlMs: number): Promise<{ readonly epoch: number } | null> {
    const text = `
      UPDATE "${this.#name}_control"
      SET epoch = CASE WHEN holder = ?1 THEN epoch ELSE epoch + 1 END, holder = ?1, lease_until = ?2
      WHERE holder IS NULL OR holder = ?1 OR lease_until <= ?3 RETURNING epoch`;
    return this.#file.write((file) => {
      const until = new Date(this.#clock.now() + ttlMs).toISOString();
      return file.one<{ readonly epoch: number }>(text, holder, until, this.#now());
    });
  }

  claim(claim: OutboxClaim): Promise<OutboxClaimAnswer> {
    const text = `SELECT epoch, holder, paused_reason FROM "${this.#name}_control"`;
    return this.#file.write((file) => {
      const control = file.one<ControlRow>(text);
      if (control === null || control.holder === null || control.epoch !== claim.epoch) return { kind: "fenced" };
      if (control.paused_reason !== null) return { kind: "paused", reason: control.paused_reason };
      return new SqliteClaim(file, this.#texts, { claim, nowMs: this.#clock.now() }).run();
    });
  }

  /** No row is locked by itself: whoever writes has the file. */
  async settle(results: readonly OutboxResult[]): Promise<readonly OutboxRowId[]> {
    if (results.length === 0) return [];
    await this.#file.write((file) => {
      for (const result of results) this.#settleOne(file, result);
    });
    return [];
  }

  #settleOne(file: FileSession, result: OutboxResult): void {
    const { error, inProgress, pending, success, waiting } = this.#form;
    if (result.kind === "done") {
      const published = this.#form.form === "router" ? ", published_at = ?1" : "";
      const text = `UPDATE "${this.#name}" SET status = ${success}, updated_at = ?1, ${error} = NULL${published}
        WHERE id = ?2 AND status IN (${pending}, ${waiting}, ${inProgress})`;
      file.run(text, this.#now(), result.id);
      return;
    }
    const text = `UPDATE "${this.#name}" SET status = ${statusLiteral(this.#form, result.status)}, updated_at = ?1,
      ${error} = ?2, retry_count = retry_count + ?3 WHERE id = ?4 AND status = ${inProgress}`;
    const retries = result.kind === "failed" && result.countsAsRetry ? 1 : 0;
    const reason = result.error.slice(0, outboxLimits.errorMaxChars).toWellFormed().replaceAll("\u0000", "\uFFFD");
    file.run(text, this.#now(), reason, retries, result.id);
  }

  async release(rows: readonly OutboxRow[]): Promise<readonly OutboxRowId[]> {
    if (rows.length === 0) return [];
    const text = `UPDATE "${this.#name}" SET status = ${this.#form.pending}, updated_at = ?1
      WHERE id = ?2 AND status = ${this.#form.inProgress}`;
    await this.#file.write((file) => {
      for (const { id } of rows) file.run(text, this.#now(), id);
    });
    return [];
  }

  recover(inProgressForMs: number): Promise<number> {
    const text = `UPDATE "${this.#name}" SET status = ${this.#form.pending}, updated_at = ?1
      WHERE status = ${this.#form.inProgress} AND (?3 = 0 OR updated_at <= ?2)`;
    return this.#file.write((file) => {
      this.#mendRows(file);
      return file.run(text, this.#now(), this.#now(inProgressForMs), inProgressForMs);
    });
  }

  /**
   * Of tables that an application made: a pending row without a time has no place in the order, and gets one; one
   * without an id (SQLite lets a key be NULL) could be settled by nobody, and is refused.
   */
  #mendRows(file: FileSession): void {
    const { pending, error } = this.#form;
    const rows = `UPDATE "${this.#name}" SET`;
    file.run(`${rows} created_at = ?1 WHERE status = ${pending} AND created_at IS NULL`, this.#now());
    const refused = `status = ${statusLiteral(this.#form, 2)}, updated_at = ?1, ${error} = 'the row has no id'`;
    file.run(`${rows} ${refused} WHERE id IS NULL AND status = ${pending}`, this.#now());
  }

  deleteFinished(settledForMs: number, limit: number): Promise<number> {
    const text = `DELETE FROM "${this.#name}" WHERE id IN (
      SELECT id FROM "${this.#name}" WHERE status = ${this.#form.success} AND updated_at <= ?1
      ORDER BY updated_at LIMIT ?2)`;
    return this.#file.write((file) => file.run(text, this.#now(settledForMs), limit));
  }

  async counts({ maxRetries }: OutboxRetryRule): Promise<OutboxCounts> {
    const { pending, inProgress, waiting } = this.#form;
    const from = exhaustedFrom(maxRetries);
    const row = await this.#file.read((file) => {
      const count = (conditions: readonly string[], ...values: readonly number[]): number => {
        const rows = conditions.map((condition) => `SELECT 1 FROM "${this.#name}" WHERE ${condition}`);
        const text = `SELECT count(*) AS n FROM (${rows.join(" UNION ALL ")} LIMIT ${outboxCountedTo})`;
        return file.one<{ readonly n: number }>(text, ...values)?.n ?? 0;
      };
      return {
        pending: count([`status = ${pending}`]),
        inProgress: count([`status = ${inProgress}`]),
        waiting: count([`status IN (${waiting}) AND retry_count < ?1`], from),
        exhausted: count([`status IN (${waiting}) AND retry_count >= ?1`], from),
        refused: count(statusConditions(this.#form, [2, 5])),
        oldest: this.#oldestOf(file),
      };
    });
    const { oldest, ...counts } = row;
    const ageMs = oldest === null ? Number.NaN : this.#clock.now() - Date.parse(oldest);
    const oldestAgeMs = Number.isNaN(ageMs) ? null : Math.max(0, ageMs);
    return { ...counts, countedTo: outboxCountedTo, oldestAgeMs };
  }

  #oldestOf(file: FileSession): string | null {
    const { pending, inProgress, waiting } = this.#form;
    const oldest = [pending, inProgress, ...waiting.split(", ")].flatMap((status) => {
      // Texts that begin with a digit: what an application wrote that is no time hides none that is.
      const text = `SELECT created_at FROM "${this.#name}"
        WHERE status = ${status} AND created_at >= '0' AND created_at < ':' ORDER BY created_at, id LIMIT 1`;
      return file.one<{ readonly created_at: string }>(text)?.created_at ?? [];
    });
    return oldest.toSorted()[0] ?? null;
  }

  async listen(told: () => void, signal: AbortSignal): Promise<void> {
    let seen: number | null = null;
    while (!signal.aborted) {
      const version = await this.#version();
      // After a failure something may have been missed.
      if (version !== null && version !== seen) told();
      seen = version;
      await this.#clock.sleep(outboxFileLimits.watchEveryMs, signal);
    }
  }

  /** Null: the file cannot be asked now, which those who read rows report. */
  async #version(): Promise<number | null> {
    try {
      const row = await this.#file.read((file) => file.one<{ readonly data_version: number }>("PRAGMA data_version"));
      return row?.data_version ?? null;
    } catch {
      return null;
    }
  }

  async probe(): Promise<void> {
    await this.#file.read((file) => file.one("SELECT 1"));
  }

  async close(): Promise<void> {
    this.#file.close();
  }

  #now(minusMs = 0): string {
    return new Date(this.#clock.now() - minusMs).toISOString();
  }
}

interface ControlRow {
  readonly epoch: number;
  readonly holder: string | null;
  readonly paused_reason: string | null;
}
