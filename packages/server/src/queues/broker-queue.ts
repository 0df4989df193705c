import type { Clock, HealthResult, Logger, Random } from "@flowcatalyst/foundation";
import type { DeadLetters, QueueConsumer, QueuePublisher } from "../ports/queue.ts";

/** What every queue on a broker is opened with. */
export interface BrokerQueueDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export interface BrokerQueueConfig {
  /** With user, password and the adapter's own parameters. */
  readonly url: string;
  /** Unique among the queues of a process. */
  readonly name: string;
  readonly visibilityMs: number;
  /** Questions kept open for a lane at a time. */
  readonly parallelReceives: number;
}

/** A queue on a broker, connected. Its connection is made again by itself, for ever, until it is closed. */
export interface BrokerQueue {
  readonly queue: QueueConsumer & QueuePublisher & DeadLetters;
  /** Whether the connection is there; answers at once. */
  probe(): Promise<HealthResult>;
  /**
   * Ends waiting receivers, gives back what was received and not settled as far as the broker knows how, and hangs up.
   */
  close(): Promise<void>;
}
