import { callApi } from "../harness/api.ts";
import { withClient } from "../harness/postgres-server.ts";
import type { ChaosWorld } from "./chaos-world.ts";

/**
 * Retention in the production topology: what is old goes, what is still to be delivered stays.
 *
 * Events are delivered, then all subscriptions are paused, so that the next ones are kept waiting. The database's
 * clock, which every process goes by, is then put forward by months, and the processes are restarted. What was final
 * has to go with its events and attempts; what waits must be delivered when the subscriptions go on.
 */
const forwardDays = 150;
const msPerDay = 86_400_000;
const goneWithinMs = 120_000;
const lookEveryMs = 200;
const waitingMs = 2_000;

export async function retention(world: ChaosWorld): Promise<void> {
  world.receiver.ignoreTime();
  await setPaused(world, true);
  await untilCount(world, "SELECT count(*) FROM open_jobs WHERE status = 1", (count) => count === 0);
  await Bun.sleep(waitingMs);
  const old = await count(world, finalOnes);
  const waiting = await count(world, "SELECT count(*) FROM open_jobs");
  if (old === 0 || waiting === 0) throw new Error(`${old} final and ${waiting} waiting jobs prove nothing`);
  await putClockForward(world);
  for (const member of world.cluster.members) {
    await member.stop();
    await member.start();
  }
  await untilCount(world, finalOnes, (left) => left === 0);
  await untilCount(world, deliveredEvents, (left) => left === 0);
  await untilCount(world, finalAttempts, (left) => left === 0);
  const orphans = await count(world, orphanJobs);
  if (orphans > 0) throw new Error(`${orphans} waiting jobs have lost their event`);
  const kept = await count(world, "SELECT count(*) FROM open_jobs");
  if (kept < waiting) throw new Error(`${waiting} jobs waited, ${kept} are left`);
  await setPaused(world, false);
}

const finalOnes = "SELECT count(*) FROM jobs";
const orphanJobs = `SELECT count(*) FROM open_jobs o
  WHERE o.event_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM events e WHERE e.id = o.event_id)`;
const finalAttempts = `SELECT count(*) FROM attempts a
  WHERE NOT EXISTS (SELECT 1 FROM open_jobs o WHERE o.id = a.job_id)`;
/** The stream may not have come to the newest ones yet. */
const deliveredEvents = `SELECT count(*) FROM events e
  WHERE NOT EXISTS (SELECT 1 FROM open_jobs o WHERE o.event_id = e.id)
    AND e.position <= (SELECT position FROM stream_checkpoint)`;

async function setPaused(world: ChaosWorld, paused: boolean): Promise<void> {
  const list = { method: "GET", path: "/api/subscriptions?limit=100" };
  const { items } = await callApi<{ items: readonly { id: string }[] }>(world.cluster.apiUrl(), list);
  const action = paused ? "pause" : "resume";
  for (const { id } of items) {
    await callApi(world.cluster.apiUrl(), { method: "POST", path: `/api/subscriptions/${id}/${action}` });
  }
}

async function putClockForward({ databaseUrl }: ChaosWorld): Promise<void> {
  await withClient(databaseUrl, (client) =>
    client.query(`CREATE OR REPLACE FUNCTION flowcatalyst_now_ms() RETURNS bigint LANGUAGE sql VOLATILE
      AS 'SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + ${forwardDays * msPerDay}'`),
  );
}

async function count({ databaseUrl }: ChaosWorld, sql: string): Promise<number> {
  return withClient(databaseUrl, async (client) => {
    const { rows } = await client.query<{ count: string }>(sql);
    return Number(rows[0]?.count ?? 0);
  });
}

async function untilCount(world: ChaosWorld, sql: string, isRight: (count: number) => boolean): Promise<void> {
  const until = performance.now() + goneWithinMs;
  for (;;) {
    const found = await count(world, sql);
    if (isRight(found)) return;
    if (performance.now() > until) throw new Error(`after two minutes still ${found}: ${sql}`);
    await Bun.sleep(lookEveryMs);
  }
}
