import type { Clock } from "@flowcatalyst/foundation";
import type { PoolCode } from "../../domain/ids.ts";
import { canRead } from "../../domain/scope.ts";
import type { Subscription } from "../../domain/subscription.ts";
import type { PostgresDatabase, PostgresSession } from "../../postgres/postgres-database.ts";
import { statement, type SqlValue } from "../../postgres/statement.ts";
import type { SubscriptionReader, SubscriptionRepository } from "../../ports/settings.ts";
import type { StoreWakes } from "../store-wakes.ts";
import { createEntityList, createEntityTable, scopeParam, visible, type BodyRow } from "./entity-table.ts";
import { holdSubscriptionFeed } from "./feed-holds.ts";
import { raiseRevision, readRevision } from "./revisions.ts";

export interface SettingsDeps {
  readonly database: PostgresDatabase;
  readonly clock: Pick<Clock, "now">;
  readonly wakes: Pick<StoreWakes, "control" | "jobsReady">;
}

const byCode = statement<BodyRow, readonly SqlValue[]>(`
  SELECT body FROM subscriptions WHERE coalesce(client_id, '') = $1 AND code = $2 AND status <> 'ARCHIVED'`);
const byName = statement<BodyRow, readonly SqlValue[]>(`
  SELECT body FROM subscriptions WHERE coalesce(client_id, '') = $1 AND name = $2 AND status <> 'ARCHIVED'`);
/** Against the removal of the pool, which looks for subscriptions with the pool locked. */
const keepPool = statement<never, [PoolCode]>("SELECT FROM dispatch_pools WHERE code = $1 FOR KEY SHARE");

/**
 * Subscriptions. A change of status also raises the control revision, since routers must learn of a pause, and holds or
 * releases the subscription's jobs in the same transaction: no crash leaves a resumed subscription with its jobs held.
 */
export function createSubscriptionRepository(deps: SettingsDeps): SubscriptionRepository {
  const { database, clock, wakes } = deps;

  const statusChanged = async (session: PostgresSession, before: Subscription | null, after: Subscription) => {
    const held = isHeld(after);
    if (held !== isHeld(before)) await holdSubscriptionFeed(session, { id: after.id, held, nowMs: clock.now() });
    await raiseRevision(session, "control");
  };

  const table = createEntityTable<Subscription>(database, {
    table: "subscriptions",
    revision: "subscriptions",
    columns: ["client_id", "code", "name", "status", "pool_code", "lease_expires_at_ms"],
    columnValues: (one) => [one.clientId, one.code, one.name, one.status, one.poolCode, one.leaseExpiresAtMs],
    unique: [
      {
        field: "code",
        holder: byCode,
        values: (one) => (isLive(one) && one.code !== null ? [one.clientId ?? "", one.code] : null),
      },
      { field: "name", holder: byName, values: (one) => (isLive(one) ? [one.clientId ?? "", one.name] : null) },
    ],
    changed: async (session, before, after) => {
      if (after === null) return;
      if (isLive(after)) await session.run(keepPool, [after.poolCode]);
      if (before?.status !== after.status) await statusChanged(session, before, after);
    },
  });

  const list = createEntityList<Subscription>(database, {
    table: "subscriptions",
    where: `${visible(3)} AND ($4::text IS NULL OR status = $4)
      AND (NOT $5::boolean OR client_id IS NOT DISTINCT FROM $6)
      AND ($7::text IS NULL OR code = $7) AND ($8::text IS NULL OR name = $8)`,
  });

  return {
    create: async (subscription) => wakeAfter(await table.create(subscription), wakes),
    replace: async (subscription, expectedVersion) =>
      wakeAfter(await table.replace(subscription, expectedVersion), wakes),
    byId: async (id, scope) => {
      const found = await table.read(id);
      return found !== null && canRead(scope, found.clientId) ? found : null;
    },
    list: (filter, page, scope) =>
      list.page(
        [
          scopeParam(scope),
          filter.status ?? null,
          filter.clientId !== undefined,
          filter.clientId ?? null,
          filter.code ?? null,
          filter.name ?? null,
        ],
        page,
      ),
  };
}

function isLive(subscription: Subscription): boolean {
  return subscription.status !== "ARCHIVED";
}

/** A feed that nobody has touched is not held. */
function isHeld(subscription: Subscription | null): boolean {
  return subscription !== null && subscription.status !== "ACTIVE";
}

export function wakeAfter<Result>(result: Result, wakes: SettingsDeps["wakes"]): Result {
  wakes.control.wake();
  wakes.jobsReady.wake();
  return result;
}

export const matchingSubscriptions = statement<BodyRow>(
  "SELECT body FROM subscriptions WHERE status IN ('ACTIVE', 'PAUSED') ORDER BY id",
);

/** Asked before every pass of the stream: the revision first, so that what is read after it is at least as new. */
export function createSubscriptionReader(database: PostgresDatabase): SubscriptionReader {
  return {
    revision: () => readRevision(database, "subscriptions"),
    matching: async () => {
      const rows = await database.query(matchingSubscriptions, []);
      return rows.map((row) => JSON.parse(row.body) as Subscription);
    },
  };
}
