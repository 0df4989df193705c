import { wrapUnknown } from "@flowcatalyst/foundation";
import type { JobDelivery } from "../domain/message.ts";
import type { JobId } from "../domain/ids.ts";
import type { DueRun, JobClaims, UnpublishableRun } from "../ports/job-claims.ts";
import type { PublishResult, QueuePublisher } from "../ports/queue.ts";
import { deliveryMessage, firstHalf, referenceMessage, type OutgoingRun } from "./run-message.ts";

/** What became of the runs of one claim. */
export interface Published {
  /** Taken by the queue, now or earlier. */
  readonly queued: readonly DueRun[];
  readonly unpublishable: readonly UnpublishableRun[];
  /** Runs the queue did not take now; they stay as they are. */
  readonly refused: number;
  /** Why the queue failed in the middle; what was taken before is in `queued`. */
  readonly fault: Error | null;
}

interface Outcome {
  readonly queued: DueRun[];
  readonly unpublishable: UnpublishableRun[];
  refused: number;
  /** To be tried again with fewer jobs. */
  readonly halved: OutgoingRun[];
}

/**
 * Publishes runs in batches of the queue's size. A run of several jobs that the queue will not take is halved until it
 * does, or until one job is left that can never be published: a run has at most 32 jobs, so five times at most.
 */
export async function publishRuns(publisher: QueuePublisher, outgoing: readonly OutgoingRun[]): Promise<Published> {
  const outcome: Outcome = { queued: [], unpublishable: [], refused: 0, halved: [] };
  let waiting = outgoing;
  try {
    while (waiting.length > 0) {
      await publishBatches(publisher, waiting, outcome);
      waiting = outcome.halved.splice(0);
    }
  } catch (error) {
    return { ...outcome, fault: wrapUnknown(error) };
  }
  return { ...outcome, fault: null };
}

/** Messages for the runs, in the form the queue carries. */
export async function composeMessages(
  claims: Pick<JobClaims, "compose">,
  publisher: QueuePublisher,
  runs: readonly DueRun[],
): Promise<readonly OutgoingRun[]> {
  const { carriesReferences, maxMessageBytes } = publisher.capabilities;
  if (carriesReferences) return runs.map(referenceMessage);
  const deliveries: ReadonlyMap<JobId, JobDelivery> = await claims.compose(runs);
  const outgoing: OutgoingRun[] = [];
  for (const run of runs) {
    const composed = deliveryMessage(run, deliveries, maxMessageBytes);
    if (composed !== null) outgoing.push(composed);
  }
  return outgoing;
}

async function publishBatches(
  publisher: QueuePublisher,
  outgoing: readonly OutgoingRun[],
  outcome: Outcome,
): Promise<void> {
  const { maxBatch } = publisher.capabilities;
  for (let from = 0; from < outgoing.length; from += maxBatch) {
    const batch = outgoing.slice(from, from + maxBatch);
    const results = await publisher.publish(batch.map(({ message }) => message));
    for (const [index, sent] of batch.entries()) settle(sent, results[index], outcome);
  }
}

function settle(sent: OutgoingRun, result: PublishResult | undefined, outcome: Outcome): void {
  switch (result?.kind) {
    case "published":
    case "duplicate":
      outcome.queued.push(sent.run);
      return;
    case "invalid": {
      const half = firstHalf(sent);
      if (half === null) outcome.unpublishable.push({ run: sent.run, code: result.code });
      else outcome.halved.push(half);
      return;
    }
    case "refused":
    case undefined:
      outcome.refused++;
  }
}
