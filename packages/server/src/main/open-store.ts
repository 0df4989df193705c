import type { HealthResult, SecretBox, Service } from "@flowcatalyst/foundation";
import type { AttemptSink } from "../ports/attempt-sink.ts";
import type { AuditLogs } from "../ports/audit-log.ts";
import type { DeliveryControl } from "../ports/delivery-control.ts";
import type { DeliveryReader } from "../ports/delivery-reader.ts";
import type { EventAppender, EventFeed, EventReader } from "../ports/event-log.ts";
import type { Housekeeping } from "../ports/housekeeping.ts";
import type { IdempotencyStore } from "../ports/idempotency.ts";
import type { JobAppender } from "../ports/job-appender.ts";
import type { JobClaims } from "../ports/job-claims.ts";
import type { JobCommands, JobReader, ReplayStore } from "../ports/job-store.ts";
import type { LeaseStore, NodeNumbers } from "../ports/lease.ts";
import type { Searches } from "../ports/search.ts";
import type { SecretStore } from "../ports/secret-store.ts";
import type {
  DispatchPoolRepository,
  EventTypeRepository,
  SubscriptionReader,
  SubscriptionRepository,
} from "../ports/settings.ts";
import { isPostgres } from "./process-config.ts";
import type { ProcessContext } from "./process-context.ts";
import type { OpenQueue } from "./queue-at.ts";

/** Everything a store does for the stages; each is handed only what is its own. */
export interface StorePorts {
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
  readonly jobAppender: JobAppender;
  readonly jobClaims: JobClaims;
  readonly attemptSink: AttemptSink;
  readonly deliveryReader: DeliveryReader;
  readonly jobs: JobReader;
  readonly jobCommands: JobCommands;
  readonly replays: ReplayStore;
  readonly housekeeping: Housekeeping;
}

/** A store that was opened for this process, whatever the engine. */
export interface OpenStore extends StorePorts {
  /** Where it is, without user and password. */
  readonly place: string;
  /** What must run while the store is open, started before whoever uses it. */
  readonly services: readonly Service[];
  /** Whether it can be used now, and takes writes. */
  probe(): Promise<HealthResult>;
  /** The queue whose tables are in the same database (`db:`). */
  openQueue(config: { readonly visibilityMs: number }): Promise<OpenQueue>;
  /** After everybody who uses it, and after its services, have stopped. */
  close(): Promise<void>;
}

export interface StorePlan {
  /** Other schemes than sqlite and postgres were refused before. */
  readonly databaseUrl: string;
  /** Connections to PostgreSQL at most, besides a few. */
  readonly poolSize: number;
  /** Whether migrations that are missing are run; else the store is refused. SQLite always migrates. */
  readonly migrates: boolean;
  /** Whether the tables of the queue `db:` are there too, and migrated with the others. */
  readonly hasQueueTables: boolean;
  readonly dedupWindowMs: number;
  /** Asked once the database is open; null: this process never sees a secret. */
  readonly secretBox: (() => SecretBox) | null;
}

/**
 * Opens the store of FC_DATABASE_URL. A process loads only the engine it uses.
 *
 * Throws what opening the file throws; for PostgreSQL DATABASE_UNREACHABLE when it did not answer for 30 s,
 * DATABASE_NOT_MIGRATED, DATABASE_TOO_NEW, APP_KEY_DIFFERS, or CONFIG_INVALID for a server that cannot be used.
 */
export async function openStore(plan: StorePlan, context: ProcessContext): Promise<OpenStore> {
  if (isPostgres(plan.databaseUrl)) {
    const { openPostgresStore } = await import("./postgres/open-postgres-store.ts");
    return openPostgresStore(plan, context);
  }
  const { openSqliteStore } = await import("./sqlite/open-sqlite-store.ts");
  return openSqliteStore(plan, context);
}
