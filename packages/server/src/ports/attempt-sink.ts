import type { DeliveryReport, ReportVerdict } from "../domain/attempt.ts";

/**
 * Takes what routers report. One call is one transaction: attempts are inserted on conflict do nothing, each job moves
 * by the one pure transition of `domain/job-state`, computed from the stored attempt count. Verdicts are by position.
 * A report that cannot be applied is set aside with its reason and answered `ignored`; it never fails the batch.
 *
 * Throws CodedError STORE_UNAVAILABLE or STORE_FULL: then nothing was recorded, and the caller keeps the reports.
 */
export interface AttemptSink {
  record(reports: readonly DeliveryReport[]): Promise<readonly ReportVerdict[]>;
}
