import { CodedError } from "@flowcatalyst/foundation";
import type { BrokerQueue, BrokerQueueConfig, BrokerQueueDeps } from "../broker-queue.ts";

export async function openSqsQueue(_deps: BrokerQueueDeps, _config: BrokerQueueConfig): Promise<BrokerQueue> {
  throw new CodedError("NOT_IMPLEMENTED");
}
