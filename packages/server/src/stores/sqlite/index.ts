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
import type { SqliteDatabase } from "./database.ts";
import { createAuditLogs } from "./audit-logs.ts";
import { createDeliveryControl } from "./delivery-control.ts";
import { createDispatchPoolRepository } from "./dispatch-pool-repository.ts";
import { createEventLog } from "./event-log.ts";
import { createSqliteJobs, type SqliteJobs } from "./job-store.ts";
import { createEventTypeRepository } from "./event-type-repository.ts";
import { createIdempotencyStore, dropReservations } from "./idempotency-store.ts";
import { createLeaseStore, createNodeNumbers, releaseStaleLeases } from "./lease-store.ts";
import { createSearches } from "./searches.ts";
import { createSecretStore } from "./secret-store.ts";
import { createSubscriptionReader, createSubscriptionRepository } from "./subscription-repository.ts";
import { createStoreWakes, type StoreWakes } from "./wake-signal.ts";
import { createWalCheckpointer, type WalCheckpointer } from "./wal-checkpointer.ts";

export { countUsage } from "./count-usage.ts";
export { openDatabase, type SqliteDatabase } from "./database.ts";

/**
 * The embedded store: one SQLite file, one connection that writes, on the thread that serves. Every port is built over
 * that connection, and each stage is handed only the ports that are its own.
 *
 * - `database.ts` the connection: durability by transaction, one process per file, faults as coded errors
 * - `migrations.ts` the schema, by number
 * - `event-appender.ts` accepted events; `event-log.ts` reading them
 * - `subscription-`, `dispatch-pool-`, `event-type-repository.ts` settings; `secret-store.ts` signing secrets
 * - `lease-store.ts` leases and node numbers; `idempotency-store.ts` answers by key
 * - `job-store.ts` dispatch jobs: fan-out, claims, results, commands, housekeeping
 * - `audit-logs.ts` what applications tell of who did what
 * - `delivery-control.ts` what routers are told
 * - `searches.ts` searches, on a thread of their own; `wal-checkpointer.ts` the log written back, on another
 * - `count-usage.ts` rows and statements, as metrics
 *
 * Failures: see database.ts. The store holds nothing in memory that is not on disk but caches, the calls that wait for
 * a commit, and wake-ups, so a crash loses nothing that was answered.
 *
 * Order of a stop: everything that uses the store, then `checkpointer` (a supervised service), then `close`.
 */
export interface SqliteStore extends SqliteJobs {
  readonly database: SqliteDatabase;
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
  /** Run it under the supervisor for as long as the store is open. */
  readonly checkpointer: WalCheckpointer;
  /** Commits what waits, ends the threads, writes the log back and frees the file. */
  close(): Promise<void>;
}

export interface SqliteStoreDeps {
  readonly database: SqliteDatabase;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly secretBox: SecretBox;
  /** Jitter of retries; the machine's when left out. */
  readonly random?: Random;
}

export interface SqliteStoreConfig {
  readonly dedupWindowMs: number;
}

export function createSqliteStore(deps: SqliteStoreDeps, config: SqliteStoreConfig): SqliteStore {
  const { database } = deps;
  const wakes = createStoreWakes();
  releaseStaleLeases(database);
  dropReservations(database);
  const log = createEventLog({ ...deps, appended: wakes.appended }, config);
  const secrets = createSecretStore({ ...deps, wakes });
  const searches = createSearches(deps);
  return {
    ...createSqliteJobs({ ...deps, random: deps.random ?? systemRandom(), wakes }, config),
    database,
    wakes,
    events: log.appender,
    eventFeed: log.feed,
    eventReader: log.reader,
    auditLogs: createAuditLogs(database),
    subscriptions: createSubscriptionRepository({ database, wakes }),
    subscriptionReader: createSubscriptionReader(database),
    pools: createDispatchPoolRepository({ database, wakes }),
    eventTypes: createEventTypeRepository(database),
    secrets,
    leases: createLeaseStore(deps),
    nodeNumbers: createNodeNumbers(deps),
    idempotency: createIdempotencyStore(deps),
    control: createDeliveryControl({ ...deps, secrets, wakes }),
    searches,
    checkpointer: createWalCheckpointer(deps),
    close: async () => {
      log.appender.close();
      await searches.close();
      database.close();
    },
  };
}
