import type { BrokerQueue, BrokerQueueConfig, BrokerQueueDeps } from "../broker-queue.ts";
import { natsCapabilities } from "./nats-capabilities.ts";
import { connectNats } from "./nats-link.ts";
import { namesOf } from "./nats-names.ts";
import { parseNatsQueueUrl } from "./nats-queue-config.ts";
import { NatsQueue } from "./nats-queue.ts";
import { ensureStreams } from "./nats-streams.ts";

/** Connects, and makes the streams or verifies them; consumers are made with the first question for their lane. */
export async function openNatsQueue(deps: BrokerQueueDeps, config: BrokerQueueConfig): Promise<BrokerQueue> {
  const settings = parseNatsQueueUrl(config.url);
  const names = namesOf(settings.streamName);
  const link = await connectNats(deps, settings, config.name);
  try {
    const { dedupWindowMs } = await ensureStreams(link, names, settings);
    const capabilities = natsCapabilities(dedupWindowMs, link.maxPayloadBytes);
    const queue = new NatsQueue({ link, names, settings, capabilities }, config);
    return {
      queue,
      probe: () => Promise.resolve(link.probe()),
      close: async () => {
        try {
          await queue.close();
        } finally {
          await link.close();
        }
      },
    };
  } catch (error) {
    await link.close();
    throw error;
  }
}
