import { afterEach, beforeEach, expect, test } from "bun:test";
import type { PoolCode, ReplayId } from "../../domain/ids.ts";
import { anchorScope } from "../../domain/scope.ts";
import {
  idsOf,
  JobScenario,
  poolA,
  profileFor,
  subscriptionA,
  subscriptionB,
} from "../../ports/job-scenario.fixture.ts";
import type { Replay } from "../../ports/job-store.ts";
import { clientA } from "../../ports/sample-entities.fixture.ts";
import { describeWithPostgres } from "../../postgres/test-database.fixture.ts";
import { adHoc } from "../../postgres/statement.ts";
import type { PostgresStore } from "./index.ts";
import { directoryLimits, JobDirectory } from "./job-directory.ts";
import { openTestJobs, type TestJobs } from "./job-store.fixture.ts";

/** What several processes do to the same jobs at the same time. */
describeWithPostgres("jobs of several processes on PostgreSQL", () => {
  let jobs: TestJobs;
  let scenario: JobScenario;
  let others: readonly PostgresStore[];
  beforeEach(async () => {
    scenario = await JobScenario.start(async () => {
      jobs = await openTestJobs();
      return jobs;
    });
    others = await Promise.all([1, 2, 3, 4].map(() => jobs.another()));
  });
  afterEach(() => jobs.close());
  const now = () => scenario.store.now();
  const times = (count: number): readonly number[] => Array.from({ length: count }, (_, n) => n);
  const other = (n: number): PostgresStore => others[n % others.length]!;

  test("of equal calls with an idempotency key one makes the job, the others answer with it", async () => {
    const calls = times(12).map((n) =>
      other(n).jobCommands.createTasks([scenario.newTask({ idempotencyKey: "k", clientId: clientA })]),
    );
    const made = (await Promise.all(calls)).flat();
    expect(made.filter(({ kind }) => kind === "created")).toHaveLength(1);
    expect(new Set(made.map(({ job }) => job.id)).size).toBe(1);
    expect((await scenario.claim()).runs).toHaveLength(1);
  });

  test("calls that bring the same keys in another order all end, and each key has one job", async () => {
    const keys = ["a", "b", "c", "d"];
    const calls = times(24).map((n) => {
      const order = n % 2 === 0 ? keys : keys.toReversed();
      return other(n).jobCommands.createTasks(order.map((key) => scenario.newTask({ idempotencyKey: key })));
    });
    const made = (await Promise.all(calls)).flat();
    expect(made.filter(({ kind }) => kind === "created")).toHaveLength(keys.length);
    expect(new Set(made.map(({ job }) => job.id)).size).toBe(keys.length);
  });

  test("a job that many retry at once is retried once", async () => {
    const [id] = await scenario.publish({ group: "g" });
    await scenario.queue();
    await scenario.fail(id!);
    await scenario.store.advance(1);
    await scenario.store.housekeeping.dropIdleGroups(now(), 10, scenario.epoch);
    const results = await Promise.all(
      times(12).map((n) => other(n).jobCommands.retry(id!, { replay: true, nowMs: now() }, anchorScope)),
    );
    expect(results.filter(({ kind }) => kind === "done")).toHaveLength(1);
    for (const result of results) {
      if (result.kind !== "done") expect(result).toEqual({ kind: "conflict", status: "PENDING" });
    }
    expect(await scenario.job(id!)).toMatchObject({ status: "PENDING", generation: 2, replayCount: 1 });
    expect(await scenario.store.jobs.stats(subscriptionA)).toMatchObject({ PENDING: 1, FAILED: 0 });
  });

  test("a cancellation and a result that meet leave one of them, counted once", async () => {
    const ids = await scenario.publish(...times(30).map((n) => ({ group: n % 3 === 0 ? null : `g${n % 5}` })));
    await scenario.queue();
    const reports = await Promise.all(
      ids.map((id) => scenario.newReport(id, { result: { kind: "delivered" }, attempt: {} })),
    );
    await Promise.all([
      ...reports.map((report, n) => other(n).attemptSink.record([report])),
      ...ids.map((id, n) => other(n + 1).jobCommands.cancel(id, now(), anchorScope)),
    ]);
    const statuses = await scenario.statuses(ids);
    const completed = statuses.filter((status) => status === "COMPLETED").length;
    expect(completed + statuses.filter((status) => status === "CANCELLED").length).toBe(ids.length);
    expect(await scenario.store.jobs.stats(subscriptionA)).toMatchObject({
      PENDING: 0,
      QUEUED: 0,
      COMPLETED: completed,
      CANCELLED: ids.length - completed,
    });
    const next = await scenario.publish(...times(5).map((n) => ({ group: `g${n}` })));
    expect(idsOf(await scenario.queue()).flat()).toEqual(expect.arrayContaining([...next]));
  });

  test("a replay that two advance retries each job once", async () => {
    const ids = await scenario.publish(...times(40).map((n) => ({ group: `g${n % 7}` })));
    await scenario.queue();
    for (const id of ids) await scenario.fail(id);
    const replay: Replay = {
      id: "rpl_1" as ReplayId,
      filter: { statuses: ["FAILED"] },
      total: ids.length,
      done: 0,
      status: "RUNNING",
      jobsPerSecond: 100,
      createdAtMs: now(),
      updatedAtMs: now(),
    };
    await scenario.store.replays.create(replay, anchorScope);
    await Promise.all(times(12).map((n) => other(n).replays.advance(replay.id, 5, now())));
    await scenario.store.replays.advance(replay.id, 5, now());
    expect(await scenario.store.replays.byId(replay.id, anchorScope)).toMatchObject({ done: 40, status: "COMPLETED" });
    const after = await Promise.all(ids.map((id) => scenario.job(id)));
    expect(after.map((job) => [job.status, job.replayCount])).toEqual(ids.map(() => ["PENDING", 1]));
  });

  test("a group that another process has dropped as idle is made again by who remembers it", async () => {
    const [first] = await scenario.publish({ group: "g" });
    await scenario.queue();
    await scenario.deliver(first!);
    await scenario.store.advance(1);
    expect(await other(0).housekeeping.dropIdleGroups(now(), 10, scenario.epoch)).toBe(1);
    const [second] = await scenario.publish({ group: "g" });
    expect(idsOf(await scenario.queue())).toEqual([[second!]]);
  });

  test("groups dropped as idle while jobs come to them lose none", async () => {
    const published: string[] = [];
    for (let round = 0; round < 10; round++) {
      const specs = times(10).map((n) => ({ group: `g${n}` }));
      const [ids] = await Promise.all([
        scenario.publish(...specs),
        ...times(3).map((n) => other(n).housekeeping.dropIdleGroups(now() + 1, 10, scenario.epoch)),
      ]);
      published.push(...ids);
      expect(
        idsOf(await scenario.queue())
          .flat()
          .toSorted(),
      ).toEqual([...ids].toSorted());
      for (const id of ids) await scenario.deliver(id);
    }
    expect(await scenario.store.jobs.stats(subscriptionA)).toMatchObject({ COMPLETED: published.length, PENDING: 0 });
  });

  test("a pause and a resume that arrive the other way round leave what the settings say", async () => {
    const subscription = scenario.samples.subscription();
    await scenario.store.subscriptions.create(subscription);
    const [id] = await scenario.publish({ profile: profileFor(subscription.id) });
    const paused = { ...subscription, status: "PAUSED" as const, version: 2 };
    await scenario.store.subscriptions.replace(paused, 1);
    await scenario.store.subscriptions.replace({ ...paused, status: "ACTIVE", version: 3 }, 2);
    await other(0).jobCommands.holdSubscription(subscription.id, false, now());
    await other(1).jobCommands.holdSubscription(subscription.id, true, now());
    expect(idsOf((await scenario.claim()).runs)).toEqual([[id!]]);
  });

  test("a profile that is used again while it is dropped stays", async () => {
    const profile = profileFor(subscriptionB);
    for (let round = 0; round < 5; round++) {
      const [id] = await scenario.publish({ profile });
      await scenario.queue();
      await scenario.deliver(id!);
      await scenario.store.advance(3 * 86_400_000);
      while ((await scenario.store.housekeeping.dropHistory(now(), 10, scenario.epoch)) > 0);
      const [again] = await Promise.all([
        scenario.publish({ profile }),
        ...times(3).map((n) => other(n).housekeeping.dropUnusedProfiles(10, scenario.epoch)),
      ]);
      expect((await scenario.job(again[0]!)).profile).toEqual(profile);
      await scenario.queue();
      await scenario.deliver(again[0]!);
    }
  });

  test("a claim is marked though the process has forgotten meanwhile what it knew", async () => {
    const [idle] = await scenario.publish({ group: "idle" });
    await scenario.queue();
    await scenario.deliver(idle!);
    const ids = await scenario.publish({ group: "g" }, { group: "g" });
    const { runs } = await scenario.claim();
    await scenario.store.advance(1);
    expect(await scenario.store.housekeeping.dropIdleGroups(now(), 10, scenario.epoch)).toBe(1);
    await scenario.mark(runs);
    expect(await scenario.statuses(ids)).toEqual(["QUEUED", "QUEUED"]);
  });

  test("a pass over more profiles than are remembered gives their jobs", async () => {
    const tasks = times(directoryLimits.profilesCached + 100).map((n) => {
      const profile = profileFor(null, { targetUrl: `https://example.com/${n}` });
      return scenario.newTask({ profile, messageGroup: `g${n % 70}` });
    });
    await scenario.store.jobCommands.createTasks(tasks);
    await scenario.store.restart();
    expect(idsOf(await scenario.queue()).flat()).toHaveLength(500);
  });

  test("a job that is cancelled before its run is told to be unpublishable stays cancelled", async () => {
    const [cancelled, failed] = await scenario.publish({ group: "g" }, { group: "h" });
    const { runs } = await scenario.claim();
    await other(0).jobCommands.cancel(cancelled!, now(), anchorScope);
    const unpublishable = runs.map((run) => ({ run, code: "TOO_LARGE" }));
    await scenario.store.jobClaims.markUnpublishable(unpublishable, now(), scenario.epoch);
    expect(await scenario.statuses([cancelled!, failed!])).toEqual(["CANCELLED", "FAILED"]);
  });

  test("a task that is made again in the group of another lane is counted once, whatever becomes of it", async () => {
    const laneB = "LANE-B" as PoolCode;
    const task = scenario.newTask({ messageGroup: "g" });
    await scenario.store.jobCommands.createTasks([task]);
    await scenario.queue();
    await scenario.fail(task.id);
    await scenario.store.advance(1);
    await scenario.store.housekeeping.dropIdleGroups(now(), 10, scenario.epoch);
    const next = scenario.newTask({ messageGroup: "g", profile: profileFor(null, { poolCode: laneB }) });
    await scenario.store.jobCommands.createTasks([next]);
    await scenario.store.jobCommands.cancel(task.id, now(), anchorScope);
    const counted = await jobs.test.database.query(
      adHoc<object>("SELECT lane, pending, failed, cancelled FROM job_feeds ORDER BY lane"),
      [],
    );
    expect(counted).toEqual([
      { lane: laneB, pending: 1, failed: 0, cancelled: 0 },
      { lane: poolA, pending: 0, failed: 0, cancelled: 1 },
    ]);
  });

  test("a profile that another transaction of the process makes, and undoes, is not taken for one", async () => {
    const directory = new JobDirectory();
    const profile = profileFor(subscriptionA);
    const profiles = new Map([[profile.key, profile]]);
    const { database } = jobs.test;
    let second = Promise.resolve<ReadonlyMap<string, number>>(new Map());
    const undone = database.transaction(async (session) => {
      await directory.profileIds(session, profiles, now());
      second = database.transaction((other) => directory.profileIds(other, profiles, now()));
      throw new Error("undone");
    });
    expect(await undone.catch(String)).toContain("undone");
    const ids = [...(await second).values()];
    const stored = await database.query(adHoc<{ id: number }>("SELECT id FROM delivery_profiles"), []);
    expect(ids).toEqual(stored.map((row) => row.id));
  });
});
