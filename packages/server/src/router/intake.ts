/**
 * What brings messages from one queue into the pools. Two kinds, by what the queue declares:
 *
 * - `polling-intake`: one loop looks at the lanes that have something in turn. Queues in databases, where a look is a
 *   query and somebody tells when to look again.
 * - `waiting-intake`: a question is kept open for each lane. Brokers, where one that waits costs nobody anything.
 *
 * Common to both: what has no room is never received and given back in a hot loop. A lane of one pool is left alone
 * while that pool is full. Through a lane that several pools share comes what comes; how what has no room waits then is
 * decided in `admission`, and while something waits *here* for room, its lane is not received from.
 */
import type { Clock, Random } from "@flowcatalyst/foundation";
import type { Admission } from "./admission.ts";
import type { Pipeline } from "./pipeline.ts";
import type { Pool } from "./pool.ts";
import type { PoolRegistry } from "./pool-registry.ts";
import { PollingIntake } from "./polling-intake.ts";
import type { QueueLink } from "./queue-link.ts";
import { WaitingIntake } from "./waiting-intake.ts";
import type { Warnings } from "./warnings.ts";

export interface IntakeDeps {
  readonly link: QueueLink;
  readonly admission: Admission;
  readonly pools: PoolRegistry;
  readonly pipeline: Pipeline;
  readonly clock: Clock;
  readonly random: Random;
  readonly warnings: Warnings;
  /** False while nothing new should come in. */
  readonly mayReceive: () => boolean;
  /** False: what has come in meanwhile is given back at once, because another router is the active one. */
  readonly mayKeep: () => boolean;
  /** A batch has its place. */
  readonly admitted: () => void;
}

export interface Intake {
  readonly link: QueueLink;
  readonly status: "RUNNING" | "PAUSED" | "STOPPED" | "FAILED";
  readonly received: number;
  readonly lastReceivedAtMs: number | null;
  /** Why something cannot be received now; null: nothing is wrong. */
  readonly error: string | null;
  /** Receives until the signal. */
  run(signal: AbortSignal): Promise<void>;
  /** Something may be received again: what goes into this pool, or anything. */
  wake(pool?: Pool): void;
  /** What waits here for room goes back to the queue. */
  giveBack(): void;
}

export function createIntake(deps: IntakeDeps): Intake {
  return deps.link.consumer.capabilities.longPoll ? new WaitingIntake(deps) : new PollingIntake(deps);
}
