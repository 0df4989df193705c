import { afterEach, beforeEach, expect, test } from "bun:test";
import { adHoc } from "../../packages/server/src/postgres/statement.ts";
import {
  describeWithPostgres,
  openTestPostgres,
  type TestPostgres,
} from "../../packages/server/src/postgres/test-database.fixture.ts";
import { callApi, subscribe } from "../harness/api.ts";
import {
  serviceKinds,
  sharedEnv,
  startCluster,
  type Cluster,
  type ClusterMember,
  type ServiceKind,
} from "../harness/cluster.ts";
import { eventually } from "../harness/eventually.ts";
import { createSandbox, type Sandbox } from "../harness/sandbox.ts";
import { verified, type TestReceiver } from "../harness/test-receiver.ts";

/**
 * The services as processes of their own on one PostgreSQL: an event goes through all four; each says how it is; a stop
 * gives back what was leased; a second instance takes over; a start that cannot succeed says why in one line.
 */

/** Enough for a takeover: a lease of 10 s runs out, and the next poll finds it free. */
const takeoverWithinMs = 20_000;
const startTimeoutMs = 60_000;

interface HealthCheck {
  readonly name: string;
  readonly status: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

async function readiness(member: ClusterMember): Promise<{ status: string; checks: readonly HealthCheck[] }> {
  return (await (await fetch(`${member.metricsUrl}/q/ready`)).json()) as never;
}

/** `active` or `standby`, as the member tells at /q/ready. */
async function roleOf(member: ClusterMember, lease: string): Promise<unknown> {
  const { checks } = await readiness(member);
  return checks.find(({ name }) => name === `lease-${lease}`)?.data?.["role"];
}

describeWithPostgres("services of their own", () => {
  let sandbox: Sandbox;
  let postgres: TestPostgres;
  let receiver: TestReceiver;
  beforeEach(async () => {
    sandbox = createSandbox();
    receiver = sandbox.receiver();
    // Empty: who starts here has to migrate it.
    postgres = await openTestPostgres([]);
    sandbox.defer(() => postgres.close());
  });
  afterEach(() => sandbox.end());

  async function cluster(counts: Partial<Record<ServiceKind, number>>): Promise<Cluster> {
    const all = { platform: 1, stream: 1, scheduler: 1, router: 1, ...counts };
    const started = await startCluster({ databaseUrl: postgres.url, counts: all });
    sandbox.defer(() => started.end());
    return started;
  }

  const publish = (running: Cluster, type: string, group: string): Promise<unknown> =>
    callApi(running.apiUrl(), {
      method: "POST",
      path: "/api/events",
      body: { type, source: "/test", messageGroup: group, data: { type } },
    });

  test(
    "an event goes through four processes, which tell how they are and give everything back at the stop",
    async () => {
      const running = await cluster({});
      const { secret } = await subscribe(running.apiUrl(), {
        name: "all",
        eventTypes: ["order.*"],
        targetUrl: `${receiver.url}/orders`,
      });
      await publish(running, "order.created", "1");
      const [arrival] = await receiver.received("/orders", 1);
      expect(verified(arrival!, secret)).toEqual({ type: "order.created" });
      for (const member of running.members) {
        for (const path of ["/q/live", "/q/ready", "/q/health", "/health"]) {
          const answer = await fetch(member.metricsUrl + path);
          expect([member.name, path, answer.status]).toEqual([member.name, path, 200]);
        }
        const metrics = await (await fetch(`${member.metricsUrl}/metrics`)).text();
        expect(metrics).toContain('fc_health_check_up{check="database"} 1');
      }
      for (const url of [running.member("platform-1").apiUrl, running.member("router-1").routerUrl]) {
        expect(((await (await fetch(`${url}/openapi.json`)).json()) as { openapi: string }).openapi).toStartWith("3.1");
        expect((await fetch(`${url}/swagger-ui`)).status).toBe(200);
      }
      for (const [name, lease] of [
        ["stream-1", "stream"],
        ["scheduler-1", "scheduler"],
        ["scheduler-1", "replay"],
        ["scheduler-1", "maintenance"],
      ] as const) {
        expect([lease, await roleOf(running.member(name), lease)]).toEqual([lease, "active"]);
      }
      for (const kind of serviceKinds.toReversed())
        expect([kind, await running.member(`${kind}-1`).stop()]).toEqual([kind, 0]);
      const held = adHoc<{ held: number }, []>(`
        SELECT (SELECT count(*) FROM leases WHERE holder IS NOT NULL)
          + (SELECT count(*) FROM node_numbers WHERE holder IS NOT NULL) AS held`);
      expect(await postgres.database.one(held, [])).toEqual({ held: 0 });
      expect(running.vanished()).toEqual([]);
    },
    startTimeoutMs,
  );

  test(
    "a second stream and a second scheduler stand by, and take over when the first is killed",
    async () => {
      const running = await cluster({ stream: 2, scheduler: 2 });
      await subscribe(running.apiUrl(), { name: "all", eventTypes: ["t.*"], targetUrl: `${receiver.url}/t` });
      await publish(running, "t.first", "g");
      await receiver.received("/t", 1);
      for (const kind of ["stream", "scheduler"] as const) {
        const members = running.of(kind);
        const roles = await Promise.all(members.map((member) => roleOf(member, kind)));
        expect(roles.map(String).toSorted()).toEqual(["active", "standby"]);
        expect(await Promise.all(members.map(async (member) => (await readiness(member)).status))).toEqual([
          "UP",
          "UP",
        ]);
        await members[roles.indexOf("active")]?.kill();
      }
      await publish(running, "t.second", "g");
      await eventually(
        "the second delivery",
        () => (receiver.arrivals("/t").length >= 2 ? true : undefined),
        takeoverWithinMs,
      );
      expect(running.vanished()).toEqual([]);
    },
    startTimeoutMs + takeoverWithinMs,
  );

  test(
    "a service refuses a database that is not migrated, unless it is told to do that itself",
    async () => {
      const env = sharedEnv(postgres.url);
      const refused = await sandbox.run({ args: ["stream"], env });
      expect(refused).toMatchObject({ exitCode: 1, stdout: "" });
      expect(refused.stderr.trim().split("\n")).toHaveLength(1);
      expect(refused.stderr).toContain("lacks migration 1 of store (settings). Run `flowcatalyst migrate`");
      const platform = await sandbox.start({ args: ["platform", "--migrate", "--json"], env });
      const document: unknown = JSON.parse(platform.output().split("\n")[0] ?? "");
      expect(document).toMatchObject({ kind: "started", service: "platform", addresses: { api: platform.apiUrl } });
      const scheduler = await sandbox.start({ args: ["scheduler"], env });
      expect([await scheduler.stop(), await platform.stop()]).toEqual([0, 0]);
    },
    startTimeoutMs,
  );

  test(
    "a service with another application key than the others is refused",
    async () => {
      const env = sharedEnv(postgres.url);
      const platform = await sandbox.start({ args: ["platform", "--migrate"], env });
      const router = await sandbox.run({ args: ["router", "--migrate"], env: sharedEnv(postgres.url) });
      expect(router).toMatchObject({ exitCode: 1, stdout: "" });
      expect(router.stderr).toContain("FC_APP_KEY is not the key that the secrets in");
      const { FC_APP_KEY: _, ...keyless } = env;
      const without = await sandbox.run({ args: ["router"], env: keyless });
      expect(without.stderr).toContain("openssl rand -base64 32");
      expect(await platform.stop()).toBe(0);
    },
    startTimeoutMs,
  );

  test(
    "flowcatalyst dev runs the whole pipeline on PostgreSQL as well, and migrates by itself",
    async () => {
      const server = await sandbox.start({ env: { FC_DATABASE_URL: postgres.url } });
      const { secret } = await subscribe(server.apiUrl, {
        name: "all",
        eventTypes: ["t.*"],
        targetUrl: `${receiver.url}/t`,
      });
      await callApi(server.apiUrl, {
        method: "POST",
        path: "/api/events",
        body: { type: "t.e", source: "/t", data: 1 },
      });
      const [arrival] = await receiver.received("/t", 1);
      expect(verified(arrival!, secret)).toBe(1);
      expect(await server.stop()).toBe(0);
    },
    startTimeoutMs,
  );

  test(
    "a queue in a database of its own carries whole deliveries",
    async () => {
      const queue = await openTestPostgres([]);
      sandbox.defer(() => queue.close());
      const env = { FC_QUEUE_URL: queue.url };
      const running = await startCluster({
        databaseUrl: postgres.url,
        counts: { platform: 1, stream: 1, scheduler: 1, router: 2 },
        env,
      });
      sandbox.defer(() => running.end());
      await subscribe(running.apiUrl(), { name: "all", eventTypes: ["t.*"], targetUrl: `${receiver.url}/t` });
      for (let n = 0; n < 20; n++) await publish(running, "t.e", `g${n % 3}`);
      expect(await receiver.received("/t", 20)).toHaveLength(20);
    },
    startTimeoutMs,
  );
});
