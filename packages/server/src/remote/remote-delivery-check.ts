import { checkDeliveriesAnswerSchema, wireLimits } from "@flowcatalyst/contracts";
import { CodedError } from "@flowcatalyst/foundation";
import type { JobId } from "../domain/ids.ts";
import type { DeliveryCheck, OwedDelivery } from "../ports/delivery-reader.ts";
import type { PlatformClient } from "./platform-client.ts";

export const remoteDeliveryCheckLimits = { timeoutMs: 5_000 } as const;

/** Asks the platform what of a message that came again, or is old, is still owed. */
export function createRemoteDeliveryCheck({ client }: { readonly client: PlatformClient }): DeliveryCheck {
  return {
    async owed(jobs) {
      const owed = new Map<JobId, OwedDelivery>();
      for (let from = 0; from < jobs.length; from += wireLimits.deliveryChecksMax) {
        const asked = jobs.slice(from, from + wireLimits.deliveryChecksMax);
        const body = JSON.stringify({ jobs: asked.map(({ jobId, generation }) => ({ jobId, generation })) });
        const path = "/api/dispatch/check";
        const { timeoutMs } = remoteDeliveryCheckLimits;
        const answer = await client.call({ method: "POST", path, body, timeoutMs });
        const parsed = checkDeliveriesAnswerSchema.safeParse(answer.kind === "answered" ? answer.body : null);
        if (!parsed.success) {
          const message = "The platform does not say which deliveries are owed; is it of another version?";
          throw new CodedError("STORE_UNAVAILABLE", { message });
        }
        for (const { jobId, ...job } of parsed.data.jobs) owed.set(jobId as JobId, job);
      }
      return owed;
    },
  };
}
