import type { Clock, HealthRegistry, Logger, Metrics, Random } from "@flowcatalyst/foundation";

/** What every composition root is handed: made once per process. */
export interface ProcessContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly health: HealthRegistry;
  /** A line for the person at the terminal; not a log. */
  readonly print: (line: string) => void;
  readonly isTerminal: boolean;
}
