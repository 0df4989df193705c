import type { JobId, MessageId } from "../domain/ids.ts";
import type { JobDelivery, JobItem, PlatformMessage } from "../domain/message.ts";
import type { DueJob, DueRun } from "../ports/job-claims.ts";

/** A run and the message that stands for it on the queue. */
export interface OutgoingRun {
  readonly run: DueRun;
  readonly message: PlatformMessage;
}

/** What a delivery takes in a message besides its payload: attributes, headers, the retry policy, JSON around them. */
const deliveryOverheadBytes = 2_048;
/** Quotes and line ends of a JSON payload are escaped when it travels as text. */
const escapedShare = 1.2;

/** Jobs travel as references: the queue lives where they live. */
export function referenceMessage(run: DueRun): OutgoingRun {
  const jobs = run.jobs.map((job): JobItem => ({
    kind: "reference",
    jobId: job.jobId,
    generation: job.generation,
    bytes: job.bytes,
  }));
  return { run, message: messageOf(run, jobs) };
}

/**
 * Jobs travel whole, as many of the run as should fit into one message, at least one. Those after them stay PENDING and
 * come with a later run. Jobs that have moved on meanwhile are left out; null: all of them have.
 */
export function deliveryMessage(
  run: DueRun,
  deliveries: ReadonlyMap<JobId, JobDelivery>,
  maxMessageBytes: number,
): OutgoingRun | null {
  const jobs: DueJob[] = [];
  const items: JobDelivery[] = [];
  let bytes = 0;
  for (const job of run.jobs) {
    const delivery = deliveries.get(job.jobId);
    if (delivery === undefined || delivery.generation !== job.generation) continue;
    bytes += job.bytes * escapedShare + deliveryOverheadBytes;
    if (items.length > 0 && bytes > maxMessageBytes) break;
    jobs.push(job);
    items.push(delivery);
  }
  if (items.length === 0) return null;
  const sent = jobs.length === run.jobs.length ? run : withJobs(run, jobs);
  return { run: sent, message: messageOf(sent, items) };
}

/** The first half of a run that the queue found too large. A run of one job cannot be halved: null. */
export function firstHalf({ run, message }: OutgoingRun): OutgoingRun | null {
  if (run.jobs.length <= 1) return null;
  const count = Math.ceil(run.jobs.length / 2);
  const half = withJobs(run, run.jobs.slice(0, count));
  return { run: half, message: messageOf(half, message.jobs.slice(0, count)) };
}

/**
 * A message with other jobs is another message: if it had the same id, a queue that has taken the longer one already
 * would call this one a duplicate, and the jobs of the two would be mistaken for each other. The id is made of the
 * jobs as the store makes it, so that a claim of exactly these jobs is recognised.
 */
function withJobs(run: DueRun, jobs: readonly DueJob[]): DueRun {
  const first = jobs[0];
  const last = jobs.at(-1);
  if (first === undefined || last === undefined) return run;
  const head = `${first.jobId}:${first.generation}`;
  const messageId = jobs.length === 1 ? head : `${head}:${jobs.length}:${last.jobId}:${last.generation}`;
  return { ...run, messageId: messageId as MessageId, jobs };
}

function messageOf(run: DueRun, jobs: readonly JobItem[]): PlatformMessage {
  const { messageId: id, lane, groupKey } = run;
  return { kind: "platform", id, lane, groupKey, jobs, traceparent: null };
}
