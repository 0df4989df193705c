import type { Clock, Logger } from "@flowcatalyst/foundation";
import type { JobClaims } from "../ports/job-claims.ts";
import type { LeaseEpoch } from "../ports/lease.ts";
import { unsettledOf, type QueueCapabilities, type QueueMetrics } from "../ports/queue.ts";

/**
 * Jobs whose message is gone.
 *
 * A QUEUED job has a message on the queue; if the queue lost it (a broker restored from a backup, a purge by hand), the
 * job would wait for ever. Age proves nothing, since a message may wait for days behind a slow target. What proves it
 * is the queue itself:
 *
 * - it reports its oldest unsettled message, and that one was published after the job was marked QUEUED; a job is
 *   marked after its message was published, so its own message is not among the unsettled ones;
 * - or it reports itself empty twice in a row, the first time after the job was marked.
 *
 * A queue that does not report its oldest message may count by sampling, so that a look finds nothing where something
 * is. There each look of the last ten minutes has to have found nothing, and the job to have been marked before.
 *
 * Some brokers tell neither. There a job that was QUEUED for a day is put back, whatever became of its message: by then
 * a job of the default policy has expired, and is seen to have; another one is published once a day more. A job that
 * is being delivered just then is delivered twice at the worst, and its group in order all the same: each copy of a run
 * walks through it in order, and what is not owed any more is dropped (docs/decisions/0018).
 *
 * A message that a router holds is unsettled, and results are recorded before it is acked, so neither holds for a job
 * that is being delivered. Times come from two clocks when the queue is a broker, hence the margin. A message from the
 * future says that the clock was set back; then times prove nothing, until it has caught up.
 *
 * A recovered job is PENDING with a new generation. Should its message turn up after all, the generation in it is old
 * and it is dropped without a call.
 */
export interface LostJobRecovery {
  /** Looks once; gives back how many jobs were recovered. Throws what store and queue throw. */
  pass(epoch: LeaseEpoch): Promise<number>;
}

export interface LostJobRecoveryDeps {
  readonly claims: Pick<JobClaims, "recoverLost">;
  readonly queueMetrics: () => Promise<QueueMetrics>;
  readonly publisher: { readonly capabilities: Pick<QueueCapabilities, "reportsOldest"> };
  readonly clock: Pick<Clock, "now">;
  readonly logger: Logger;
}

export interface LostJobRecoveryConfig {
  /** How far the clocks of the queue and of this process may differ. */
  readonly clockMarginMs: number;
  readonly maxJobs: number;
  /** Of a queue that may count by sampling: for how long it has to have been found empty at each look. */
  readonly sampledEmptyMs: number;
  /** Of a queue that cannot tell how much it holds: what was published this long ago counts as lost. */
  readonly silentQueueLostAfterMs: number;
}

export const recoveryDefaults = {
  clockMarginMs: 2_000,
  maxJobs: 1_000,
  sampledEmptyMs: 600_000,
  silentQueueLostAfterMs: 86_400_000,
} as const;

export function createLostJobRecovery(deps: LostJobRecoveryDeps, config: LostJobRecoveryConfig): LostJobRecovery {
  /** When the queue was last seen empty; null: it was not empty the last time. */
  let emptyAtMs: number | null = null;
  /** The first of the looks in a row that found it empty. */
  let emptySinceMs = 0;

  /** Null: it proves nothing yet. */
  const emptyProves = (askedAtMs: number): number | null => {
    const seenBeforeMs = emptyAtMs;
    emptyAtMs = askedAtMs;
    if (seenBeforeMs === null || askedAtMs < seenBeforeMs) emptySinceMs = askedAtMs;
    if (deps.publisher.capabilities.reportsOldest) return seenBeforeMs;
    const longAgoMs = askedAtMs - config.sampledEmptyMs;
    return emptySinceMs <= longAgoMs ? longAgoMs : null;
  };

  const provenBefore = (metrics: QueueMetrics, askedAtMs: number): number | null => {
    const unsettled = unsettledOf(metrics);
    if (unsettled === null) return askedAtMs - config.silentQueueLostAfterMs;
    if (unsettled === 0) return emptyProves(askedAtMs);
    emptyAtMs = null;
    const { oldestUnsettledAtMs } = metrics;
    return oldestUnsettledAtMs !== null && oldestUnsettledAtMs <= askedAtMs ? oldestUnsettledAtMs : null;
  };

  return {
    async pass(epoch) {
      const askedAtMs = deps.clock.now();
      const proven = provenBefore(await deps.queueMetrics(), askedAtMs);
      if (proven === null) return 0;
      const queuedBeforeMs = proven - config.clockMarginMs;
      const request = { queuedBeforeMs, maxJobs: config.maxJobs, nowMs: deps.clock.now() };
      const recovered = await deps.claims.recoverLost(request, epoch);
      if (recovered > 0) {
        deps.logger.warn(
          { jobs: recovered, queuedBeforeMs },
          "Jobs whose message the queue has lost are published again",
        );
      }
      return recovered;
    },
  };
}
