import type { QueueMetrics } from "../../ports/queue.ts";
import type { NatsDeadLetters } from "./nats-dead-letters.ts";
import type { NatsLink } from "./nats-link.ts";
import type { NatsNames } from "./nats-names.ts";

/**
 * What the queue holds, by the consumers of its lanes: one question for the stream, one for every 256 lanes, and one
 * for the dead letters.
 *
 * The stream's own total is not used where a lane has a consumer: a server of 2.9 that was killed may keep messages
 * whose ack it knows. They are given to nobody, and would look like a backlog for ever.
 */
export async function readNatsMetrics(link: NatsLink, names: NatsNames, dead: NatsDeadLetters): Promise<QueueMetrics> {
  const { consumers, streams } = link.manager;
  const { state } = await streams.info(names.stream, { subjects_filter: names.laneSubjects, deleted_details: false });
  const withoutConsumer = new Map(Object.entries(state.subjects ?? {}));
  let visible = 0;
  let inFlight = 0;
  for await (const consumer of consumers.list(names.stream)) {
    visible += consumer.num_pending;
    inFlight += consumer.num_ack_pending;
    withoutConsumer.delete(`${names.lanePrefix}${consumer.name}`);
  }
  for (const count of withoutConsumer.values()) visible += count;
  return {
    visible,
    inFlight,
    delayed: 0,
    dead: await dead.count(),
    oldestUnsettledAtMs: visible + inFlight === 0 ? null : Math.floor(Date.parse(String(state.first_ts))),
  };
}
