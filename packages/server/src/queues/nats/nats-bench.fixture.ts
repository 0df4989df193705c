import { jetstreamManager, type JetStreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { seededRandom, silentLogger, systemClock, type Logger } from "@flowcatalyst/foundation";
import type { PoolCode } from "../../domain/ids.ts";
import type { BrokerQueue, BrokerQueueConfig } from "../broker-queue.ts";
import { openNatsQueue } from "./index.ts";
import { laneToken, namesOf, type NatsNames } from "./nats-names.ts";

type OpenOptions = Partial<BrokerQueueConfig> & { server?: string; parameters?: string; logger?: Logger };

/** A stream of one test on a server, and a connection beside the queue's own. */
export interface TestNats {
  readonly names: NatsNames;
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  /** `server` may be a line that can be cut; parameters are those of the queue's URL. */
  open(options?: OpenOptions): Promise<BrokerQueue>;
  /** Puts a body on the queue as a stranger could. */
  putRaw(lane: PoolCode, body: string): Promise<void>;
  /** Closes what was opened, and takes the streams away. */
  close(): Promise<void>;
}

export async function openTestNats(server: string): Promise<TestNats> {
  const streamName = `T${crypto.randomUUID().replaceAll("-", "")}`;
  const names = namesOf(streamName);
  const connection = await connect({ servers: server });
  const manager = await jetstreamManager(connection);
  const opened: BrokerQueue[] = [];
  return {
    names,
    connection,
    manager,
    open: async ({ server: place = server, parameters = "", logger = silentLogger(), ...config } = {}) => {
      const deps = { clock: systemClock(), random: seededRandom(1), logger };
      const url = `${place}/${streamName}?${parameters}`;
      const defaults = { name: "nats", visibilityMs: 60_000, parallelReceives: 2 };
      const queue = await openNatsQueue(deps, { ...defaults, ...config, url });
      opened.push(queue);
      return queue;
    },
    putRaw: async (lane, body) => {
      connection.publish(`${names.lanePrefix}${laneToken(lane)}`, body);
      await connection.flush();
    },
    close: async () => {
      for (const queue of opened) await queue.close();
      for (const name of [names.stream, names.deadStream]) {
        // A test may have failed before there was one.
        await manager.streams.delete(name).catch(() => false);
      }
      await connection.close();
    },
  };
}
