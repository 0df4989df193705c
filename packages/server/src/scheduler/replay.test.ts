import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { CodedError } from "@flowcatalyst/foundation";
import fc from "fast-check";
import type { ReplayId } from "../domain/ids.ts";
import { anchorScope } from "../domain/scope.ts";
import type { Replay } from "../ports/job-store.ts";
import { createReplayRunner, replayDefaults, type ReplayRunner, type ReplayRunnerDeps } from "./replay.ts";
import { openSchedulerBench, type SchedulerBench } from "./scheduler.fixture.ts";

let bench: SchedulerBench;
beforeEach(() => {
  bench = openSchedulerBench();
});
afterEach(() => bench.close());

const id = "rpl_0000000000001" as ReplayId;

function runner(holder = "process-1", replays: ReplayRunnerDeps["replays"] = bench.replays): ReplayRunner {
  return createReplayRunner({ ...bench.deps, replays }, { ...replayDefaults, holder });
}

/** So many jobs that have failed for good, and a replay of them. */
async function setup(jobs: number, jobsPerSecond: number): Promise<void> {
  const subscription = await bench.subscribe();
  const ids = await bench.addJobs({ subscription, groups: Array.from({ length: jobs }, () => null) });
  await bench.scheduler().pass();
  const result = { kind: "permanent", error: "REJECTED", pauseSubscription: null } as const;
  await bench.sink.record(ids.map((jobId) => ({ jobId, generation: 1, attempt: null, result })));
  await bench.purgeQueue();
  const nowMs = bench.clock.now();
  const replay: Replay = {
    id,
    filter: { statuses: ["FAILED"] },
    total: jobs,
    done: 0,
    status: "RUNNING",
    jobsPerSecond,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
  };
  await bench.replays.create(replay, anchorScope);
}

function replayed(): number {
  return bench.jobs().filter(({ generation }) => generation === 2).length;
}

async function steps(replays: ReplayRunner, count: number): Promise<number> {
  let jobs = 0;
  for (let step = 0; step < count; step++) {
    jobs += (await replays.pass()).jobs;
    await bench.clock.advance(replayDefaults.stepIntervalMs);
  }
  return jobs;
}

describe("pace", () => {
  test("is what the operator chose", async () => {
    await setup(30, 10);
    const replays = runner();
    expect(await steps(replays, 10)).toBe(10);
    expect(await steps(replays, 10)).toBe(10);
    expect(await steps(replays, 20)).toBe(10);
    expect(replayed()).toBe(30);
    expect((await bench.replays.byId(id, anchorScope))?.status).toBe("COMPLETED");
    expect(await replays.pass()).toEqual({ running: 0, jobs: 0 });
  });

  test("a pause saves up one second's worth at most", async () => {
    await setup(100, 10);
    const replays = runner();
    await replays.pass();
    await bench.clock.advance(60_000);
    expect((await replays.pass()).jobs).toBe(10);
  });
});

test("a restarted runner goes on where the last step ended, and replays no job twice", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 8 }), async (lives) => {
      await bench.close();
      bench = openSchedulerBench();
      await setup(25, 40);
      for (const [life, passes] of lives.entries()) {
        await steps(runner(`life-${life}`), passes);
        await bench.deps.leases.release("replay", `life-${life}`);
      }
      await steps(runner("last"), 30);
      expect(bench.jobs().map(({ status, generation }) => `${status} ${generation}`)).toEqual(
        Array.from({ length: 25 }, () => "PENDING 2"),
      );
      expect(await bench.replays.byId(id, anchorScope)).toMatchObject({ done: 25, status: "COMPLETED" });
    }),
    { numRuns: 15 },
  );
});

test("a cancelled replay stops at the next step", async () => {
  await setup(30, 10);
  const replays = runner();
  await steps(replays, 5);
  await bench.replays.cancel(id, bench.clock.now());
  expect(await steps(replays, 10)).toBe(0);
  expect(replayed()).toBe(5);
});

test("one instance is active", async () => {
  await setup(30, 10);
  await runner("a").pass();
  expect(await runner("b").pass()).toEqual({ running: 0, jobs: 0 });
});

test("runs until told to stop, through a failing store", async () => {
  await setup(10, 10);
  let down = true;
  const replays: ReplayRunnerDeps["replays"] = {
    running: () => bench.replays.running(),
    advance: (replayId, maxJobs, nowMs) =>
      down ? Promise.reject(new CodedError("STORE_FULL")) : bench.replays.advance(replayId, maxJobs, nowMs),
  };
  const stop = new AbortController();
  const running = runner("process-1", replays).run(stop.signal);
  await bench.clock.advance(5_000);
  expect(replayed()).toBe(0);
  down = false;
  // A step gives way to others between its slices, in real turns of the event loop.
  for (let step = 0; step < 100 && replayed() < 10; step++) await bench.clock.advance(100);
  expect(replayed()).toBe(10);
  stop.abort();
  await running;
  expect(await runner("successor").pass()).toEqual({ running: 0, jobs: 0 });
});
