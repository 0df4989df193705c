import type { NeededService } from "../../packages/server/src/ports/needs-services.fixture.ts";
import {
  openCuttableLine,
  type CuttableLine,
} from "../../packages/server/src/queues/postgres/cuttable-line.fixture.ts";
import { callApi } from "../harness/api.ts";
import { startCluster } from "../harness/cluster.ts";
import type { PostgresServer } from "../harness/postgres-server.ts";
import { startQueueBroker, type QueueBrokerKind } from "../harness/queue-brokers.ts";
import { freePorts, removeDataDir, startServer, temporaryDataDir } from "../harness/server-process.ts";

/**
 * Platform jobs on one kind of queue, with what can be done to it. On a broker: a platform, a stream, a scheduler and
 * two routers in processes of their own, on a shared PostgreSQL and a broker of this place alone; the routers reach it
 * by a line that can be cut. On PostgreSQL the broker is the database. On SQLite all is one process, so that killing
 * its router and killing its queue are the same.
 */
export interface JobsPlace {
  apiUrl(): string;
  /** Deliveries that the router that gets killed has in hand. */
  inHand(): Promise<number>;
  killRouter(): Promise<void>;
  startRouter(): Promise<void>;
  killQueue(): Promise<void>;
  startQueue(): Promise<void>;
  /** Null: the queue is in the process or in the database, whose connections have tests of their own. */
  readonly line: Pick<CuttableLine, "cut" | "mend"> | null;
  /** Whether another one delivers while the router is away. */
  readonly hasOtherRouter: boolean;
  /** Whether events are accepted while the queue is away. */
  readonly acceptsWithoutQueue: boolean;
  /** Processes that ended without having been told to. */
  vanished(): readonly string[];
  output(): string;
  end(): Promise<void>;
}

const jobsPlaceNames = ["sqlite", "postgres", "nats", "sqs-fifo", "sqs-standard", "activemq", "rabbitmq"] as const;
export type JobsPlaceName = (typeof jobsPlaceNames)[number];

export const neededBy: Readonly<Record<JobsPlaceName, readonly NeededService[]>> = {
  sqlite: [],
  postgres: ["postgres"],
  nats: ["postgres", "nats"],
  "sqs-fifo": ["postgres", "sqs"],
  "sqs-standard": ["postgres", "sqs"],
  activemq: ["postgres", "activemq"],
  rabbitmq: ["postgres", "rabbitmq"],
};

const counts = { platform: 1, stream: 1, scheduler: 1, router: 2 };
/** Short, so that what a killed router had in its hands comes back within the test. */
const visibility = { FC_ROUTER_VISIBILITY_TIMEOUT_SECS: "6" };
const env = { ...visibility, FC_DATABASE_POOL_SIZE: "5" };
const killed = "router-1";

/** `postgres`: asked only by places that need one. */
export async function openJobsPlace(name: JobsPlaceName, postgres: () => Promise<PostgresServer>): Promise<JobsPlace> {
  if (name === "sqlite") return onSqlite();
  const server = await postgres();
  const databaseUrl = await server.createDatabase(`jobs_${name.replaceAll("-", "_")}`);
  return name === "postgres" ? onPostgres(server, databaseUrl) : onBroker(name, databaseUrl);
}

async function inHandOf(routerUrl: string): Promise<number> {
  return (await callApi<{ total: number }>(routerUrl, { method: "GET", path: "/monitoring/in-flight" })).total;
}

async function onBroker(kind: QueueBrokerKind, databaseUrl: string): Promise<JobsPlace> {
  const undo: (() => Promise<void>)[] = [];
  const end = async (): Promise<void> => {
    for (const step of undo.splice(0).toReversed()) await step();
  };
  try {
    const broker = await startQueueBroker(kind);
    undo.push(() => broker.server.remove());
    const line = await openCuttableLine(broker.server.url);
    undo.push(() => line.close());
    const byLine = broker.urlAt(Number(new URL(line.url).port));
    const cluster = await startCluster({
      databaseUrl,
      counts,
      env: { ...env, ...broker.env, FC_QUEUE_URL: broker.queueUrl },
      envOf: { router: { FC_QUEUE_URL: byLine } },
    });
    undo.push(() => cluster.end());
    const router = cluster.member(killed);
    return {
      apiUrl: () => cluster.apiUrl(),
      inHand: () => inHandOf(router.routerUrl),
      killRouter: () => router.kill(),
      startRouter: () => router.start(),
      killQueue: () => broker.server.kill(),
      startQueue: () => broker.server.start(),
      line,
      hasOtherRouter: true,
      acceptsWithoutQueue: true,
      vanished: () => cluster.vanished(),
      output: () => cluster.members.map((member) => `== ${member.name}\n${member.output()}`).join("\n"),
      end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

async function onPostgres(server: PostgresServer, databaseUrl: string): Promise<JobsPlace> {
  const cluster = await startCluster({ databaseUrl, counts, env });
  const router = cluster.member(killed);
  return {
    apiUrl: () => cluster.apiUrl(),
    inHand: () => inHandOf(router.routerUrl),
    killRouter: () => router.kill(),
    startRouter: () => router.start(),
    killQueue: () => server.stop("kill"),
    startQueue: () => server.start(),
    line: null,
    hasOtherRouter: true,
    acceptsWithoutQueue: false,
    vanished: () => cluster.vanished(),
    output: () => cluster.members.map((member) => `== ${member.name}\n${member.output()}`).join("\n"),
    end: () => cluster.end(),
  };
}

async function onSqlite(): Promise<JobsPlace> {
  const options = { dataDir: temporaryDataDir(), ports: await freePorts(), env: visibility };
  let server = await startServer(options);
  let earlier = "";
  const kill = async (): Promise<void> => {
    earlier += server.output();
    await server.kill();
  };
  const start = async (): Promise<void> => {
    server = await startServer(options);
  };
  return {
    apiUrl: () => server.apiUrl,
    inHand: () => inHandOf(server.routerUrl),
    killRouter: kill,
    startRouter: start,
    killQueue: kill,
    startQueue: start,
    line: null,
    hasOtherRouter: false,
    acceptsWithoutQueue: false,
    vanished: () => [],
    output: () => earlier + server.output(),
    end: async () => {
      await server.stop();
      removeDataDir(options.dataDir);
    },
  };
}
