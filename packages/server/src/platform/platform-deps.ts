import type { Clock, Logger, Metrics, Random } from "@flowcatalyst/foundation";
import type { FilterFaults } from "../domain/filter-faults.ts";
import type { IdSource, SubscriptionId } from "../domain/ids.ts";
import type { AttemptSink } from "../ports/attempt-sink.ts";
import type { AuditLogs } from "../ports/audit-log.ts";
import type { DeliveryControl } from "../ports/delivery-control.ts";
import type { DeliveryReader } from "../ports/delivery-reader.ts";
import type { EventAppender, EventFeed, EventReader } from "../ports/event-log.ts";
import type { IdempotencyStore } from "../ports/idempotency.ts";
import type { JobAppender } from "../ports/job-appender.ts";
import type { JobCommands, JobReader, ReplayStore } from "../ports/job-store.ts";
import type { Searches } from "../ports/search.ts";
import type { SecretStore } from "../ports/secret-store.ts";
import type {
  DispatchPoolRepository,
  EventTypeRepository,
  SubscriptionReader,
  SubscriptionRepository,
} from "../ports/settings.ts";
import type { AddressGuard } from "../ports/transport.ts";

/** Everything the platform API works with; handed in by `main`. */
export interface PlatformDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly ids: IdSource;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly events: EventAppender;
  readonly eventReader: EventReader;
  readonly auditLogs: AuditLogs;
  readonly eventFeed: Pick<EventFeed, "newest">;
  /** How far the stream has come, and what it set aside; only the timeline asks. */
  readonly jobAppender: Pick<JobAppender, "checkpoint" | "poisonAt">;
  readonly searches: Searches;
  readonly eventTypes: EventTypeRepository;
  readonly subscriptions: SubscriptionRepository;
  readonly subscriptionReader: SubscriptionReader;
  readonly pools: DispatchPoolRepository;
  readonly jobs: JobReader;
  readonly jobCommands: JobCommands;
  readonly replays: ReplayStore;
  readonly attemptSink: AttemptSink;
  readonly control: DeliveryControl;
  /** Tells routers without a database what is still owed. */
  readonly deliveryReader: DeliveryReader;
  readonly secrets: SecretStore;
  readonly idempotency: IdempotencyStore;
  readonly addressGuard: AddressGuard;
  /** Of a stream in the same process; absent: nobody here knows. */
  readonly filterFaults?: (id: SubscriptionId) => FilterFaults | null;
}

/** A queue as routers are told of it at `/api/config/router`. */
export interface RouterQueue {
  readonly queueName: string;
  readonly queueUri: string;
  readonly connections?: number;
  readonly visibilityTimeout?: number;
}

export interface PlatformConfig {
  readonly version: string;
  /** Bearer tokens; none: everybody who can connect is the development principal. */
  readonly apiTokens: readonly string[];
  readonly corsOrigins: readonly string[];
  /** What `GET /` tells of the process, e.g. `{api: "http://127.0.0.1:8080"}`. */
  readonly addresses: Readonly<Record<string, string>>;
  readonly routerQueues: readonly RouterQueue[];
  /** Less than 256 KiB if the queue in use cannot carry that much. */
  readonly eventDataMaxBytes?: number;
  /** Calls at once that all pools together may ask for, since their router makes no more; absent: not known here. */
  readonly poolConcurrencyMax?: number;
  /** Paths below these need no token, besides those of health: e.g. the receiver of `flowcatalyst dev`. */
  readonly deliveryPathPrefixes?: readonly string[];
}
