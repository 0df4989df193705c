import type { Service } from "@flowcatalyst/foundation";
import { createOutboxProcessor } from "../outbox/outbox-processor.ts";
import { outboxProcessorLimits } from "../outbox/outbox-limits.ts";
import type { OutboxSource } from "../ports/outbox-source.ts";
import type { ProcessContext } from "./process-context.ts";

export interface OutboxSettings {
  readonly outboxPollIntervalMs: number;
  readonly outboxBatchSize: number;
  readonly outboxConcurrency: number;
  readonly outboxMaxRetries: number;
  readonly outboxBlockOnError: boolean;
  readonly outboxRetentionHours: number;
}

export interface OutboxParts {
  readonly source: OutboxSource;
  /** Where rows go: the platform, or the router. Asked at each request. */
  readonly targetUrl: () => string;
  readonly token: string | null;
}

const msPerHour = 3_600_000;

/** The outbox processor as a service, wired for `outbox` and `dev`, with the checks `outbox` and `outbox-target`. */
export async function createOutboxService(
  { source, targetUrl, token }: OutboxParts,
  config: OutboxSettings,
  context: ProcessContext,
): Promise<Service> {
  const { createOutboxPublisher } = await import("../remote/index.ts");
  const { clock, random, logger, metrics, health, holder, version } = context;
  const publisher = createOutboxPublisher(
    { clock },
    {
      baseUrl: targetUrl,
      token,
      userAgent: `FlowCatalyst/${version}`,
      timeoutMs: outboxProcessorLimits.requestTimeoutMs,
    },
  );
  const processor = createOutboxProcessor(
    { source, publisher, clock, random, logger, metrics },
    {
      holder,
      pollIntervalMs: config.outboxPollIntervalMs,
      batchMaxRows: config.outboxBatchSize,
      concurrency: config.outboxConcurrency,
      maxRetries: config.outboxMaxRetries,
      blockOnError: config.outboxBlockOnError,
      retentionMs: config.outboxRetentionHours * msPerHour,
    },
  );
  health.register("outbox", () => processor.sourceHealth());
  health.register("outbox-target", () => processor.targetHealth());
  return { name: "outbox", run: (signal) => processor.run(signal) };
}
