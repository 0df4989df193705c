import type { MessageId } from "../domain/ids.ts";
import type { DueJob } from "../ports/job-claims.ts";

/** The same jobs in the same generations give the same id, so that a queue recognises what is published twice. */
export function runMessageId(jobs: readonly DueJob[]): MessageId {
  const first = jobs[0];
  const last = jobs.at(-1);
  if (first === undefined || last === undefined) throw new Error("A run has at least one job");
  const head = `${first.jobId}:${first.generation}`;
  return (jobs.length === 1 ? head : `${head}:${jobs.length}:${last.jobId}:${last.generation}`) as MessageId;
}
