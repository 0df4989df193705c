import type { SQLQueryBindings } from "bun:sqlite";
import type { Scope } from "../../domain/scope.ts";
import type { CreateResult, Page, PageRequest, UpdateResult } from "../../ports/settings.ts";
import type { SqliteDatabase } from "./database.ts";
import { decodeCursor, encodeCursor } from "../page-cursor.ts";
import { raiseRevision, type RevisionKind } from "./revisions.ts";

/**
 * What the settings repositories have in common: entities kept whole as JSON in `body`, replaced by compare-and-set on
 * their version, listed by id. Columns beside the body are copies of what is looked up, listed or unique; they are
 * written together with it and nowhere else. Every change is durable when it returns and raises the kind's revision in
 * the same transaction.
 */
export interface Entity {
  readonly id: string;
  readonly version: number;
}

export interface EntityTableSpec<Item extends Entity> {
  readonly table: string;
  readonly revision: RevisionKind;
  /** Columns besides id, version and body, in the order of `columnValues`. */
  readonly columns: readonly string[];
  columnValues(entity: Item): readonly SQLQueryBindings[];
  /** What must be unique: the field to name, and the other entity that has it already. */
  readonly unique: readonly { readonly field: string; taken(entity: Item): Item | null }[];
  /** Runs inside the transaction of each change; `before` is null for a new entity, `after` for a removed one. */
  changed?(before: Item | null, after: Item | null): void;
}

export interface EntityTable<Item extends Entity> {
  create(entity: Item): CreateResult<Item>;
  replace(entity: Item, expectedVersion: number): UpdateResult<Item>;
  /** The entity that was there. `refuse` runs first, inside the transaction. */
  remove(id: string, refuse?: (entity: Item) => boolean): "removed" | "notFound" | "refused";
  read(id: string): Item | null;
}

interface BodyRow {
  readonly body: string;
}

export function createEntityTable<Item extends Entity>(
  database: SqliteDatabase,
  spec: EntityTableSpec<Item>,
): EntityTable<Item> {
  const columns = ["id", "version", "body", ...spec.columns];
  const holes = columns.map((_, index) => `?${index + 1}`);
  const insert = database.statement<never, SQLQueryBindings[]>(
    `INSERT INTO ${spec.table} (${columns.join(", ")}) VALUES (${holes.join(", ")})`,
  );
  const update = database.statement<never, SQLQueryBindings[]>(
    `UPDATE ${spec.table} SET (${columns.join(", ")}) = (${holes.join(", ")}) WHERE id = ?1`,
  );
  const drop = database.statement<never, [string]>(`DELETE FROM ${spec.table} WHERE id = ?1`);
  const select = database.statement<BodyRow, [string]>(`SELECT body FROM ${spec.table} WHERE id = ?1`);

  const read = (id: string): Item | null => parseBody<Item>(select.get(id));
  const values = (entity: Item): SQLQueryBindings[] => [
    entity.id,
    entity.version,
    JSON.stringify(entity),
    ...spec.columnValues(entity),
  ];
  const collision = (entity: Item): { field: string; existing: Item } | null => {
    for (const rule of spec.unique) {
      const existing = rule.taken(entity);
      if (existing !== null && existing.id !== entity.id) return { field: rule.field, existing };
    }
    return null;
  };
  const noteChange = (before: Item | null, after: Item | null): void => {
    raiseRevision(database, spec.revision);
    spec.changed?.(before, after);
  };

  return {
    read,
    create: (entity) =>
      database.durableTransaction((): CreateResult<Item> => {
        const found = collision(entity);
        if (found !== null) return { kind: "duplicate", ...found };
        insert.run(...values(entity));
        noteChange(null, entity);
        return { kind: "created", entity };
      }),
    replace: (entity, expectedVersion) =>
      database.durableTransaction((): UpdateResult<Item> => {
        const current = read(entity.id);
        if (current === null) return { kind: "notFound" };
        if (current.version !== expectedVersion) return { kind: "versionMismatch", current };
        const found = collision(entity);
        if (found !== null) return { kind: "duplicate", field: found.field };
        update.run(...values(entity));
        noteChange(current, entity);
        return { kind: "updated", entity };
      }),
    remove: (id, refuse) =>
      database.durableTransaction(() => {
        const current = read(id);
        if (current === null) return "notFound";
        if (refuse?.(current) === true) return "refused";
        drop.run(id);
        noteChange(current, null);
        return "removed";
      }),
  };
}

export function parseBody<Item>(row: BodyRow | null): Item | null {
  return row === null ? null : (JSON.parse(row.body) as Item);
}

/** A tenant's client id, or null for a principal that sees all: what the condition `visible` takes. */
export function scopeParam(scope: Scope): string | null {
  return scope.kind === "anchor" ? null : scope.clientId;
}

/** Condition for rows that a scope may read; `hole` is the number of the parameter. */
export function visible(hole: number): string {
  return `(?${hole} IS NULL OR client_id IS NULL OR client_id = ?${hole})`;
}

/** One list of a table: `where` may use holes from 3 up, with `params` in that order. */
export interface ListQuery {
  readonly table: string;
  readonly where: string;
  readonly params: SQLQueryBindings[];
}

/** Pages by id, oldest first. Counted too: settings are few. */
export function listEntities<Item extends Entity>(
  database: SqliteDatabase,
  query: ListQuery,
  page: PageRequest,
): Page<Item> {
  const after = page.cursor === null ? "" : String(decodeCursor(page.cursor, ["string"])[0]);
  const rows = database
    .statement<BodyRow, SQLQueryBindings[]>(
      `SELECT body FROM ${query.table} WHERE id > ?1 AND ${query.where} ORDER BY id LIMIT ?2`,
    )
    .all(after, page.limit + 1, ...query.params);
  // The same numbering of holes as above; the first two are given and unused.
  const counted = database
    .statement<{ total: number }, SQLQueryBindings[]>(
      `SELECT count(*) AS total FROM ${query.table} WHERE ?1 IS NOT ?2 AND ${query.where}`,
    )
    .get("", 0, ...query.params);
  const items = rows.slice(0, page.limit).map((row) => JSON.parse(row.body) as Item);
  const last = items.at(-1);
  const more = rows.length > page.limit && last !== undefined;
  return { items, nextCursor: more ? encodeCursor([last.id]) : null, total: counted?.total ?? 0 };
}
