import { afterEach, beforeEach, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { describeWith } from "../../packages/server/src/ports/needs-services.fixture.ts";
import { openTestPostgres, type TestPostgres } from "../../packages/server/src/postgres/test-database.fixture.ts";
import { callApi, subscribe } from "../harness/api.ts";
import { startCluster, type Cluster } from "../harness/cluster.ts";
import { eventually } from "../harness/eventually.ts";
import { createSandbox, type Sandbox } from "../harness/sandbox.ts";

/**
 * The services as processes of their own with their queue on a broker: jobs travel as whole deliveries, routers have
 * the database or only the platform, and are told of the queue by the platform, without user and password.
 */
const startTimeoutMs = 90_000;
const events = 40;

describeWith(["postgres", "nats"], "services with their queue on NATS", () => {
  let sandbox: Sandbox;
  let postgres: TestPostgres;
  const queueUrl = `${process.env["FC_TEST_NATS_URL"] ?? ""}/services-${randomBytes(4).toString("hex")}`;
  beforeEach(async () => {
    sandbox = createSandbox();
    postgres = await openTestPostgres([]);
    sandbox.defer(() => postgres.close());
  });
  afterEach(() => sandbox.end());

  async function deliversAll(cluster: Cluster): Promise<void> {
    sandbox.defer(() => cluster.end());
    const receiver = sandbox.receiver();
    await subscribe(cluster.apiUrl(), { name: "all", eventTypes: ["order.*"], targetUrl: `${receiver.url}/all` });
    const batch = Array.from({ length: events }, (_, n) => {
      return { type: "order.created", source: "test", messageGroup: `g${n % 4}`, data: { n } };
    });
    await callApi(cluster.apiUrl(), { method: "POST", path: "/api/events/batch", body: { events: batch } });
    await eventually("all deliveries to be recorded", async () => {
      const path = "/api/bff/dispatch-jobs?status=COMPLETED";
      const page = await callApi<{ totalItems: number }>(cluster.apiUrl(), { method: "GET", path });
      return page.totalItems === events || undefined;
    });
    expect(cluster.vanished()).toEqual([]);
  }

  const counts = { platform: 1, stream: 1, scheduler: 1, router: 2 };

  test(
    "deliver with routers that have the database",
    async () => {
      await deliversAll(await startCluster({ databaseUrl: postgres.url, counts, env: { FC_QUEUE_URL: queueUrl } }));
    },
    startTimeoutMs,
  );

  test(
    "deliver with routers that know nothing but the platform, which tells them of the queue",
    async () => {
      const env = { FC_QUEUE_URL: queueUrl };
      const plan = { databaseUrl: postgres.url, counts: { ...counts, router: 0 }, env, routersWithoutDatabase: true };
      const cluster = await startCluster(plan);
      const router = await sandbox.start({
        args: ["router", "--config-url", `${cluster.apiUrl()}/api/config/router`],
        env: { FC_API_BASE_URL: cluster.apiUrl(), FC_ALLOWED_TARGET_CIDRS: "127.0.0.0/8" },
      });
      await deliversAll(cluster);
      expect(await router.stop()).toBe(0);
    },
    startTimeoutMs,
  );
});
