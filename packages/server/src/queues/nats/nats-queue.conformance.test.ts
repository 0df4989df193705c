import { systemClock } from "@flowcatalyst/foundation";
import { describeWithNats, testNatsUrl } from "../../ports/needs-services.fixture.ts";
import { describeQueueConformance, type QueueBench } from "../../ports/queue.conformance.ts";
import { openCuttableLine } from "../postgres/cuttable-line.fixture.ts";
import { openTestNats } from "./nats-bench.fixture.ts";
import { natsCapabilities } from "./nats-capabilities.ts";

/** Short, because this time really passes; long enough for a busy machine to extend at seven tenths of it. */
const visibilityMs = 1_000;
const dedupWindowMs = 2_000;
/** Of a message that was published, until a question that waits has it. */
const promptMs = 100;
/** As nats-server has it unless it is told otherwise. */
const serverMaxPayloadBytes = 1_048_576;
const caseTimeoutMs = 60_000;

async function setup(): Promise<QueueBench> {
  const server = testNatsUrl ?? "";
  const nats = await openTestNats(server);
  const parameters = `dedup_window_secs=${dedupWindowMs / 1_000}`;
  let line = await openCuttableLine(server);
  let broker = await nats.open({ server: line.url, parameters, visibilityMs });
  return {
    queue: broker.queue,
    visibilityMs,
    promptMs,
    passTime: (ms) => systemClock().sleep(ms),
    async crash() {
      // The line goes first, so that it cannot say goodbye.
      await line.close();
      await broker.close();
      line = await openCuttableLine(server);
      broker = await nats.open({ server: line.url, parameters, visibilityMs });
      return broker.queue;
    },
    putRaw: (lane, body) => nats.putRaw(lane, body),
    async close() {
      await nats.close();
      await line.close();
    },
  };
}

describeWithNats("the queue on NATS JetStream", () => {
  const capabilities = natsCapabilities(dedupWindowMs, serverMaxPayloadBytes);
  describeQueueConformance({ name: "nats", capabilities, caseTimeoutMs }, setup);
});
