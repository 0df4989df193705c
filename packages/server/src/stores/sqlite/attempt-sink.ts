import { CodedError, describeError } from "@flowcatalyst/foundation";
import type { DeliveryReport, ReportVerdict } from "../../domain/attempt.ts";
import { jobLimits } from "../../domain/dispatch-job.ts";
import type { AttemptSink } from "../../ports/attempt-sink.ts";
import { createAttemptWrites, type AttemptWrites } from "./attempt-rows.ts";
import type { JobChanges } from "./job-changes.ts";
import type { JobRow } from "../job-row.ts";
import type { JobWriter } from "./job-writer.ts";
import { createSubscriptionPauses, type SubscriptionPauses } from "./subscription-pauses.ts";

/**
 * Takes what routers report: one transaction a call, or one a report after something in the call could not be written.
 * For each report the attempt is inserted first, and whether it was new decides whether it counts; then the job moves
 * by the state machine. A late report of a job that has moved on leaves its attempt behind and nothing else. A report
 * of a job nobody knows, or that cannot be written, is set aside, at most the last 10,000 of them.
 */
export const sinkLimits = {
  setAsideKept: 10_000,
} as const;

const unknownJob: ReportVerdict = { kind: "ignored", reason: "UNKNOWN_JOB" };

export function createAttemptSink(writer: JobWriter): AttemptSink {
  const context: SinkContext = {
    attempts: createAttemptWrites(writer.database),
    pauses: createSubscriptionPauses(writer),
    ...prepare(writer),
  };
  const recordTogether = (reports: readonly DeliveryReport[]): readonly ReportVerdict[] =>
    writer.write({ nowMs: writer.clock.now() }, (changes) => reports.map((report) => apply(report, changes, context)));
  const recordAlone = (report: DeliveryReport): ReportVerdict => {
    try {
      return recordTogether([report])[0] ?? unknownJob;
    } catch (error) {
      if (error instanceof CodedError) throw error;
      writer.database.transaction(() => context.setAside(report, describeError(error), writer.clock.now()));
      return unknownJob;
    }
  };
  return {
    record: async (reports) => {
      try {
        return recordTogether(reports);
      } catch (error) {
        // The store itself is fine, so it is one of the reports; its job is found lost later, and goes again.
        if (error instanceof CodedError) throw error;
        return reports.map(recordAlone);
      }
    },
  };
}

interface SinkContext {
  readonly attempts: AttemptWrites;
  readonly pauses: SubscriptionPauses;
  setAside(report: DeliveryReport, reason: string, nowMs: number): void;
  countUnburnt(row: JobRow, count: number): void;
}

function apply(report: DeliveryReport, changes: JobChanges, context: SinkContext): ReportVerdict {
  const row = changes.job(report.jobId);
  if (row === null) {
    context.setAside(report, "UNKNOWN_JOB", changes.nowMs);
    return unknownJob;
  }
  const { attempt, generation } = report;
  const isNew = attempt !== null && context.attempts.insert({ position: row.position, generation }, attempt);
  const counted = isNew && !attempt.burnt ? { ...row, unburnt_attempts: row.unburnt_attempts + 1 } : row;
  if (counted.unburnt_attempts > jobLimits.unburntAttemptRows && counted !== row) {
    context.attempts.trimUnburnt(row.position);
  }
  const command = { kind: "report", generation, result: report.result, attempt, attemptIsNew: isNew } as const;
  const result = changes.apply(counted, command);
  if (result.kind === "unchanged") {
    if (counted !== row) context.countUnburnt(row, counted.unburnt_attempts);
    return { kind: "ignored", reason: result.reason === "FINAL" ? "FINAL" : "STALE" };
  }
  if (result.verdict === null) throw new Error("A report has a verdict");
  if (report.result.kind === "permanent" && report.result.pauseSubscription !== null) {
    const { subscriptionId } = changes.profile(row);
    if (subscriptionId !== null)
      context.pauses.pauseWithReason(subscriptionId, report.result.pauseSubscription, changes);
  }
  return result.verdict;
}

function prepare({ database }: JobWriter): Pick<SinkContext, "setAside" | "countUnburnt"> {
  const add = database.statement<never, [string, string, string, number]>(
    "INSERT INTO set_aside_reports (job_id, reason, report, at_ms) VALUES (?1, ?2, ?3, ?4)",
  );
  const trim = database.statement<never, [number]>(
    "DELETE FROM set_aside_reports WHERE sequence <= (SELECT max(sequence) FROM set_aside_reports) - ?1",
  );
  const count = database.statement<never, [number, number]>(
    "UPDATE jobs SET unburnt_attempts = ?2 WHERE position = ?1",
  );
  return {
    setAside: (report, reason, nowMs) => {
      add.run(report.jobId, reason, JSON.stringify(report), nowMs);
      trim.run(sinkLimits.setAsideKept);
    },
    countUnburnt: (row, value) => {
      count.run(row.position, value);
    },
  };
}
