import { describeError, type Clock, type HealthResult, type Logger } from "@flowcatalyst/foundation";
import type { QueueMetrics } from "../ports/queue.ts";

/**
 * Whether anybody receives what the scheduler publishes.
 *
 * With services of their own, routers that run, and are well, may yet receive from another queue than the one the
 * scheduler publishes to: one FC_QUEUE_URL is wrong. Neither side fails; nothing is delivered. So the scheduler's
 * process looks at its queue now and then, and says so when the oldest message has waited for a while, is still the
 * same as at the look before, and nothing was in flight at either.
 *
 * It only says so. The same is seen when no router runs, when all of them stand by, and when the pools of everything
 * that waits are suspended; so the process stays ready, and the words name all of these.
 */
export interface ReceiverWatch {
  run(signal: AbortSignal): Promise<void>;
  /** Looks once. A queue that cannot be asked is the affair of its own health. */
  look(): Promise<void>;
  /** Always UP; with a reason while nobody seems to receive. */
  health(): HealthResult;
}

export interface ReceiverWatchDeps {
  readonly queueMetrics: () => Promise<QueueMetrics>;
  readonly clock: Pick<Clock, "now" | "sleep">;
  readonly logger: Logger;
}

export interface ReceiverWatchConfig {
  /** Of the queue, without user and password. */
  readonly queue: string;
  readonly intervalMs: number;
  /** How long the oldest message has to have waited. */
  readonly afterMs: number;
  /** While it lasts it is logged again after this. */
  readonly repeatMs: number;
}

export const receiverWatchDefaults = { intervalMs: 15_000, afterMs: 30_000, repeatMs: 300_000 } as const;

export function createReceiverWatch(deps: ReceiverWatchDeps, config: ReceiverWatchConfig): ReceiverWatch {
  const { clock, logger } = deps;
  /** The message that waited at the last look, by its time; null: none, or something was in flight. */
  let waitingSinceMs: number | null = null;
  let reason: string | null = null;
  let loggedAtMs = 0;

  const complain = (waiting: number): void => {
    const nowMs = clock.now();
    const isNews = reason === null;
    reason =
      `nobody receives from ${config.queue} (messages waiting: ${waiting}): no router runs or is active, ` +
      "routers have another FC_QUEUE_URL than this scheduler, or the pools are suspended";
    if (!isNews && nowMs - loggedAtMs < config.repeatMs) return;
    loggedAtMs = nowMs;
    logger.warn({ queue: config.queue, waiting, reason }, "Nobody receives from the queue");
  };

  const calm = (): void => {
    if (reason !== null) logger.info({ queue: config.queue }, "The queue is received from again");
    reason = null;
  };

  const judge = ({ visible, inFlight, oldestUnsettledAtMs }: QueueMetrics): void => {
    const before = waitingSinceMs;
    waitingSinceMs = visible !== null && visible > 0 && inFlight === 0 ? oldestUnsettledAtMs : null;
    const isStuck = waitingSinceMs !== null && waitingSinceMs === before;
    if (isStuck && clock.now() - (waitingSinceMs ?? 0) >= config.afterMs) complain(visible ?? 0);
    else if (waitingSinceMs === null || waitingSinceMs !== before) calm();
  };

  const look = async (): Promise<void> => {
    try {
      judge(await deps.queueMetrics());
    } catch (error) {
      logger.debug({ error: describeError(error) }, "The queue cannot be looked at");
    }
  };

  return {
    look,
    health: () => (reason === null ? { status: "UP" } : { status: "UP", data: { reason } }),
    async run(signal) {
      while (!signal.aborted) {
        await look();
        await clock.sleep(config.intervalMs, signal);
      }
    },
  };
}
