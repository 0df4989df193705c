import type { DispatchPool } from "../../domain/dispatch-pool.ts";
import { canRead } from "../../domain/scope.ts";
import type { DispatchPoolRepository } from "../../ports/settings.ts";
import { createEntityTable, listEntities, parseBody, scopeParam, visible } from "./entity-table.ts";
import { raiseRevision } from "./revisions.ts";
import { wakeAfter, type SettingsDeps } from "./subscription-repository.ts";

/** Dispatch pools. A code is unique over all clients, because it is the name of a lane of the queue. */
export function createDispatchPoolRepository(deps: SettingsDeps): DispatchPoolRepository {
  const { database, wakes } = deps;
  const byCode = database.statement<{ body: string }, [string]>("SELECT body FROM dispatch_pools WHERE code = ?1");
  const user = database.statement<{ id: string }, [string]>(
    "SELECT id FROM subscriptions WHERE pool_code = ?1 AND status <> 'ARCHIVED' LIMIT 1",
  );
  const table = createEntityTable<DispatchPool>(database, {
    table: "dispatch_pools",
    revision: "dispatch-pools",
    columns: ["client_id", "code", "status"],
    columnValues: (pool) => [pool.clientId, pool.code, pool.status],
    unique: [{ field: "code", taken: (pool) => parseBody<DispatchPool>(byCode.get(pool.code)) }],
    changed: () => raiseRevision(database, "control"),
  });
  return {
    create: async (pool) => wakeAfter(table.create(pool), wakes),
    replace: async (pool, expectedVersion) => wakeAfter(table.replace(pool, expectedVersion), wakes),
    remove: async (id) => {
      const result = wakeAfter(
        table.remove(id, (pool) => user.get(pool.code) !== null),
        wakes,
      );
      return result === "refused" ? "inUse" : result;
    },
    byId: async (id, scope) => {
      const found = table.read(id);
      return found !== null && canRead(scope, found.clientId) ? found : null;
    },
    byCode: async (code, scope) => {
      const found = parseBody<DispatchPool>(byCode.get(code));
      return found !== null && canRead(scope, found.clientId) ? found : null;
    },
    list: async (page, scope) =>
      listEntities<DispatchPool>(
        database,
        { table: "dispatch_pools", where: visible(3), params: [scopeParam(scope)] },
        page,
      ),
  };
}
