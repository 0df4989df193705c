import pg from "pg";
import { outboxStatus, type OutboxRowId, type OutboxStatus } from "../../domain/outbox-row.ts";
import type {
  OutboxAct,
  OutboxAdmin,
  OutboxControl,
  OutboxListedRow,
  OutboxPage,
  OutboxQuery,
  OutboxSelection,
} from "../../ports/outbox-source.ts";
import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import { toStoreError } from "../../postgres/postgres-errors.ts";
import { adHoc, type SqlValue } from "../../postgres/statement.ts";
import {
  inStates,
  sqlForm,
  statusConditions,
  statusLiteral,
  statesToTouch,
  statusOf,
  type SqlForm,
} from "../outbox-form.ts";
import type { OutboxSourceConfig } from "../outbox-source-config.ts";
import { beforeAll, exactTime } from "./claim-statements.ts";
import { outboxStatements, type OutboxStatements } from "./outbox-statements.ts";
import { postgresNames, postgresOutboxDdl, type PostgresNames } from "./postgres-ddl.ts";
import type { PostgresOutboxSource } from "./postgres-outbox-source.ts";

export interface PostgresOutboxAdminDeps {
  readonly database: PostgresDatabase;
  readonly source: PostgresOutboxSource;
}

/** What `flowcatalyst outbox …` does. Its statements are put together for the occasion, one look-up per state. */
export class PostgresOutboxAdmin implements OutboxAdmin {
  readonly source: PostgresOutboxSource;
  readonly #database: PostgresDatabase;
  readonly #config: OutboxSourceConfig;
  readonly #form: SqlForm;
  readonly #names: PostgresNames;
  readonly #statements: OutboxStatements;

  constructor({ database, source }: PostgresOutboxAdminDeps, config: OutboxSourceConfig) {
    this.source = source;
    this.#database = database;
    this.#config = config;
    this.#form = sqlForm(config.form);
    this.#names = postgresNames(config.table);
    this.#statements = outboxStatements(this.#form, this.#names);
  }

  ddl(): readonly string[] {
    return postgresOutboxDdl(this.#config.form, this.#config.table);
  }

  /** On a connection of its own, since indexes of a large table take longer than any other statement may. */
  async init(): Promise<void> {
    const client = new pg.Client({ connectionString: this.#config.url, application_name: "flowcatalyst" });
    client.on("error", () => undefined);
    try {
      await client.connect();
      await client.query("BEGIN");
      // Two that make the same tables at once would collide in the catalogue.
      await client.query("SELECT pg_advisory_xact_lock(hashtext($1))", [`flowcatalyst ${this.#names.quoted}`]);
      for (const text of this.ddl()) await client.query(text);
      await client.query("COMMIT");
    } catch (error) {
      throw toStoreError(error);
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  async control(): Promise<OutboxControl> {
    const row = await this.#database.one(this.#statements.control, []);
    const until = row?.lease_until ?? null;
    return {
      pausedReason: row?.paused_reason ?? null,
      holder: row?.holder ?? null,
      leaseUntil: until === null ? null : new Date(until),
    };
  }

  async pause(reason: string): Promise<void> {
    await this.#database.run(this.#statements.setPause, [reason]);
  }

  async resume(): Promise<void> {
    await this.#database.run(this.#statements.setPause, [null]);
  }

  async list(query: OutboxQuery): Promise<OutboxPage> {
    const { createdAt, id } = query.after ?? beforeAll;
    const values: SqlValue[] = [createdAt, id, query.limit + 1];
    const ofGroup = query.group === null ? "" : ` AND ${this.#form.group} = $4::text`;
    if (query.group !== null) values.push(query.group);
    const type = this.#form.form === "platform" ? "type" : "'ROUTER_MESSAGE'";
    const looks = statusConditions(this.#form, query.states).map(
      (condition) => `(
      SELECT id, created_at, ${type} AS type, ${this.#form.group} AS message_group, status::text AS status,
        greatest(retry_count, 0) AS retry_count, ${this.#form.error} AS error, octet_length(payload) AS payload_bytes
      FROM ${this.#names.quoted}
      WHERE ${condition}${ofGroup} AND (created_at, id) > ($1::text::timestamptz, $2::text)
      ORDER BY created_at, id LIMIT $3::bigint)`,
    );
    if (looks.length === 0) return { rows: [], next: null };
    const text = `SELECT l.*, ${exactTime("l.created_at")} AS at FROM (${looks.join(" UNION ALL ")}) l
      ORDER BY l.created_at, l.id LIMIT $3::bigint`;
    const found = await this.#database.query(adHoc<ListedRow>(text), values);
    const rows = found.slice(0, query.limit).map((row) => this.#listedOf(row));
    return { rows, next: found.length > query.limit ? (rows.at(-1)?.position ?? null) : null };
  }

  #listedOf(row: ListedRow): OutboxListedRow {
    const id = row.id as OutboxRowId;
    return {
      id,
      form: this.#form.form,
      position: { createdAt: row.at, id },
      type: row.type,
      group: row.message_group,
      status: statusOf(row.status),
      retryCount: row.retry_count,
      error: row.error,
      payloadBytes: row.payload_bytes,
    };
  }

  async count(which: OutboxSelection, act: OutboxAct): Promise<number> {
    const chosen = this.#chosen(which, statesToTouch(which, act));
    if (chosen === null) return 0;
    const text = `SELECT count(*) AS count FROM (${chosen.text}) c`;
    const row = await this.#database.one(adHoc<{ readonly count: number }>(text), [...chosen.values, null]);
    return row?.count ?? 0;
  }

  skip(which: OutboxSelection, reason: string, limit: number): Promise<number> {
    const status = statusLiteral(this.#form, outboxStatus.badRequest);
    const change = (place: number): string => `status = ${status}, ${this.#form.error} = $${place}::text`;
    return this.#change({ which, limit, act: "skip", change, values: [reason] });
  }

  retry(which: OutboxSelection, limit: number): Promise<number> {
    const change = (): string => `status = ${this.#form.pending}, retry_count = 0, ${this.#form.error} = NULL`;
    return this.#change({ which, limit, act: "retry", change, values: [] });
  }

  async #change({ which, limit, act, change, values }: Change): Promise<number> {
    const states = statesToTouch(which, act);
    const chosen = this.#chosen(which, states);
    if (chosen === null) return 0;
    const all = [...chosen.values, limit, ...values];
    const text = `
      WITH chosen AS MATERIALIZED (${chosen.text})
      UPDATE ${this.#names.quoted} t SET updated_at = clock_timestamp(), ${change(chosen.values.length + 2)}
      FROM chosen WHERE t.id = chosen.id AND ${inStates(this.#form, states)}`;
    return this.#database.transaction((session) => session.run(adHoc(text), all));
  }

  /** Ids of what is chosen, oldest first; the parameter after `values` is how many at most. Null: of no state. */
  #chosen(which: OutboxSelection, states: readonly OutboxStatus[]): Chosen | null {
    if (states.length === 0) return null;
    const { quoted } = this.#names;
    if (which.kind === "ids") {
      const text = `SELECT id FROM ${quoted} WHERE id = ANY ($1::text[]) AND ${inStates(this.#form, states)}
        ORDER BY created_at, id LIMIT $2::bigint`;
      return { text, values: [which.ids] };
    }
    const ofGroup = which.kind === "group" ? ` AND ${this.#form.group} = $1::text` : "";
    const values = which.kind === "group" ? [which.group] : [];
    const limit = `LIMIT $${values.length + 1}::bigint`;
    const looks = statusConditions(this.#form, states).map(
      (condition) => `(SELECT id, created_at FROM ${quoted} WHERE ${condition}${ofGroup}
        ORDER BY created_at, id ${limit})`,
    );
    return { text: `SELECT id FROM (${looks.join(" UNION ALL ")}) u ORDER BY created_at, id ${limit}`, values };
  }
}

interface Change {
  readonly which: OutboxSelection;
  readonly limit: number;
  readonly act: OutboxAct;
  /** What is set; `values` are its parameters, from that place on. */
  readonly change: (place: number) => string;
  readonly values: readonly SqlValue[];
}

interface Chosen {
  readonly text: string;
  readonly values: readonly SqlValue[];
}

interface ListedRow {
  readonly id: string;
  readonly at: string;
  readonly type: string;
  readonly message_group: string | null;
  readonly status: string | null;
  readonly retry_count: number;
  readonly error: string | null;
  readonly payload_bytes: number;
}
