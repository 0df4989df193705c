import { afterEach, beforeEach, expect, test } from "bun:test";
import { createTsidGenerator, isCodedError } from "@flowcatalyst/foundation";
import { createIdSource, type EventId, type IdSource, type JobId } from "../../domain/ids.ts";
import { anchorScope } from "../../domain/scope.ts";
import {
  idsOf,
  JobScenario,
  profileFor,
  subscriptionA,
  subscriptionB,
  type JobSpec,
} from "../../ports/job-scenario.fixture.ts";
import { adHoc } from "../../postgres/statement.ts";
import { describeWithPostgres } from "../../postgres/test-database.fixture.ts";
import { listPartitions } from "./history-partitions.ts";
import { openTestJobs, type TestJobs } from "./job-store.fixture.ts";

const dayMs = 86_400_000;
const firstPage = { limit: 100, cursor: null } as const;
const january20Ms = Date.UTC(2026, 0, 20);
const february10Ms = Date.UTC(2026, 1, 10);

/** Retention by months. The suite of the port covers what lies in DEFAULT: there ids are of another time. */
describeWithPostgres("history by months on PostgreSQL", () => {
  let jobs: TestJobs;
  let scenario: JobScenario;
  let newIds: IdSource;
  beforeEach(async () => {
    scenario = await JobScenario.start(async () => {
      jobs = await openTestJobs();
      return jobs;
    });
    newIds = createIdSource(createTsidGenerator({ clock: { now: () => jobs.now() }, node: 1 }).next);
    await scenario.store.housekeeping.prepareHistory(jobs.now(), scenario.epoch);
  });
  afterEach(() => jobs.close());

  const block = profileFor(subscriptionB, { mode: "BLOCK_ON_ERROR" });
  const moveTo = async (timeMs: number): Promise<void> => {
    await scenario.store.advance(timeMs - jobs.now());
    await scenario.store.housekeeping.prepareHistory(timeMs, scenario.epoch);
  };
  const append = async (...specs: readonly JobSpec[]) => {
    const events = specs.map((spec) =>
      scenario.samples.event({ id: newIds.event(), messageGroup: spec.group ?? null, createdAtMs: jobs.now() }),
    );
    return (await scenario.store.events.append(events)).map(({ event }) => event);
  };
  /** Events and their jobs, with ids of the present time. */
  const publish = async (...specs: readonly JobSpec[]): Promise<readonly Published[]> => {
    const events = await append(...specs);
    const made = events.map((event, index) => ({ ...scenario.jobOf(event, specs[index] ?? {}), id: newIds.job() }));
    expect(await scenario.append(made)).toBe(true);
    return made.map((job) => ({ id: job.id, eventId: job.eventId }));
  };
  const drop = (beforeMs: number): Promise<number> =>
    scenario.store.housekeeping.dropHistory(beforeMs, 100, scenario.epoch);
  const dropAll = async (beforeMs: number): Promise<number> => {
    let total = 0;
    for (let removed = await drop(beforeMs); removed > 0; removed = await drop(beforeMs)) total += removed;
    return total;
  };
  const months = async (table: string): Promise<readonly string[]> =>
    (await listPartitions(jobs.test.database))
      .filter((partition) => partition.table === table)
      .map(({ name }) => name.slice(table.length + 1));
  const rowsOf = async (table: string): Promise<number> =>
    (await jobs.test.database.one(adHoc<{ n: number }>(`SELECT count(*) AS n FROM ${table}`), []))?.n ?? 0;
  const jobExists = async ({ id }: Published) => (await scenario.store.jobs.byId(id, anchorScope)) !== null;
  const eventExists = async (id: EventId) => (await scenario.store.eventReader.byId(id, anchorScope)) !== null;
  const attemptsOf = async (id: JobId) => (await scenario.store.jobs.attempts(id, firstPage, anchorScope)).items.length;

  test("a month goes whole when all of it is old, with attempts, tasks and events; a younger one stays", async () => {
    const old = await publish(...Array.from({ length: 8 }, () => ({})));
    const task = { ...scenario.newTask({ idempotencyKey: "k" }), id: newIds.job() };
    await scenario.store.jobCommands.createTasks([task]);
    await scenario.queue();
    for (const { id } of [...old, task]) await scenario.deliver(id);
    await moveTo(february10Ms);
    const [younger] = await publish({});
    await scenario.queue();
    await scenario.deliver(younger!.id);
    await moveTo(Date.UTC(2026, 4, 1));
    // Part of January is older than this, but not all of it.
    expect(await dropAll(january20Ms)).toBe(0);
    expect(await rowsOf("jobs")).toBe(10);
    expect(await dropAll(february10Ms + dayMs)).toBeGreaterThanOrEqual(9);
    for (const table of ["jobs", "job_tasks", "attempts", "events"]) {
      expect((await months(table))[0]).toBe("2026_02");
    }
    const tables = ["jobs", "attempts", "job_tasks", "events", "task_keys", "dropped_partitions"];
    expect(await Promise.all(tables.map(rowsOf))).toEqual([1, 1, 0, 1, 0, 0]);
    expect(await jobExists(younger!)).toBe(true);
    expect(await scenario.store.jobs.stats(subscriptionA)).toMatchObject({ COMPLETED: 1 });
    const [again] = await scenario.store.jobCommands.createTasks([{ ...task, id: newIds.job() }]);
    expect(again!.kind).toBe("created");
  });

  test("of a month that goes, open jobs, those that block, events not passed and what is theirs stay", async () => {
    const [open, done, blocking, behind, failed] = await publish(
      { dueInMs: 400 * dayMs },
      {},
      { group: "g", profile: block },
      { group: "g", profile: block },
      { profile: block },
    );
    const task = { ...scenario.newTask({ dueAtMs: jobs.now() + 400 * dayMs }), id: newIds.job() };
    await scenario.store.jobCommands.createTasks([task]);
    await scenario.queue();
    await scenario.deliver(done!.id);
    await scenario.fail(blocking!.id);
    await scenario.fail(failed!.id);
    const [notPassed] = await append({});
    await moveTo(Date.UTC(2026, 4, 1));
    await dropAll(february10Ms);
    expect((await months("jobs"))[0]).toBe("2026_02");
    const all = [open!, done!, blocking!, behind!, failed!];
    expect(await Promise.all(all.map(jobExists))).toEqual([true, false, true, true, false]);
    const events = await Promise.all(all.map((job) => eventExists(job.eventId)));
    expect(events).toEqual([true, false, true, true, false]);
    expect(await eventExists(notPassed!.id)).toBe(true);
    expect(await attemptsOf(blocking!.id)).toBe(1);
    expect((await scenario.store.jobs.payload(task.id, anchorScope))?.payload).toBe(task.payload);
    expect(await rowsOf("attempts")).toBe(1);
    expect(await scenario.store.jobs.stats(subscriptionB)).toMatchObject({ FAILED: 1, PENDING: 1 });
    // What stayed is of use, and goes when it is not needed any more.
    const key = `${subscriptionB}:g`;
    await scenario.store.jobCommands.unblock(key, "skip", jobs.now(), anchorScope);
    expect(idsOf(await scenario.queue())).toEqual([[behind!.id]]);
    await scenario.deliver(behind!.id);
    await dropAll(february10Ms);
    expect(await Promise.all(all.map(jobExists))).toEqual([true, false, false, false, false]);
    expect(await rowsOf("attempts")).toBe(0);
    expect(await rowsOf("events")).toBe(2);
    expect(await scenario.store.jobs.stats(subscriptionB)).toMatchObject({ FAILED: 0, CANCELLED: 0, COMPLETED: 0 });
  });

  test("a crash while a month is cleared away counts nothing twice and leaves nothing behind", async () => {
    const old = await publish({}, {}, {});
    await scenario.queue();
    for (const { id } of old) await scenario.deliver(id);
    await moveTo(Date.UTC(2026, 4, 1));
    expect(await drop(february10Ms)).toBe(3);
    expect(await rowsOf("dropped_partitions")).toBe(1);
    await scenario.store.restart();
    await dropAll(february10Ms);
    expect(await scenario.store.jobs.stats(subscriptionA)).toMatchObject({ COMPLETED: 0 });
    expect(await rowsOf("dropped_partitions")).toBe(0);
    const left = adHoc<{ n: number }>(
      "SELECT count(*) AS n FROM pg_class WHERE relname LIKE '%_2026_01' AND relkind = 'r'",
    );
    expect((await jobs.test.database.one(left, []))?.n).toBe(0);
  });

  test("a month of which more is needed than can be moved at once stays whole", async () => {
    const [done] = await publish({});
    await scenario.queue();
    await scenario.deliver(done!.id);
    await publish({ dueInMs: 400 * dayMs });
    await jobs.test.database.run(
      adHoc(`
        INSERT INTO open_jobs SELECT o.id || '_' || n, -n, o.event_id || n, o.task, o.feed_id, o.group_id, o.profile_id,
          o.client_id, o.message_group, o.code, o.status, o.generation, o.attempt_count, o.generation_attempts,
          o.unburnt_attempts, o.due_at, o.queued_at, o.expires_clock, o.replay_count, o.payload_bytes, o.created_at,
          o.updated_at, o.last_error, o.sort_key
        FROM open_jobs o, generate_series(1, 10001) AS n`),
      [],
    );
    await moveTo(Date.UTC(2026, 4, 1));
    await dropAll(february10Ms);
    expect((await months("jobs"))[0]).toBe("2026_02");
    expect((await months("events"))[0]).toBe("2026_01");
    expect(await eventExists(done!.eventId)).toBe(true);
    await jobs.test.database.run(adHoc("DELETE FROM open_jobs WHERE position < 0"), []);
    await dropAll(february10Ms);
    expect((await months("events"))[0]).toBe("2026_02");
    expect(await rowsOf("events")).toBe(1);
  });

  test("while a table is in use for long, it is given up soon and done later", async () => {
    const [done] = await publish({});
    await scenario.queue();
    await scenario.deliver(done!.id);
    await moveTo(Date.UTC(2026, 4, 1));
    await jobs.test.database.transaction(async (session) => {
      await session.run(adHoc("LOCK TABLE jobs IN ACCESS SHARE MODE"), []);
      const refused = await drop(february10Ms).catch((error: unknown) => error);
      expect(isCodedError(refused, "STORE_UNAVAILABLE")).toBe(true);
    });
    expect(await jobExists(done!)).toBe(true);
    await dropAll(february10Ms);
    expect(await jobExists(done!)).toBe(false);
  });

  test("deliveries and retries go on while months go, and nothing of theirs is lost", async () => {
    const old = await publish(...Array.from({ length: 40 }, (_, n) => ({ group: `g${n % 5}` })));
    await scenario.queue();
    for (const { id } of old) await scenario.fail(id);
    await moveTo(Date.UTC(2026, 4, 1));
    const young = await publish(...Array.from({ length: 40 }, () => ({})));
    await scenario.queue();
    const another = await jobs.another();
    const retry = ({ id }: Published) =>
      another.jobCommands.retry(id, { replay: false, nowMs: jobs.now() }, anchorScope);
    const [retried] = await Promise.all([
      Promise.all(old.slice(0, 20).map(retry)),
      Promise.all(young.map((job) => scenario.deliver(job.id))),
      dropAll(february10Ms),
    ]);
    await dropAll(february10Ms);
    const kept = old.slice(0, 20).filter((_, n) => retried[n]!.kind === "done");
    for (const job of kept) {
      expect((await scenario.job(job.id)).status).toBe("PENDING");
      expect(await eventExists(job.eventId)).toBe(true);
    }
    expect((await months("jobs"))[0]).toBe("2026_02");
    expect(await rowsOf("jobs")).toBe(young.length);
    expect(await scenario.store.jobs.stats(subscriptionA)).toMatchObject({
      PENDING: kept.length,
      FAILED: 0,
      COMPLETED: young.length,
    });
  });

  test("another holder's months are left alone", async () => {
    await moveTo(Date.UTC(2026, 4, 1));
    await scenario.store.leases.release("scheduler", "scenario");
    await scenario.store.leases.acquire("scheduler", "another", 1_000);
    const refused = await drop(february10Ms).catch((error: unknown) => error);
    expect(isCodedError(refused, "LEASE_LOST")).toBe(true);
    expect((await months("jobs"))[0]).toBe("2026_01");
  });
});

interface Published {
  readonly id: JobId;
  readonly eventId: EventId;
}
