import type { SQLQueryBindings } from "bun:sqlite";
import type { Clock } from "@flowcatalyst/foundation";
import type { OutboxRowId } from "../../domain/outbox-row.ts";
import type {
  OutboxAct,
  OutboxAdmin,
  OutboxControl,
  OutboxListedRow,
  OutboxPage,
  OutboxQuery,
  OutboxSelection,
} from "../../ports/outbox-source.ts";
import {
  inStates,
  outboxTableOf,
  sqlForm,
  statesToTouch,
  statusLiteral,
  statusOf,
  type SqlForm,
} from "../outbox-form.ts";
import type { OutboxSourceConfig } from "../outbox-source-config.ts";
import type { OutboxFile } from "./outbox-file.ts";
import { ofGroup } from "./sqlite-claim.ts";
import { sqliteOutboxDdl, sqliteUpdatedAt } from "./sqlite-ddl.ts";
import type { SqliteOutboxSource } from "./sqlite-outbox-source.ts";

export interface SqliteOutboxAdminDeps {
  readonly file: OutboxFile;
  readonly clock: Clock;
  readonly source: SqliteOutboxSource;
}

/** What `flowcatalyst outbox …` does. Its statements are put together for the occasion. */
export class SqliteOutboxAdmin implements OutboxAdmin {
  readonly source: SqliteOutboxSource;
  readonly #file: OutboxFile;
  readonly #clock: Clock;
  readonly #config: OutboxSourceConfig;
  readonly #form: SqlForm;
  readonly #name: string;

  constructor({ file, clock, source }: SqliteOutboxAdminDeps, config: OutboxSourceConfig) {
    this.source = source;
    this.#file = file;
    this.#clock = clock;
    this.#config = config;
    this.#form = sqlForm(config.form);
    this.#name = outboxTableOf(config.table).name;
  }

  ddl(): readonly string[] {
    return sqliteOutboxDdl(this.#config.form, this.#config.table);
  }

  async init(): Promise<void> {
    this.#file.create();
    await this.#file.write((file) => {
      const columns = file.all<{ readonly name: string }>("SELECT name FROM pragma_table_info(?1)", this.#name);
      const isOlder = this.#form.form === "router" && columns.length > 0;
      if (isOlder && !columns.some(({ name }) => name === "updated_at")) file.run(sqliteUpdatedAt(this.#config.table));
      for (const text of this.ddl()) file.run(text);
    });
  }

  async control(): Promise<OutboxControl> {
    const text = `SELECT paused_reason, holder, lease_until FROM "${this.#name}_control"`;
    const row = await this.#file.read((file) => file.one<ControlRow>(text));
    const until = row?.lease_until ?? null;
    return {
      pausedReason: row?.paused_reason ?? null,
      holder: row?.holder ?? null,
      leaseUntil: until === null ? null : new Date(until),
    };
  }

  pause(reason: string): Promise<void> {
    return this.#setPause(reason);
  }

  resume(): Promise<void> {
    return this.#setPause(null);
  }

  async #setPause(reason: string | null): Promise<void> {
    await this.#file.write((file) => file.run(`UPDATE "${this.#name}_control" SET paused_reason = ?1`, reason));
  }

  async list({ states, group, limit, after }: OutboxQuery): Promise<OutboxPage> {
    const onlyGroup = group === null ? "" : ` AND ${this.#form.group} = ?4`;
    const type = this.#form.form === "platform" ? "type" : "'ROUTER_MESSAGE'";
    const text = `
      SELECT id, created_at, ${type} AS type, ${this.#form.group} AS message_group, status,
        max(coalesce(retry_count, 0), 0) AS retry_count, ${this.#form.error} AS error,
        octet_length(payload) AS payload_bytes
      FROM "${this.#name}" WHERE ${inStates(this.#form, states)}${onlyGroup} AND (created_at, id) > (?1, ?2)
      ORDER BY created_at, id LIMIT ?3`;
    const values: SQLQueryBindings[] = [after?.createdAt ?? "", after?.id ?? "", limit + 1];
    if (group !== null) values.push(group);
    const found = await this.#file.read((file) => file.all<ListedRow>(text, ...values));
    const rows = found.slice(0, limit).map((row) => this.#listedOf(row));
    return { rows, next: found.length > limit ? (rows.at(-1)?.position ?? null) : null };
  }

  #listedOf(row: ListedRow): OutboxListedRow {
    const id = row.id as OutboxRowId;
    return {
      id,
      form: this.#form.form,
      position: { createdAt: row.created_at, id },
      type: row.type,
      group: row.message_group,
      status: statusOf(row.status),
      retryCount: row.retry_count,
      error: row.error,
      payloadBytes: row.payload_bytes,
    };
  }

  async count(which: OutboxSelection, act: OutboxAct): Promise<number> {
    const { text, values } = this.#chosen(which, act);
    const counted = `SELECT count(*) AS n FROM (${text})`;
    return (await this.#file.read((file) => file.one<{ readonly n: number }>(counted, ...values)))?.n ?? 0;
  }

  skip(which: OutboxSelection, reason: string, limit: number): Promise<number> {
    const set = `status = ${statusLiteral(this.#form, 2)}, ${this.#form.error} = ?3`;
    return this.#change({ chosen: this.#chosen(which, "skip"), set, limit, values: [reason] });
  }

  retry(which: OutboxSelection, limit: number): Promise<number> {
    const set = `status = ${this.#form.pending}, retry_count = 0, ${this.#form.error} = NULL`;
    return this.#change({ chosen: this.#chosen(which, "retry"), set, limit, values: [] });
  }

  #change({ chosen, set, limit, values }: Change): Promise<number> {
    return this.#file.write((file) => {
      const rows = file.all<{ readonly id: string }>(`${chosen.text} LIMIT ${Math.trunc(limit)}`, ...chosen.values);
      const text = `UPDATE "${this.#name}" SET updated_at = ?1, ${set} WHERE id = ?2`;
      const now = new Date(this.#clock.now()).toISOString();
      for (const { id } of rows) file.run(text, now, id, ...values);
      return rows.length;
    });
  }

  /** Ids of what is chosen and allowed, oldest first. */
  #chosen(which: OutboxSelection, act: OutboxAct): Chosen {
    const ofStates = inStates(this.#form, statesToTouch(which, act));
    const rows = `SELECT id FROM "${this.#name}" WHERE ${ofStates}`;
    const inOrder = "ORDER BY created_at, id";
    switch (which.kind) {
      case "ids":
        return {
          text: `${rows} AND id IN (SELECT value FROM json_each(?1)) ${inOrder}`,
          values: [JSON.stringify(which.ids)],
        };
      case "group":
        return { text: `${rows} AND ${ofGroup(this.#form)} ${inOrder}`, values: [which.group] };
      case "states":
        return { text: `${rows} ${inOrder}`, values: [] };
    }
  }
}

interface Chosen {
  readonly text: string;
  readonly values: readonly SQLQueryBindings[];
}

interface Change {
  readonly chosen: Chosen;
  /** Its parameters begin at the third. */
  readonly set: string;
  readonly values: readonly SQLQueryBindings[];
  readonly limit: number;
}

interface ControlRow {
  readonly paused_reason: string | null;
  readonly holder: string | null;
  readonly lease_until: string | null;
}

interface ListedRow {
  readonly id: string;
  readonly created_at: string;
  readonly type: string;
  readonly message_group: string | null;
  readonly status: string | number | null;
  readonly retry_count: number;
  readonly error: string | null;
  readonly payload_bytes: number;
}
