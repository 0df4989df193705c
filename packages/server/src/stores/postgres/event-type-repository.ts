import type { EventType } from "../../domain/event-type.ts";
import { canRead } from "../../domain/scope.ts";
import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import { statement, type SqlValue } from "../../postgres/statement.ts";
import type { EventTypeRepository } from "../../ports/settings.ts";
import {
  createEntityList,
  createEntityTable,
  parseBody,
  scopeParam,
  storable,
  visible,
  type BodyRow,
} from "./entity-table.ts";
import { readRevision } from "./revisions.ts";

const liveByCode = statement<BodyRow, readonly SqlValue[]>(`
  SELECT body FROM event_types WHERE coalesce(client_id, '') = $1 AND code = $2 AND status <> 'ARCHIVED'`);
export const eventTypeByCode = statement<BodyRow, [code: string, clientId: string | null]>(`
  SELECT body FROM event_types WHERE code = $1 AND ${visible(2)}
  ORDER BY status = 'ARCHIVED', CASE WHEN $2 IS NULL THEN client_id IS NOT NULL ELSE client_id IS NULL END, id DESC
  LIMIT 1`);

/**
 * Registered event types. A code is unique within its client, archived ones aside. Looked up by code, a tenant's own
 * comes before the platform's, a live one before an archived one.
 */
export function createEventTypeRepository(database: PostgresDatabase): EventTypeRepository {
  const table = createEntityTable<EventType>(database, {
    table: "event_types",
    revision: "event-types",
    columns: ["client_id", "code", "application", "status"],
    columnValues: (type) => [type.clientId, type.code, applicationOf(type.code), type.status],
    unique: [
      {
        field: "code",
        holder: liveByCode,
        values: (type) => (type.status === "ARCHIVED" ? null : [type.clientId ?? "", type.code]),
      },
    ],
  });
  const list = createEntityList<EventType>(database, {
    table: "event_types",
    where: `${visible(3)} AND ($4::text IS NULL OR application = $4) AND ($5::text IS NULL OR status = $5)`,
  });
  return {
    create: (type) => table.create(type),
    replace: (type, expectedVersion) => table.replace(type, expectedVersion),
    remove: async (id) => ((await table.remove(id)) === "removed" ? "removed" : "notFound"),
    byId: async (id, scope) => {
      const found = await table.read(id);
      return found !== null && canRead(scope, found.clientId) ? found : null;
    },
    byCode: async (code, scope) =>
      parseBody<EventType>(await database.one(eventTypeByCode, [storable(code), scopeParam(scope)])),
    list: (filter, page, scope) =>
      list.page([scopeParam(scope), filter.application ?? null, filter.status ?? null], page),
    revision: () => readRevision(database, "event-types"),
  };
}

/** The first of a code's four segments. */
function applicationOf(code: string): string {
  return code.split(":", 1)[0] ?? code;
}
