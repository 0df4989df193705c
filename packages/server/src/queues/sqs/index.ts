import type { BrokerQueue, BrokerQueueConfig, BrokerQueueDeps } from "../broker-queue.ts";
import { openSqsPlaces } from "./sqs-places.ts";
import { SqsQueue } from "./sqs-queue.ts";
import { parseSqsUrl } from "./sqs-queue-url.ts";
import { createSqsService } from "./sqs-service.ts";

export async function openSqsQueue(deps: BrokerQueueDeps, config: BrokerQueueConfig): Promise<BrokerQueue> {
  const address = parseSqsUrl(config.url);
  const service = createSqsService(address, deps.clock);
  try {
    const places = await openSqsPlaces(deps, service, address);
    const queue = new SqsQueue({ ...deps, service, places }, { ...config, isFifo: address.isFifo });
    return { queue, probe: async () => queue.probe(), close: () => queue.close() };
  } catch (error) {
    service.close();
    throw error;
  }
}
