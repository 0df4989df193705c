import {
  parseTime,
  wireLimits,
  type DeliveryReportWire,
  type DeliveryResultWire,
  type ReportVerdictWire,
  type RouterControl,
} from "@flowcatalyst/contracts";
import { isoTime } from "@flowcatalyst/foundation";
import type { Attempt, DeliveryReport, DeliveryResult, ReportVerdict } from "../domain/attempt.ts";
import type { FinalStatus } from "../domain/dispatch-job.ts";
import type { DispatchPool } from "../domain/dispatch-pool.ts";
import type { ClientId, PoolCode, PoolId } from "../domain/ids.ts";

/**
 * Reports and control state between the domain (milliseconds) and the wire (times as text); the router's side of it.
 */

/** Throws RangeError when a time in it is none. */
export function reportOut({ jobId, generation, attempt, result }: DeliveryReport): DeliveryReportWire {
  return { jobId, generation, attempt: attempt === null ? null : attemptOut(attempt), result: resultOut(result) };
}

function attemptOut({ startedAtMs, error, responseBody, ...attempt }: Attempt): DeliveryReportWire["attempt"] {
  return { ...attempt, startedAt: isoTime(startedAtMs), error: kept(error), responseBody: kept(responseBody) };
}

function resultOut(result: DeliveryResult): DeliveryResultWire {
  switch (result.kind) {
    case "permanent": {
      const { pauseSubscription } = result;
      const reason = pauseSubscription?.slice(0, wireLimits.nameMaxChars) ?? null;
      return { kind: "permanent", error: kept(result.error), pauseSubscription: reason };
    }
    case "transient":
      return { kind: "transient", error: kept(result.error) };
    case "held":
      return { kind: "held", until: isoTime(result.untilMs), error: kept(result.error) };
    case "released":
      return { kind: "released", dueAt: isoTime(result.dueAtMs) };
    case "delivered":
    case "expired":
      return result;
  }
}

/** As much of a text as the platform keeps of it; more would be refused. */
function kept<T extends string | null>(text: T): T {
  return (text === null ? null : text.slice(0, wireLimits.attemptTextMaxChars)) as T;
}

export function verdictIn(verdict: ReportVerdictWire): ReportVerdict {
  switch (verdict.kind) {
    case "settled":
      // A job that is settled is final; the wire's list of states has the others too.
      return { ...verdict, status: verdict.status as FinalStatus };
    case "parked":
      return { kind: "parked", untilMs: parseTime(verdict.until) ?? 0 };
    case "wait":
    case "ignored":
      return verdict;
  }
}

export function poolIn({ createdAt, updatedAt, ...pool }: RouterControl["pools"][number]): DispatchPool {
  return {
    ...pool,
    id: pool.id as PoolId,
    code: pool.code as PoolCode,
    clientId: pool.clientId as ClientId | null,
    createdAtMs: parseTime(createdAt) ?? 0,
    updatedAtMs: parseTime(updatedAt) ?? 0,
  };
}
