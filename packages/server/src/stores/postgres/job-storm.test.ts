import { expect, test } from "bun:test";
import { adHoc } from "../../postgres/statement.ts";
import { describeWithPostgres } from "../../postgres/test-database.fixture.ts";
import { openTestJobs, type TestJobs } from "./job-store.fixture.ts";
import { JobStorm, type StormConfig } from "./job-storm.fixture.ts";

/**
 * What must be true of the tables whenever nobody is in the middle of something, as questions for what breaks it. Each
 * names what it finds.
 */
const laws: Readonly<Record<string, string>> = {
  "a feed counts what it has": `
    SELECT f.key, f.pending, f.queued, f.completed, f.failed, f.cancelled, f.expired, c.* FROM job_feeds f
    LEFT JOIN LATERAL (
      SELECT count(*) FILTER (WHERE status = 0) AS s0, count(*) FILTER (WHERE status = 1) AS s1,
        count(*) FILTER (WHERE status = 2) AS s2, count(*) FILTER (WHERE status = 3) AS s3,
        count(*) FILTER (WHERE status = 4) AS s4, count(*) FILTER (WHERE status = 5) AS s5
      FROM (SELECT feed_id, status FROM open_jobs UNION ALL SELECT feed_id, status FROM jobs) AS j
      WHERE j.feed_id = f.id) AS c ON true
    WHERE (f.pending, f.queued, f.completed, f.failed, f.cancelled, f.expired) <> (s0, s1, s2, s3, s4, s5)`,
  "a job is open or final": `
    SELECT o.id FROM open_jobs o WHERE o.status > 1 OR EXISTS (SELECT 1 FROM jobs j WHERE j.id = o.id)
    UNION ALL SELECT id FROM jobs WHERE status < 2`,
  "an open job has its group, and is counted where its group is": `
    SELECT o.id FROM open_jobs o LEFT JOIN job_groups g ON g.id = o.group_id
    WHERE g.feed_id IS DISTINCT FROM o.feed_id`,
  "a group knows what is out": `
    SELECT g.key, g.outstanding, g.run_from, g.run_to, q.* FROM job_groups g
    LEFT JOIN LATERAL (
      SELECT count(*) AS queued, min(position) AS lowest, max(position) AS highest, min(queued_at) AS oldest
      FROM open_jobs o WHERE o.group_id = g.id AND o.status = 1) AS q ON true
    WHERE g.outstanding <> q.queued OR (g.queued_at IS NULL) <> (q.queued = 0) OR g.queued_at > q.oldest
      OR (g.ordered AND q.queued > 0 AND (g.run_from > q.lowest OR g.run_to < q.highest))`,
  "nothing that waits is below where its group is read from": `
    SELECT o.id, g.key, o.sort_key, g.head_from FROM open_jobs o JOIN job_groups g ON g.id = o.group_id
    WHERE o.status = 0 AND o.sort_key < g.head_from`,
  "a sort key is what it should be": `
    SELECT o.id FROM open_jobs o JOIN job_groups g ON g.id = o.group_id
    WHERE o.sort_key <> CASE WHEN g.ordered THEN o.position WHEN o.status = 0 THEN o.due_at
      ELSE o.queued_at - 4503599627370496 END`,
  "a group that may go on is ready in time": `
    SELECT g.key, g.ready_at, h.due_at FROM job_groups g
    CROSS JOIN LATERAL (
      SELECT due_at, updated_at FROM open_jobs o WHERE o.group_id = g.id AND o.status = 0
      ORDER BY sort_key, position LIMIT 1) AS h
    WHERE g.blocked_job_id IS NULL AND NOT (g.ordered AND g.outstanding > 0)
      AND (g.ready_at IS NULL OR g.ready_at > greatest(h.due_at, g.used_at))`,
  "a feed is ready when one of its groups is, unless its window is full": `
    SELECT f.key, f.ready_at, f.window_full, f.queued, g.key, g.ready_at FROM job_feeds f
    JOIN job_groups g ON g.feed_id = f.id AND g.ready_at IS NOT NULL
    WHERE CASE WHEN f.window_full IS NULL THEN f.ready_at IS NULL OR f.ready_at > greatest(g.ready_at, $1)
      ELSE f.queued < f.window_full END`,
  "what blocks a group has failed in it": `
    SELECT g.key FROM job_groups g LEFT JOIN jobs j ON j.id = g.blocked_job_id
    WHERE g.blocked_job_id IS NOT NULL AND (j.group_id IS DISTINCT FROM g.id OR j.status NOT IN (3, 5))`,
  "no attempt is counted twice": `
    SELECT j.id, j.attempt_count, a.* FROM (
      SELECT id, attempt_count FROM open_jobs UNION ALL SELECT id, attempt_count FROM jobs) AS j
    CROSS JOIN LATERAL (
      SELECT count(*) FILTER (WHERE burnt) AS burnt FROM attempts a WHERE a.job_id = j.id) AS a
    WHERE j.attempt_count > a.burnt`,
};

async function broken(jobs: TestJobs): Promise<Record<string, readonly object[]>> {
  const found: Record<string, readonly object[]> = {};
  for (const [name, question] of Object.entries(laws)) {
    const values = question.includes("$1") ? [jobs.now()] : [];
    const rows = await jobs.test.database.query(adHoc<object>(question), values);
    if (rows.length > 0) found[name] = rows.slice(0, 5);
  }
  return found;
}

async function storm(config: StormConfig): Promise<void> {
  const jobs = await openTestJobs();
  try {
    const weather = await JobStorm.start(jobs, config);
    await weather.blow();
    expect(weather.violations).toEqual([]);
    expect(await broken(jobs)).toEqual({});
    expect(await weather.calmDown()).toBe(true);
    expect(weather.violations).toEqual([]);
    expect(await broken(jobs)).toEqual({});
    if (config.retention) return;
    const kept = await jobs.test.database.query(adHoc<{ id: string }>("SELECT id FROM jobs"), []);
    const ids = new Set(kept.map((row) => row.id));
    expect([...weather.made].filter((id) => !ids.has(id))).toEqual([]);
  } finally {
    await jobs.close();
  }
}

/** FC_TEST_STORM_SEED repeats what a failure names, and FC_TEST_STORM_STEPS makes it longer. */
const seed = Number(process.env["FC_TEST_STORM_SEED"] ?? Date.now() % 1_000_000);
const steps = Number(process.env["FC_TEST_STORM_STEPS"] ?? 2_500);

describeWithPostgres("jobs in a storm", () => {
  test(`everything at once (seed ${seed})`, async () => {
    await storm({ seed, steps, cutConnections: false, retention: false });
  }, 120_000);

  test(`and connections that are cut, and history that goes (seed ${seed})`, async () => {
    await storm({ seed, steps, cutConnections: true, retention: true });
  }, 120_000);
});
