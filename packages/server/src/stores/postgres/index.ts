import { systemRandom, type Clock, type Logger, type Random, type SecretBox } from "@flowcatalyst/foundation";
import type { AuditLogs } from "../../ports/audit-log.ts";
import type { DeliveryControl } from "../../ports/delivery-control.ts";
import type { EventAppender, EventFeed, EventReader } from "../../ports/event-log.ts";
import type { IdempotencyStore } from "../../ports/idempotency.ts";
import type { LeaseStore, NodeNumbers } from "../../ports/lease.ts";
import type { Searches } from "../../ports/search.ts";
import type { SecretStore } from "../../ports/secret-store.ts";
import type {
  DispatchPoolRepository,
  EventTypeRepository,
  SubscriptionReader,
  SubscriptionRepository,
} from "../../ports/settings.ts";
import { requireMigrated } from "../../postgres/migrations.ts";
import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import type { StoreWakes } from "../store-wakes.ts";
import { createAuditLogs } from "./audit-logs.ts";
import { createDeliveryControl } from "./delivery-control.ts";
import { createDispatchPoolRepository } from "./dispatch-pool-repository.ts";
import { createEventLog } from "./event-log.ts";
import { createEventTypeRepository } from "./event-type-repository.ts";
import { createIdempotencyStore } from "./idempotency-store.ts";
import { createPostgresJobs, type PostgresJobs } from "./job-store.ts";
import { createLeaseStore } from "./lease-store.ts";
import { storeMigrations } from "./migrations.ts";
import { createNodeNumbers } from "./node-numbers.ts";
import { createSearches } from "./searches.ts";
import { createSecretStore } from "./secret-store.ts";
import { createSubscriptionReader, createSubscriptionRepository } from "./subscription-repository.ts";
import { createStoreWakes } from "./wake-signal.ts";

export { storeMigrations } from "./migrations.ts";

/**
 * The store of several processes: one PostgreSQL database, any number of instances of every service on it. Each stage
 * is handed only the ports that are its own.
 *
 * - `event-appender.ts` accepted events; `event-log.ts` reading them; `history-partitions.ts` by month
 * - `subscription-`, `dispatch-pool-`, `event-type-repository.ts` settings; `secret-store.ts` signing secrets
 * - `lease-store.ts` leases, and what they fence; `node-numbers.ts`; `idempotency-store.ts` answers by key
 * - `job-store.ts` dispatch jobs: fan-out, claims, results, commands
 * - `audit-logs.ts` what applications tell of who did what
 * - `delivery-control.ts` what routers are told; `searches.ts` searches, on connections of their own
 *
 * What differs from one process with a file: nobody's wall clock is trusted but the database's (leases, reservations),
 * or none at all (positions); what two instances do at once is decided by row locks and unique indexes, never by a
 * check before a write; wake-ups come over the database and may be lost, so everybody polls as well; and nothing is
 * cached that another instance may change.
 *
 * Failures: see postgres/postgres-database.ts. What a call that failed with STORE_UNAVAILABLE had to write has not
 * happened, or, when the connection broke during the commit, may have.
 */
export interface PostgresStore extends PostgresJobs {
  readonly database: PostgresDatabase;
  readonly wakes: StoreWakes;
  readonly events: EventAppender;
  readonly eventFeed: EventFeed;
  readonly eventReader: EventReader;
  readonly auditLogs: AuditLogs;
  readonly subscriptions: SubscriptionRepository;
  readonly subscriptionReader: SubscriptionReader;
  readonly pools: DispatchPoolRepository;
  readonly eventTypes: EventTypeRepository;
  readonly secrets: SecretStore;
  readonly leases: LeaseStore;
  readonly nodeNumbers: NodeNumbers;
  readonly idempotency: IdempotencyStore;
  readonly control: DeliveryControl;
  readonly searches: Searches;
  /** Commits what waits and accepts nothing more. The databases are their owner's to close, after this. */
  close(): Promise<void>;
}

export interface PostgresStoreDeps {
  /** Of the profile `hot`. */
  readonly database: PostgresDatabase;
  /** The same database, of the profile `search`. */
  readonly search: PostgresDatabase;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly secretBox: SecretBox;
  /** Jitter of retries; the machine's when left out. */
  readonly random?: Random;
}

export interface PostgresStoreConfig {
  readonly dedupWindowMs: number;
}

/** Throws DATABASE_NOT_MIGRATED, DATABASE_TOO_NEW and STORE_UNAVAILABLE. */
export async function createPostgresStore(
  deps: PostgresStoreDeps,
  config: PostgresStoreConfig,
): Promise<PostgresStore> {
  const { database } = deps;
  await requireMigrated(database, storeMigrations);
  const wakes = createStoreWakes(database);
  const shared = { ...deps, wakes };
  const log = createEventLog(shared, config);
  const secrets = createSecretStore(shared);
  return {
    ...createPostgresJobs({ ...shared, random: deps.random ?? systemRandom() }, config),
    database,
    wakes,
    events: log.appender,
    eventFeed: log.feed,
    eventReader: log.reader,
    auditLogs: createAuditLogs(database),
    subscriptions: createSubscriptionRepository(shared),
    subscriptionReader: createSubscriptionReader(database),
    pools: createDispatchPoolRepository(shared),
    eventTypes: createEventTypeRepository(database),
    secrets,
    leases: createLeaseStore(deps),
    nodeNumbers: createNodeNumbers(deps),
    idempotency: createIdempotencyStore(deps),
    control: createDeliveryControl({ ...shared, secrets }),
    searches: createSearches(deps),
    close: () => log.appender.close(),
  };
}
