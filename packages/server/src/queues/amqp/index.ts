import type { BrokerQueue, BrokerQueueConfig, BrokerQueueDeps } from "../broker-queue.ts";
import { parseAmqpUrl } from "./amqp-address.ts";
import { AmqpLine } from "./amqp-line.ts";
import { AmqpQueue } from "./amqp-queue.ts";

export { amqpCapabilities } from "./amqp-broker.ts";
export { amqpQueueLimits } from "./amqp-limits.ts";

/** Connects twice: a broker that takes no messages for a while would else keep settlements waiting behind them. */
export async function openAmqpQueue(deps: BrokerQueueDeps, config: BrokerQueueConfig): Promise<BrokerQueue> {
  const address = parseAmqpUrl(config.url);
  const receiving = new AmqpLine(deps, address, "receiving");
  const publishing = new AmqpLine(deps, address, "publishing");
  const close = async (): Promise<void> => {
    await Promise.all([receiving.close(), publishing.close()]);
  };
  try {
    await Promise.all([receiving.open(), publishing.open()]);
  } catch (error) {
    await close();
    throw error;
  }
  const queue = new AmqpQueue({ ...deps, receiving, publishing }, config, address);
  return {
    queue,
    probe: async () =>
      [receiving.probe(), publishing.probe()].find(({ status }) => status === "DOWN") ?? { status: "UP" },
    close: async () => {
      queue.close();
      await close();
    },
  };
}
