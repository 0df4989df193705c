import type { JobId } from "../domain/ids.ts";
import type { JobDelivery, JobReference } from "../domain/message.ts";

/** Reads what references on a database queue stand for. */
export interface DeliveryReader {
  /**
   * Deliveries by job id. A job that is not PENDING or QUEUED in the referenced generation any more (final, cancelled,
   * parked, recovered) is left out: its reference is stale and needs no call.
   */
  read(references: readonly JobReference[]): Promise<ReadonlyMap<JobId, JobDelivery>>;
}

/** What changes of a delivery that is owed while its message travels. */
export interface OwedDelivery {
  readonly generation: number;
  readonly attemptCount: number;
  readonly generationAttempts: number;
}

/**
 * For a router whose messages carry whole deliveries: what of a message that came again, or is old, is still owed. The
 * same rule as `DeliveryReader`, without the payloads.
 */
export interface DeliveryCheck {
  /** By job id; a job that is not owed any more in the generation that was asked for is left out. */
  owed(
    jobs: readonly { readonly jobId: JobId; readonly generation: number }[],
  ): Promise<ReadonlyMap<JobId, OwedDelivery>>;
}
