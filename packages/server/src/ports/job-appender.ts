import type { DeliveryProfile, NewEventJob } from "../domain/dispatch-job.ts";
import type { EventPosition } from "../domain/ids.ts";
import type { LeaseEpoch } from "./lease.ts";
import type { PoisonEvent } from "./event-log.ts";

/**
 * How far fan-out has come: every subscription of the events up to `position`, and of the next one those before
 * `ordinal`.
 */
export interface StreamCheckpoint {
  readonly position: EventPosition;
  /** 0 between events; else how many of the next event's matching subscriptions have their job already. */
  readonly ordinal: number;
  /** Keys of the profiles the half-done event matched, frozen so that a later change cannot shift ordinals. */
  readonly frozenProfileKeys: readonly string[];
}

export interface FanOut {
  readonly jobs: readonly NewEventJob[];
  readonly poison: readonly PoisonEvent[];
  /**
   * Profiles that `to.frozenProfileKeys` names and no job of this fan-out carries yet: stored in the same transaction,
   * so that a restart in the middle of an event finds them. Absent: none. Kept while the checkpoint names them.
   */
  readonly frozenProfiles?: readonly DeliveryProfile[];
  /** What the store must still hold for this pass to count. */
  readonly from: StreamCheckpoint;
  readonly to: StreamCheckpoint;
  readonly epoch: LeaseEpoch;
}

/** The stream's only way to write: jobs and checkpoint in one transaction, by compare-and-set. */
export interface JobAppender {
  checkpoint(): Promise<StreamCheckpoint>;
  /** `false`: somebody else moved the checkpoint or holds the lease; nothing was written. */
  append(fanOut: FanOut): Promise<boolean>;
  /** Profiles of a half-done event, by key. */
  profiles(keys: readonly string[]): Promise<readonly DeliveryProfile[]>;
  /** The event at this position as it was set aside; null: it was not. */
  poisonAt(position: EventPosition): Promise<PoisonEvent | null>;
}
