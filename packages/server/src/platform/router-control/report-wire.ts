import {
  parseTime,
  type DeliveryReportWire,
  type DeliveryResultWire,
  type ReportVerdictWire,
} from "@flowcatalyst/contracts";
import { isoTime } from "@flowcatalyst/foundation";
import type { DeliveryReport, DeliveryResult, ReportVerdict } from "../../domain/attempt.ts";
import type { JobId } from "../../domain/ids.ts";

/** Delivery reports and verdicts between the wire (times as text) and the domain (milliseconds). */
export function reportIn({ jobId, generation, attempt, result }: DeliveryReportWire): DeliveryReport {
  return {
    jobId: jobId as JobId,
    generation,
    attempt: attempt === null ? null : attemptIn(attempt),
    result: resultIn(result),
  };
}

function attemptIn({
  startedAt,
  ...attempt
}: NonNullable<DeliveryReportWire["attempt"]>): NonNullable<DeliveryReport["attempt"]> {
  return { ...attempt, startedAtMs: msOf(startedAt) };
}

function resultIn(result: DeliveryResultWire): DeliveryResult {
  switch (result.kind) {
    case "held":
      return { kind: "held", untilMs: msOf(result.until), error: result.error };
    case "released":
      return { kind: "released", dueAtMs: msOf(result.dueAt) };
    case "delivered":
    case "permanent":
    case "transient":
    case "expired":
      return result;
  }
}

export function verdictOut(verdict: ReportVerdict): ReportVerdictWire {
  return verdict.kind === "parked" ? { kind: "parked", until: isoTime(verdict.untilMs) } : { ...verdict };
}

/** The schema has seen to it that the text is a time. */
function msOf(text: string): number {
  return parseTime(text) ?? 0;
}
