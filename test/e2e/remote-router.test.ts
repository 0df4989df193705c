import { afterEach, expect, test } from "bun:test";
import { describeWithPostgres, openTestPostgres } from "../../packages/server/src/postgres/test-database.fixture.ts";
import { callApi, subscribe } from "../harness/api.ts";
import { startCluster } from "../harness/cluster.ts";
import { eventually } from "../harness/eventually.ts";
import { startLedgerReceiver } from "../harness/ledger-receiver.ts";
import { pass } from "../harness/pass.ts";
import { publishAll } from "../harness/publisher.ts";

/**
 * Routers that know a queue and the platform's API, and no database, as processes of their own. A platform that is away
 * for a minute and a half is the business of `npm run test:chaos`.
 */
const load = { type: "remote.e", groups: 20, events: 2_000, batch: 20, connections: 4 };
const awayMs = 4_000;
const deadlineMs = 50_000;

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

interface CheckedHealth {
  readonly checks: readonly { readonly name: string; readonly status: string }[];
}

describeWithPostgres("two routers without a database", () => {
  test("the platform is killed under load and comes back: nothing lost, no order inverted", async () => {
    const database = await openTestPostgres([]);
    closing.push(() => database.close());
    const receiver = startLedgerReceiver();
    closing.push(() => receiver.stop());
    // The queue is a database for itself, as far as anybody knows: its messages carry whole deliveries.
    const queue = { FC_QUEUE_URL: database.url };
    const cluster = await startCluster({
      databaseUrl: database.url,
      counts: { platform: 1, stream: 1, scheduler: 1, router: 2 },
      env: { FC_DATABASE_POOL_SIZE: "5" },
      envOf: { platform: queue, scheduler: queue },
      routersWithoutDatabase: true,
    });
    closing.push(() => cluster.end());
    receiver.target("t", { delayMs: 2 });
    const subscription = { name: "t", eventTypes: [load.type], targetUrl: `${receiver.url}/t` };
    const { secret } = await subscribe(cluster.apiUrl(), subscription);
    receiver.target("t", { secret, delayMs: 2 });
    await publishAll({ ...load, apiUrl: () => cluster.apiUrl() });
    await eventually("a part of them", () => receiver.delivered() > 200 || undefined, deadlineMs);

    const [platform] = cluster.of("platform");
    await platform!.kill();
    await pass(awayMs);
    const meanwhile = receiver.delivered();
    await pass(500);
    expect(receiver.delivered()).toBe(meanwhile);
    expect(meanwhile).toBeLessThan(load.events);
    for (const router of cluster.of("router")) {
      const answer = await fetch(`${router.metricsUrl}/q/ready`);
      expect(answer.status).toBe(503);
      const { checks } = (await answer.json()) as CheckedHealth;
      expect(checks).toContainEqual(expect.objectContaining({ name: "platform", status: "DOWN" }));
    }
    await platform!.start();

    await eventually("all deliveries", () => receiver.delivered() === load.events || undefined, deadlineMs);
    expect(receiver.summary("t")).toMatchObject({ delivered: load.events, inverted: 0, badSignatures: 0 });
    await eventually("all jobs to be final", async () => {
      const path = `/api/bff/dispatch-jobs?status=COMPLETED&size=1`;
      const { totalItems } = await callApi<{ totalItems: number }>(cluster.apiUrl(), { method: "GET", path });
      return totalItems === load.events || undefined;
    });
    expect(cluster.vanished()).toEqual([]);
  }, 120_000);
});
