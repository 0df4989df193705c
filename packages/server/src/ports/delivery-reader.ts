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
