import { CodedError } from "@flowcatalyst/foundation";
import type { Scope } from "../../domain/scope.ts";
import type { PostgresDatabase, PostgresSession } from "../../postgres/postgres-database.ts";
import { isUniqueViolation } from "../../postgres/postgres-errors.ts";
import { statement, type SqlValue, type Statement } from "../../postgres/statement.ts";
import type { CreateResult, Page, PageRequest, UpdateResult } from "../../ports/settings.ts";
import { decodeCursor, encodeCursor } from "../page-cursor.ts";
import { raiseRevision, type RevisionKind } from "./revisions.ts";

/**
 * What the settings repositories have in common: entities kept whole as JSON in `body`, replaced by compare-and-set on
 * their version, listed by id. Columns beside the body are copies of what is looked up, listed or unique; they are
 * written together with it and nowhere else. Every change raises the kind's revision in the same transaction.
 *
 * Uniqueness. Unique indexes decide; what is asked before only says whom one collided with. So two instances that take
 * the same code at the same moment are told apart by the index: the insert waits for the other transaction and then
 * does nothing, the update fails and is done again from the start, and both then find the other entity. If that has
 * gone meanwhile, the change is tried once more.
 *
 * Locks are taken in the order: the entity, what `changed` touches, revisions.
 */
export interface Entity {
  readonly id: string;
  readonly version: number;
}

export interface BodyRow {
  readonly body: string;
}

export interface EntityTableSpec<Item extends Entity> {
  readonly table: string;
  readonly revision: RevisionKind;
  /** Columns besides id, version and body, in the order of `columnValues`. */
  readonly columns: readonly string[];
  columnValues(entity: Item): readonly SqlValue[];
  /** What must be unique besides the id: the field to name, and how to find who has it. */
  readonly unique: readonly UniqueRule<Item>[];
  /** Runs inside the transaction of each change; `before` is null for a new entity, `after` for a removed one. */
  changed?(session: PostgresSession, before: Item | null, after: Item | null): Promise<void>;
}

export interface UniqueRule<Item extends Entity> {
  readonly field: string;
  readonly holder: Statement<BodyRow, readonly SqlValue[]>;
  /** Null: the entity claims nothing. */
  values(entity: Item): readonly SqlValue[] | null;
}

export interface EntityTable<Item extends Entity> {
  create(entity: Item): Promise<CreateResult<Item>>;
  replace(entity: Item, expectedVersion: number): Promise<UpdateResult<Item>>;
  /** What became of it. `refuse` runs first, inside the transaction, with the entity locked. */
  remove(id: string, refuse?: Refusal<Item>): Promise<"removed" | "notFound" | "refused">;
  read(id: string): Promise<Item | null>;
}

type Refusal<Item> = (session: PostgresSession, entity: Item) => Promise<boolean>;

/** Collisions that vanish again, one after the other, before a change is given up. */
const tries = 5;

export function createEntityTable<Item extends Entity>(
  database: PostgresDatabase,
  spec: EntityTableSpec<Item>,
): EntityTable<Item> {
  const sql = prepare(spec);
  const values = (entity: Item): SqlValue[] => [
    entity.id,
    entity.version,
    JSON.stringify(entity),
    ...spec.columnValues(entity).map(storable),
  ];
  const noteChange = async (session: PostgresSession, before: Item | null, after: Item | null): Promise<void> => {
    await spec.changed?.(session, before, after);
    await raiseRevision(session, spec.revision);
  };

  return {
    read: async (id) => parseBody<Item>(await database.one(sql.select, [storable(id)])),
    create: (entity) =>
      decided(spec.table, () =>
        database.transaction(async (session): Promise<CreateResult<Item> | null> => {
          if ((await session.run(sql.insert, values(entity))) === 0) {
            const found = await collision(session, spec, entity);
            if (found !== null) return { kind: "duplicate", ...found };
            const same = parseBody<Item>(await session.one(sql.select, [entity.id]));
            return same === null ? null : { kind: "duplicate", field: "id", existing: same };
          }
          await noteChange(session, null, entity);
          return { kind: "created", entity };
        }),
      ),
    replace: (entity, expectedVersion) =>
      decided(spec.table, () =>
        database.transaction(async (session): Promise<UpdateResult<Item>> => {
          const current = parseBody<Item>(await session.one(sql.lock, [storable(entity.id)]));
          if (current === null) return { kind: "notFound" };
          if (current.version !== expectedVersion) return { kind: "versionMismatch", current };
          const found = await collision(session, spec, entity);
          if (found !== null) return { kind: "duplicate", field: found.field };
          await session.run(sql.update, values(entity));
          await noteChange(session, current, entity);
          return { kind: "updated", entity };
        }),
      ),
    remove: (id, refuse) =>
      database.transaction(async (session) => {
        const current = parseBody<Item>(await session.one(sql.lock, [storable(id)]));
        if (current === null) return "notFound";
        if (refuse !== undefined && (await refuse(session, current))) return "refused";
        await session.run(sql.drop, [id]);
        await noteChange(session, current, null);
        return "removed";
      }),
  };
}

function prepare<Item extends Entity>({ table, columns: own }: EntityTableSpec<Item>) {
  const columns = ["id", "version", "body", ...own];
  const holes = columns.map((_, index) => `$${index + 1}`);
  const into = `(${columns.join(", ")})`;
  return {
    insert: statement<never, readonly SqlValue[]>(
      `INSERT INTO ${table} ${into} VALUES (${holes.join(", ")}) ON CONFLICT DO NOTHING`,
    ),
    update: statement<never, readonly SqlValue[]>(
      `UPDATE ${table} SET ${into} = ROW (${holes.join(", ")}) WHERE id = $1`,
    ),
    drop: statement<never, [string]>(`DELETE FROM ${table} WHERE id = $1`),
    select: statement<BodyRow, [string]>(`SELECT body FROM ${table} WHERE id = $1`),
    lock: statement<BodyRow, [string]>(`SELECT body FROM ${table} WHERE id = $1 FOR UPDATE`),
  };
}

async function collision<Item extends Entity>(
  session: PostgresSession,
  spec: EntityTableSpec<Item>,
  entity: Item,
): Promise<{ field: string; existing: Item } | null> {
  for (const rule of spec.unique) {
    const claimed = rule.values(entity);
    if (claimed === null) continue;
    const existing = parseBody<Item>(await session.one(rule.holder, claimed.map(storable)));
    if (existing !== null && existing.id !== entity.id) return { field: rule.field, existing };
  }
  return null;
}

/** Tries again while the change collides with what is gone by the time one looks for it. */
async function decided<Result>(table: string, attempt: () => Promise<Result | null>): Promise<Result> {
  for (let tried = 0; tried < tries; tried++) {
    try {
      const result = await attempt();
      if (result !== null) return result;
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
    }
  }
  throw new CodedError("STORE_UNAVAILABLE", { message: `Too many changes of ${table} at once` });
}

export function parseBody<Item>(row: BodyRow | null): Item | null {
  return row === null ? null : (JSON.parse(row.body) as Item);
}

/** Text of PostgreSQL cannot hold NUL; in `body` it is escaped. */
export function storable<Value extends SqlValue>(value: Value): Value;
export function storable(value: SqlValue): SqlValue {
  return typeof value === "string" && value.includes("\0") ? value.replaceAll("\0", "\ufffd") : value;
}

/** A tenant's client id, or null for a principal that sees all: what the condition `visible` takes. */
export function scopeParam(scope: Scope): string | null {
  return scope.kind === "anchor" ? null : scope.clientId;
}

/** Condition for rows that a scope may read; `hole` is the number of the parameter. */
export function visible(hole: number): string {
  return `($${hole}::text IS NULL OR client_id IS NULL OR client_id = $${hole})`;
}

export interface EntityList<Item extends Entity> {
  /** `params` are those of the condition, from $3 up. */
  page(params: readonly SqlValue[], page: PageRequest): Promise<Page<Item>>;
}

/** A list of a table in pages by id, oldest first. Counted too: settings are few. `where` may use holes from 3 up. */
export function createEntityList<Item extends Entity>(
  database: PostgresSession,
  query: { readonly table: string; readonly where: string },
): EntityList<Item> {
  const select = statement<BodyRow, readonly SqlValue[]>(
    `SELECT body FROM ${query.table} WHERE id > $1 AND ${query.where} ORDER BY id LIMIT $2`,
  );
  // The same numbering of holes as above; the first two are given and unused.
  const count = statement<{ total: number }, readonly SqlValue[]>(
    `SELECT count(*) AS total FROM ${query.table} WHERE $1::text = '' AND $2::bigint = 0 AND ${query.where}`,
  );
  return {
    page: async (params, page) => {
      const after = page.cursor === null ? "" : String(decodeCursor(page.cursor, ["string"])[0]);
      const rest = params.map(storable);
      const [rows, counted] = await Promise.all([
        database.query(select, [storable(after), page.limit + 1, ...rest]),
        database.one(count, ["", 0, ...rest]),
      ]);
      const items = rows.slice(0, page.limit).map((row) => JSON.parse(row.body) as Item);
      const last = items.at(-1);
      const more = rows.length > page.limit && last !== undefined;
      return { items, nextCursor: more ? encodeCursor([last.id]) : null, total: counted?.total ?? 0 };
    },
  };
}
