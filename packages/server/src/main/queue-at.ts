import { CodedError, configInvalid, isCodedError, type HealthResult } from "@flowcatalyst/foundation";
import type { DeadLetters, QueueConsumer, QueuePublisher } from "../ports/queue.ts";
import type { BrokerQueue, BrokerQueueConfig, BrokerQueueDeps } from "../queues/broker-queue.ts";
import type { OpenStore } from "./open-store.ts";
import { isDatabaseQueue, isPostgres } from "./process-config.ts";
import type { ProcessContext } from "./process-context.ts";
import { routerQueueOf, routerQueuesOf } from "./router-queue.ts";
import { localNats, localNatsPort } from "./router-settings.ts";

/** A queue that was opened for this process. */
export interface OpenQueue {
  readonly queue: QueueConsumer & QueuePublisher & DeadLetters;
  /** As routers and people are told of it: without user and password. */
  readonly uri: string;
  /** Of a queue that has a connection of its own; absent: the health of the store is its health. */
  readonly probe?: () => Promise<HealthResult>;
  /** After everybody who uses it has stopped, and before the store is closed. */
  close(): Promise<void> | void;
}

export interface QueuePlace {
  readonly url: string;
  /** Unique among the queues of the process; absent: named after its kind. */
  readonly name?: string;
  readonly visibilityMs: number;
  /** Questions kept open for a lane at a time, where a broker answers them; absent: one. */
  readonly parallelReceives?: number;
  /** Connections at most, of a PostgreSQL database of its own. */
  readonly poolSize: number;
  /** Whether migrations that are missing are run; else the queue is refused. */
  readonly migrates: boolean;
  /** The store that `db:` means; null: there is none. */
  readonly store: Pick<OpenStore, "openQueue"> | null;
}

/** As for a database: services and their broker are often started together. */
export const brokerStartLimits = { reachWithinMs: 30_000, retryMs: 500 } as const;

const fileScheme = "sqlite:";
const localNatsUrl = `nats://127.0.0.1:${localNatsPort}`;

/** The queues of FC_QUEUE_URL, with `nats` replaced by the NATS it means. */
export function queueUrlsOf(config: {
  readonly queueUrls: readonly string[];
  readonly natsUrl: string | undefined;
}): readonly string[] {
  return config.queueUrls.map((url) => (url === localNats ? (config.natsUrl ?? localNatsUrl) : url));
}

/**
 * Opens one queue: `db:` in the store's database, `postgres://…` in a database and `sqlite:PATH` in a file of its own,
 * the others on a broker, by the adapter of their scheme. Throws what opening it throws.
 */
export async function openQueueAt(place: QueuePlace, context: ProcessContext): Promise<OpenQueue> {
  const { url, visibilityMs, store } = place;
  if (isDatabaseQueue(url)) {
    if (store !== null) return store.openQueue({ visibilityMs });
    throw configInvalid([{ key: "FC_QUEUE_URL", source: url, reason: "needs FC_DATABASE_URL" }]);
  }
  if (isPostgres(url)) {
    const { openPostgresQueue } = await import("./postgres/open-postgres-queue.ts");
    return openPostgresQueue(place, context);
  }
  if (url.startsWith(fileScheme)) {
    const { openSqliteQueue } = await import("../queues/sqlite/index.ts");
    const name = place.name ?? routerQueueOf(url).queueName;
    const path = url.slice(fileScheme.length);
    const { queue, close } = openSqliteQueue({ clock: context.clock }, { path, name, visibilityMs });
    return { queue, uri: url, close };
  }
  return openBrokerQueue(place, context);
}

/** All of them, in the order given; if one cannot be opened, those before it are closed again. */
export async function openQueuesAt(
  urls: readonly string[],
  common: Omit<QueuePlace, "url" | "name">,
  context: ProcessContext,
): Promise<readonly OpenQueue[]> {
  const names = routerQueuesOf(urls);
  const opened: OpenQueue[] = [];
  try {
    for (const [at, url] of urls.entries()) {
      const name = names[at]?.queueName;
      const place = { ...common, url, ...(name === undefined ? {} : { name }) };
      opened.push(await reachedQueue(() => openQueueAt(place, context), url, context));
    }
    return opened;
  } catch (error) {
    await closeQueues(opened);
    throw error;
  }
}

export async function closeQueues(queues: readonly OpenQueue[]): Promise<void> {
  await Promise.all(queues.map(async (queue) => queue.close()));
}

/** The first of FC_QUEUE_URL, for whoever publishes; others are received from by routers alone. */
export function firstQueueUrl(config: Parameters<typeof queueUrlsOf>[0]): string {
  const [url] = queueUrlsOf(config);
  if (url === undefined) throw new CodedError("INTERNAL", { context: { reason: "the setting has a default" } });
  return url;
}

/** A broker that does not answer yet is tried again for a while; what waiting cannot cure ends the start at once. */
export async function reachedQueue(
  open: () => Promise<OpenQueue>,
  url: string,
  { clock, logger, stopping }: Pick<ProcessContext, "clock" | "logger" | "stopping">,
): Promise<OpenQueue> {
  const { reachWithinMs, retryMs } = brokerStartLimits;
  const deadlineMs = clock.monotonicMs() + reachWithinMs;
  for (let tries = 1; ; tries += 1) {
    try {
      return await open();
    } catch (error) {
      if (!isCodedError(error, "QUEUE_UNAVAILABLE")) throw error;
      const queue = routerQueueOf(url).queueUri;
      if (clock.monotonicMs() >= deadlineMs || stopping?.aborted === true) {
        const message = `The queue ${queue} cannot be reached (${error.publicMessage})`;
        throw new CodedError("QUEUE_UNAVAILABLE", { message, cause: error });
      }
      if (tries === 1) {
        logger.warn(
          { queue, reason: error.publicMessage },
          `Not reached yet; tried again for ${reachWithinMs / 1_000} s`,
        );
      }
      await clock.sleep(retryMs, stopping);
    }
  }
}

type OpenBroker = (deps: BrokerQueueDeps, config: BrokerQueueConfig) => Promise<BrokerQueue>;

/** A process loads only the clients of the brokers it uses. */
async function brokerOf(url: string): Promise<OpenBroker> {
  const scheme = routerQueueOf(url).queueName.toLowerCase();
  switch (scheme) {
    case "nats":
    case "tls":
      return (await import("../queues/nats/index.ts")).openNatsQueue;
    case "sqs":
    case "https":
    case "http":
      return (await import("../queues/sqs/index.ts")).openSqsQueue;
    case "amqp":
    case "amqps":
      return (await import("../queues/amqp/index.ts")).openAmqpQueue;
    default: {
      const reason = `is of a kind that is not known: ${scheme}`;
      throw configInvalid([{ key: "FC_QUEUE_URL", source: routerQueueOf(url).queueUri, reason }]);
    }
  }
}

async function openBrokerQueue(place: QueuePlace, context: ProcessContext): Promise<OpenQueue> {
  const { url, visibilityMs, parallelReceives = 1 } = place;
  const open = await brokerOf(url);
  const { queueName, queueUri: uri } = routerQueueOf(url);
  const { clock, random, logger } = context;
  const config = { url, name: place.name ?? queueName, visibilityMs, parallelReceives };
  const opened = await open({ clock, random, logger }, config);
  return { queue: opened.queue, uri, probe: () => opened.probe(), close: () => opened.close() };
}
