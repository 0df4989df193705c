import type { Subscription } from "../../domain/subscription.ts";
import { canRead } from "../../domain/scope.ts";
import type { SubscriptionReader, SubscriptionRepository } from "../../ports/settings.ts";
import type { SqliteDatabase } from "./database.ts";
import { createEntityTable, listEntities, parseBody, scopeParam, visible } from "./entity-table.ts";
import { raiseRevision, readRevision } from "./revisions.ts";
import type { StoreWakes } from "./wake-signal.ts";

export interface SettingsDeps {
  readonly database: SqliteDatabase;
  readonly wakes: Pick<StoreWakes, "control">;
}

/** Subscriptions. A change of status also raises the control revision: routers must learn of a pause. */
export function createSubscriptionRepository(deps: SettingsDeps): SubscriptionRepository {
  const { database, wakes } = deps;
  const byCode = database.statement<{ body: string }, [string, string]>(`
    SELECT body FROM subscriptions WHERE coalesce(client_id, '') = ?1 AND code = ?2 AND status <> 'ARCHIVED'`);
  const byName = database.statement<{ body: string }, [string, string]>(`
    SELECT body FROM subscriptions WHERE coalesce(client_id, '') = ?1 AND name = ?2 AND status <> 'ARCHIVED'`);
  const live = (one: Subscription): boolean => one.status !== "ARCHIVED";

  const table = createEntityTable<Subscription>(database, {
    table: "subscriptions",
    revision: "subscriptions",
    columns: ["client_id", "code", "name", "status", "pool_code", "lease_expires_at_ms"],
    columnValues: (one) => [one.clientId, one.code, one.name, one.status, one.poolCode, one.leaseExpiresAtMs],
    unique: [
      {
        field: "code",
        taken: (one) =>
          live(one) && one.code !== null ? parseBody<Subscription>(byCode.get(one.clientId ?? "", one.code)) : null,
      },
      {
        field: "name",
        taken: (one) => (live(one) ? parseBody<Subscription>(byName.get(one.clientId ?? "", one.name)) : null),
      },
    ],
    changed: (before, after) => {
      if (before?.status !== after?.status) raiseRevision(database, "control");
    },
  });

  return {
    create: async (subscription) => wakeAfter(table.create(subscription), wakes),
    replace: async (subscription, expectedVersion) => wakeAfter(table.replace(subscription, expectedVersion), wakes),
    byId: async (id, scope) => {
      const found = table.read(id);
      return found !== null && canRead(scope, found.clientId) ? found : null;
    },
    list: async (filter, page, scope) =>
      listEntities<Subscription>(
        database,
        {
          table: "subscriptions",
          where: `${visible(3)} AND (?4 IS NULL OR status = ?4) AND (?5 = 0 OR client_id IS ?6)
            AND (?7 IS NULL OR code = ?7) AND (?8 IS NULL OR name = ?8)`,
          params: [
            scopeParam(scope),
            filter.status ?? null,
            filter.clientId === undefined ? 0 : 1,
            filter.clientId ?? null,
            filter.code ?? null,
            filter.name ?? null,
          ],
        },
        page,
      ),
  };
}

export function wakeAfter<Result>(result: Result, wakes: Pick<StoreWakes, "control">): Result {
  wakes.control.wake();
  return result;
}

export const matchingSubscriptions = "SELECT body FROM subscriptions WHERE status IN ('ACTIVE', 'PAUSED') ORDER BY id";

export function createSubscriptionReader(database: SqliteDatabase): SubscriptionReader {
  const matching = database.statement<{ body: string }>(matchingSubscriptions);
  return {
    revision: async () => readRevision(database, "subscriptions"),
    matching: async () => matching.all().map((row) => JSON.parse(row.body) as Subscription),
  };
}
