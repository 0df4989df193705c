import { reportAttemptsAnswerSchema, wireLimits } from "@flowcatalyst/contracts";
import { CodedError, type Logger } from "@flowcatalyst/foundation";
import type { DeliveryReport, ReportVerdict } from "../domain/attempt.ts";
import type { AttemptSink } from "../ports/attempt-sink.ts";
import type { PlatformClient } from "./platform-client.ts";
import { reportOut, verdictIn } from "./remote-wire.ts";

export const remoteAttemptSinkLimits = { timeoutMs: 10_000 } as const;

/**
 * Results of a router without a database: one request is one transaction of the platform's store.
 *
 * What the platform does not answer, or answers with a fault of its own, was perhaps recorded and perhaps not; the
 * caller reports it again, and the store recognises what it has (generation, attempt id). A batch that the platform
 * refuses as invalid would be refused for ever and hold up all that comes after it, so it is halved until the one
 * report is found; that one is given up with an error in the log. Its job is still owed, so the platform publishes it
 * anew when its message is gone.
 */
export function createRemoteAttemptSink(deps: {
  readonly client: PlatformClient;
  readonly logger: Logger;
}): AttemptSink {
  const { client, logger } = deps;

  const send = async (reports: readonly WrittenReport[]): Promise<readonly ReportVerdict[]> => {
    const answer = await client.call({
      method: "POST",
      path: "/api/dispatch/attempts",
      body: `{"reports":[${reports.map(({ text }) => text).join(",")}]}`,
      timeoutMs: remoteAttemptSinkLimits.timeoutMs,
    });
    if (answer.kind === "answered") return verdictsOf(answer.body, reports.length);
    const [first] = reports;
    if (reports.length === 1 && first !== undefined) {
      logger.error({ jobId: first.jobId, detail: answer.detail }, "The platform refuses a result, which is given up");
      return [givenUp];
    }
    const half = Math.ceil(reports.length / 2);
    return [...(await send(reports.slice(0, half))), ...(await send(reports.slice(half)))];
  };

  return {
    async record(reports) {
      const written = reports.map((report) => writtenReport(report, logger));
      const sendable = written.filter((report) => report !== null);
      const verdicts: ReportVerdict[] = [];
      for (let from = 0; from < sendable.length; from += wireLimits.attemptReportsMax) {
        verdicts.push(...(await send(sendable.slice(from, from + wireLimits.attemptReportsMax))));
      }
      let at = 0;
      return written.map((report) => (report === null ? givenUp : (verdicts[at++] ?? givenUp)));
    },
  };
}

interface WrittenReport {
  readonly jobId: string;
  readonly text: string;
}

const givenUp: ReportVerdict = { kind: "ignored", reason: "UNKNOWN_JOB" };

/** Null: it has a time that is none, and nobody could take it. */
function writtenReport(report: DeliveryReport, logger: Logger): WrittenReport | null {
  try {
    return { jobId: report.jobId, text: JSON.stringify(reportOut(report)) };
  } catch (error) {
    logger.error({ jobId: report.jobId, err: error }, "A result cannot be written, and is given up");
    return null;
  }
}

function verdictsOf(body: unknown, count: number): readonly ReportVerdict[] {
  const parsed = reportAttemptsAnswerSchema.safeParse(body);
  if (parsed.success && parsed.data.verdicts.length === count) return parsed.data.verdicts.map(verdictIn);
  const message = "The platform answers results with what this router cannot read; is it of another version?";
  throw new CodedError("STORE_UNAVAILABLE", { message });
}
