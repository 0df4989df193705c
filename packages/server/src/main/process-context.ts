import type { Clock, HealthRegistry, Logger, Metrics, Random, Service } from "@flowcatalyst/foundation";

/** What whoever started the process should see; not a log. A person reads the lines, a program the document. */
export type Announce = (document: object, lines: () => readonly string[]) => void;

/** What every composition root is handed: made once per process. */
export interface ProcessContext {
  readonly version: string;
  /** Unique among live processes: names this one in leases. */
  readonly holder: string;
  readonly clock: Clock;
  /** For `${NAME}` in files that are read later than the configuration; absent: there are no names. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Whether FC_ROUTER_CONFIG_URL may name files as queues, which only tests do; absent: it may not. */
  readonly opensToldFiles?: boolean;
  /** Aborts when the process is told to stop: for what a start waits for. Services have a signal of their own. */
  readonly stopping?: AbortSignal;
  /** Sets the wall time of `clock`: instances that share a database go by its time. */
  readonly steerClock: (nowMs: number) => void;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly health: HealthRegistry;
  /** HTTP requests the runtime makes at once, at most. */
  readonly maxSimultaneousRequests: number;
  readonly announce: Announce;
}

/** What a composition root gives back: services in starting order, and what to do when all have stopped. */
export interface Composition {
  readonly services: readonly Service[];
  readonly started: () => void;
  close(): Promise<void>;
}
