import type { JobId } from "../domain/ids.ts";
import type { DeliveryCheck, DeliveryReader, OwedDelivery } from "../ports/delivery-reader.ts";

/** For a router that has the store, and a queue whose messages carry whole deliveries. */
export function deliveryCheckOf(reader: DeliveryReader): DeliveryCheck {
  return {
    async owed(jobs) {
      const references = jobs.map((job) => ({ kind: "reference", ...job, bytes: 0 }) as const);
      const owed = new Map<JobId, OwedDelivery>();
      for (const [jobId, { generation, attemptCount, generationAttempts }] of await reader.read(references)) {
        owed.set(jobId, { generation, attemptCount, generationAttempts });
      }
      return owed;
    },
  };
}
