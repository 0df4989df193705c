import type { EventType } from "../../domain/event-type.ts";
import { canRead } from "../../domain/scope.ts";
import type { EventTypeRepository } from "../../ports/settings.ts";
import type { SqliteDatabase } from "./database.ts";
import { createEntityTable, listEntities, parseBody, scopeParam, visible } from "./entity-table.ts";
import { readRevision } from "./revisions.ts";

/**
 * Registered event types. A code is unique within its client, archived ones aside. Looked up by code, a tenant's own
 * comes before the platform's, a live one before an archived one.
 */
export function createEventTypeRepository(database: SqliteDatabase): EventTypeRepository {
  const taken = database.statement<{ body: string }, [string, string]>(`
    SELECT body FROM event_types WHERE coalesce(client_id, '') = ?1 AND code = ?2 AND status <> 'ARCHIVED'`);
  const byCode = database.statement<{ body: string }, [string, string | null]>(`
    SELECT body FROM event_types WHERE code = ?1 AND ${visible(2)}
    ORDER BY status = 'ARCHIVED', CASE WHEN ?2 IS NULL THEN client_id IS NOT NULL ELSE client_id IS NULL END, id DESC
    LIMIT 1`);
  const table = createEntityTable<EventType>(database, {
    table: "event_types",
    revision: "event-types",
    columns: ["client_id", "code", "application", "status"],
    columnValues: (type) => [type.clientId, type.code, applicationOf(type.code), type.status],
    unique: [
      {
        field: "code",
        taken: (type) =>
          type.status === "ARCHIVED" ? null : parseBody<EventType>(taken.get(type.clientId ?? "", type.code)),
      },
    ],
  });
  return {
    create: async (type) => table.create(type),
    replace: async (type, expectedVersion) => table.replace(type, expectedVersion),
    remove: async (id) => (table.remove(id) === "removed" ? "removed" : "notFound"),
    byId: async (id, scope) => {
      const found = table.read(id);
      return found !== null && canRead(scope, found.clientId) ? found : null;
    },
    byCode: async (code, scope) => parseBody<EventType>(byCode.get(code, scopeParam(scope))),
    list: async (filter, page, scope) =>
      listEntities<EventType>(
        database,
        {
          table: "event_types",
          where: `${visible(3)} AND (?4 IS NULL OR application = ?4) AND (?5 IS NULL OR status = ?5)`,
          params: [scopeParam(scope), filter.application ?? null, filter.status ?? null],
        },
        page,
      ),
    revision: async () => readRevision(database, "event-types"),
  };
}

/** The first of a code's four segments. */
function applicationOf(code: string): string {
  return code.split(":", 1)[0] ?? code;
}
