import { afterEach, beforeEach, expect, test } from "bun:test";
import { openRemotePipeline, type Arrival, type RemotePipeline } from "./remote-pipeline.fixture.ts";
import { unsettledOf } from "../ports/queue.ts";

let pipeline: RemotePipeline;
beforeEach(async () => {
  pipeline = await openRemotePipeline();
});
afterEach(() => pipeline.close());

/** Places of each group in the order in which they came for the first time. */
function firstArrivals(arrivals: readonly Arrival[]): Map<number, number[]> {
  const groups = new Map<number, number[]>();
  for (const { group, place } of arrivals) {
    const places = groups.get(group) ?? [];
    if (!places.includes(place)) places.push(place);
    groups.set(group, places);
  }
  return groups;
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n + 1);
const delivered = (): number => [...firstArrivals(pipeline.arrivals).values()].flat().length;

async function ledgerCloses(groups: number, eventsPerGroup: number): Promise<void> {
  await pipeline.until("all events at the target", () => delivered() === groups * eventsPerGroup);
  await pipeline.until("all jobs to be final", async () => {
    const page = await pipeline.call("GET /api/bff/dispatch-jobs?status=COMPLETED");
    return page["totalItems"] === groups * eventsPerGroup;
  });
  await pipeline.until("an empty queue", async () => {
    return unsettledOf(await pipeline.queue.metrics()) === 0;
  });
  expect((await pipeline.queue.metrics()).dead).toBe(0);
  for (const places of firstArrivals(pipeline.arrivals).values()) expect(places).toEqual(upTo(eventsPerGroup));
}

test("a router without a database delivers, signs, records, and is told of pools and pauses", async () => {
  const router = await pipeline.startRouter();
  await pipeline.publish(20, 10);
  await ledgerCloses(20, 10);
  expect(pipeline.arrivals.every(({ isSigned }) => isSigned)).toBe(true);
  expect(pipeline.arrivals).toHaveLength(200);
  await pipeline.call("POST /api/dispatch-pools", { code: "SLOW", concurrency: 2 });
  await pipeline.until("the pool", async () => JSON.stringify(await router.get("/monitoring/pools")).includes("SLOW"));
  expect((await router.context.health.ready()).checks).toContainEqual({ name: "platform", status: "UP" });
});

test("while the platform is away nothing is acked and soon nothing starts; then the ledger closes", async () => {
  const router = await pipeline.startRouter();
  // Some fail at first, so that their retries are decided by a platform that is away.
  const failed = new Set<string>();
  pipeline.answer = ({ place, jobId }) => {
    if (place % 7 !== 3 || failed.has(jobId)) return 200;
    failed.add(jobId);
    return 500;
  };
  await pipeline.publish(40, 25);
  await pipeline.until("a part of them", () => pipeline.arrivals.length >= 200);
  await pipeline.takePlatformAway();
  // Answers that were on their way when the port closed are still acted on.
  await pipeline.pass(500);
  const ackedBefore = pipeline.acks.count;
  await pipeline.pass(2_500);
  const startedBefore = pipeline.arrivals.length;
  await pipeline.pass(2_000);
  expect(pipeline.acks.count).toBe(ackedBefore);
  expect(pipeline.arrivals.length).toBe(startedBefore);
  const { checks, status } = await router.context.health.ready();
  expect(status).toBe("DOWN");
  expect(checks.find(({ name }) => name === "platform")?.status).toBe("DOWN");
  const health = await router.get("/api/router/health");
  expect(health["status"]).toBe("DOWN");
  pipeline.bringPlatformBack();
  await ledgerCloses(40, 25);
  expect((await router.context.health.ready()).status).toBe("UP");
}, 40_000);

test("what a router could not record comes to the next one, which asks before it calls", async () => {
  const first = await pipeline.startRouter();
  await pipeline.publish(30, 20);
  await pipeline.until("a part of them", () => pipeline.arrivals.length >= 100);
  await pipeline.takePlatformAway();
  await pipeline.pass(100);
  await first.stop();
  pipeline.bringPlatformBack();
  expect((await pipeline.queue.metrics()).inFlight).toBeGreaterThan(0);
  await pipeline.startRouter();
  await ledgerCloses(30, 20);
  expect(pipeline.apiCalls.get("/api/dispatch/check")).toBeGreaterThan(0);
}, 40_000);

test("a router whose token is refused says which setting it is, and keeps trying", async () => {
  const starting = pipeline.startRouter("another token");
  await pipeline.pass(300);
  expect(pipeline.arrivals).toHaveLength(0);
  const router = await starting;
  const health = await router.context.health.ready();
  expect(JSON.stringify(health.checks)).toContain("FC_API_TOKEN");
});
