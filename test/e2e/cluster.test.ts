import { afterEach, expect, test } from "bun:test";
import { describeWithPostgres, openTestPostgres } from "../../packages/server/src/postgres/test-database.fixture.ts";
import { subscribe } from "../harness/api.ts";
import { startCluster, type Cluster } from "../harness/cluster.ts";
import { eventually } from "../harness/eventually.ts";
import { startLedgerReceiver, type LedgerReceiver } from "../harness/ledger-receiver.ts";
import { publishAll } from "../harness/publisher.ts";

/**
 * The production topology with real processes on one PostgreSQL: two of each service, three routers. Longer and worse
 * faults are the business of `npm run test:chaos`.
 */
const counts = { platform: 2, stream: 2, scheduler: 2, router: 3 };
/** Nine processes and other tests share the server's connections. */
const env = { FC_DATABASE_POOL_SIZE: "5" };
/** Goes on until it is told to stop: what is killed must be missed by something. */
const load = { type: "cluster.e", groups: 20, events: 1_000_000, batch: 10, connections: 2 };
const pauseMs = 40;
/** A lease of 10 s has to run out for each that is killed. */
const deadlineMs = 50_000;
const testTimeoutMs = 180_000;

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function setup(): Promise<{ cluster: Cluster; receiver: LedgerReceiver }> {
  const database = await openTestPostgres([]);
  closing.push(() => database.close());
  const receiver = startLedgerReceiver();
  closing.push(() => receiver.stop());
  const cluster = await startCluster({ databaseUrl: database.url, counts, env });
  closing.push(() => cluster.end());
  receiver.target("t");
  const subscription = { name: "t", eventTypes: [load.type], targetUrl: `${receiver.url}/t` };
  const { secret } = await subscribe(cluster.apiUrl(), subscription);
  receiver.target("t", { secret });
  return { cluster, receiver };
}

describeWithPostgres("two platforms, two streams, two schedulers, three routers", () => {
  const story = "one of each is killed and another told to stop under load: nothing lost, no order inverted";
  test(
    story,
    async () => {
      const { cluster, receiver } = await setup();
      const stop = new AbortController();
      const options = { apiUrl: () => cluster.apiUrl(), pauseMs: () => pauseMs, signal: stop.signal };
      const publishing = publishAll({ ...load, ...options });
      for (const name of ["stream-1", "scheduler-1", "platform-1", "router-1"]) {
        const before = receiver.delivered();
        await cluster.member(name).kill();
        await eventually("deliveries go on", () => (receiver.delivered() > before ? true : undefined), deadlineMs);
        await cluster.member(name).start();
      }
      const codes = await Promise.all(["platform-2", "router-2"].map((name) => cluster.member(name).stop()));
      expect(codes).toEqual([0, 0]);
      stop.abort();
      const accepted = await publishing;
      const complete = (): true | undefined => (receiver.delivered() >= accepted ? true : undefined);
      await eventually("all deliveries", complete, deadlineMs);
      expect(receiver.summary("t")).toMatchObject({ delivered: accepted, inverted: 0, badSignatures: 0 });
      expect(cluster.vanished()).toEqual([]);
    },
    testTimeoutMs,
  );
});
