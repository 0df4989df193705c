import type { QueueCapabilities } from "../../ports/queue.ts";
import type { AmqpAddress, BrokerName } from "./amqp-address.ts";
import { amqpQueueLimits } from "./amqp-limits.ts";

/** What differs from broker to broker. */
export interface Broker {
  readonly name: BrokerName | "unknown";
  /** The address of a queue. */
  addressOf(queue: string): string;
  /** The header tells how often a message was delivered; else only that it was delivered before. */
  readonly countsDeliveries: boolean;
  /** A receiver may look at messages without taking them. */
  readonly browses: boolean;
  /** Asked to use its credit up, it sends what it has and says that there is no more. */
  readonly drains: boolean;
  /**
   * More credit can be given while messages are on their way. False: the broker forgets those, and sends as many more
   * than were asked for; so it gets new credit only when all of the old is used up.
   */
  readonly countsCredit: boolean;
}

const activemq: Broker = {
  name: "activemq",
  addressOf: (queue) => `queue://${queue}`,
  countsDeliveries: true,
  browses: true,
  drains: true,
  countsCredit: true,
};

const rabbitmq: Broker = {
  name: "rabbitmq",
  addressOf: (queue) => `/queue/${queue}`,
  countsDeliveries: false,
  browses: false,
  // A classic queue of version 3.10 that is drained ends the session.
  drains: false,
  countsCredit: false,
};

/** The least that the protocol itself promises. */
const unknown: Broker = {
  name: "unknown",
  addressOf: (queue) => queue,
  countsDeliveries: false,
  browses: false,
  drains: false,
  countsCredit: false,
};

/** By the name that the URL gives, else by what the broker says of itself when a connection is opened. */
export function brokerOf({ broker }: AmqpAddress, product: unknown): Broker {
  const name = broker ?? (typeof product === "string" ? product.toLowerCase() : "");
  if (name === "activemq") return activemq;
  return name === "rabbitmq" ? rabbitmq : unknown;
}

/** The same on all of them, but for the lanes, which the URL lists; why, stands in decision record 0023. */
export function amqpCapabilities({ lanes }: Pick<AmqpAddress, "lanes">): QueueCapabilities {
  return {
    grouping: "none",
    priority: false,
    sharedBatches: false,
    lanes: lanes.length === 0 ? "none" : "listed",
    longPoll: true,
    deadReceiptRefused: true,
    redelivery: "connection",
    maxDelayMs: 0,
    dedupWindowMs: 0,
    reportsDuplicates: false,
    maxMessageBytes: amqpQueueLimits.maxMessageBytes,
    maxBatch: amqpQueueLimits.maxBatch,
    reportsOldest: false,
    counts: "none",
    givesUpAbandoned: false,
    pagesDeadLetters: false,
    carriesReferences: false,
  };
}
