import type { DispatchPool } from "../../domain/dispatch-pool.ts";
import type { PoolCode } from "../../domain/ids.ts";
import { canRead } from "../../domain/scope.ts";
import { statement, type SqlValue } from "../../postgres/statement.ts";
import type { DispatchPoolRepository } from "../../ports/settings.ts";
import {
  createEntityList,
  createEntityTable,
  parseBody,
  scopeParam,
  storable,
  visible,
  type BodyRow,
} from "./entity-table.ts";
import { holdPoolFeeds } from "./feed-holds.ts";
import { raiseRevision } from "./revisions.ts";
import { wakeAfter, type SettingsDeps } from "./subscription-repository.ts";

const byCode = statement<BodyRow, readonly SqlValue[]>("SELECT body FROM dispatch_pools WHERE code = $1");
const userOfPool = statement<{ id: string }, [PoolCode]>(
  "SELECT id FROM subscriptions WHERE pool_code = $1 AND status <> 'ARCHIVED' LIMIT 1",
);

/**
 * Dispatch pools. A code is unique over all clients, because it is the name of a lane of the queue. Suspending one
 * holds the feeds of its lane in the same transaction.
 */
export function createDispatchPoolRepository(deps: SettingsDeps): DispatchPoolRepository {
  const { database, clock, wakes } = deps;
  const table = createEntityTable<DispatchPool>(database, {
    table: "dispatch_pools",
    revision: "dispatch-pools",
    columns: ["client_id", "code", "status"],
    columnValues: (pool) => [pool.clientId, pool.code, pool.status],
    unique: [{ field: "code", holder: byCode, values: (pool) => [pool.code] }],
    changed: async (session, before, after) => {
      const code = after?.code ?? before?.code;
      const held = isHeld(after);
      if (code !== undefined && held !== isHeld(before)) {
        await holdPoolFeeds(session, { code, held, nowMs: clock.now() });
      }
      await raiseRevision(session, "control");
    },
  });
  const list = createEntityList<DispatchPool>(database, { table: "dispatch_pools", where: visible(3) });
  return {
    create: async (pool) => wakeAfter(await table.create(pool), wakes),
    replace: async (pool, expectedVersion) => wakeAfter(await table.replace(pool, expectedVersion), wakes),
    remove: async (id) => {
      const result = await table.remove(id, async (session, pool) => {
        return (await session.one(userOfPool, [pool.code])) !== null;
      });
      wakeAfter(result, wakes);
      return result === "refused" ? "inUse" : result;
    },
    byId: async (id, scope) => {
      const found = await table.read(id);
      return found !== null && canRead(scope, found.clientId) ? found : null;
    },
    byCode: async (code, scope) => {
      const found = parseBody<DispatchPool>(await database.one(byCode, [storable(code)]));
      return found !== null && canRead(scope, found.clientId) ? found : null;
    },
    list: (page, scope) => list.page([scopeParam(scope)], page),
  };
}

function isHeld(pool: DispatchPool | null): boolean {
  return pool?.status === "SUSPENDED";
}
