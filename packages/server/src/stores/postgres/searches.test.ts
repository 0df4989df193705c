import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createTsidGenerator, silentLogger, systemClock } from "@flowcatalyst/foundation";
import type { DeliveryProfile } from "../../domain/dispatch-job.ts";
import type { EventId, JobId } from "../../domain/ids.ts";
import { anchorScope } from "../../domain/scope.ts";
import { clientA, createSamples, sampleTimeMs } from "../../ports/sample-entities.fixture.ts";
import { describeSearchConformance, type SearchableJob, type SearchFixture } from "../../ports/search.conformance.ts";
import type { EventSearch, JobSearch } from "../../ports/search.ts";
import { createPostgresDatabase, type PostgresDatabase } from "../../postgres/postgres-database.ts";
import { planOf, type QueryPlan } from "../../postgres/query-plan.fixture.ts";
import { adHoc, statement, toJsonRows } from "../../postgres/statement.ts";
import { describeWithPostgres } from "../../postgres/test-database.fixture.ts";
import { statusCodes } from "../job-row.ts";
import { searchLimits } from "../search-results.ts";
import { createEventLog, type PostgresEventLog } from "./event-log.ts";
import { ensurePartitions } from "./history-partitions.ts";
import { openTestStore, type TestStoreDatabase } from "./postgres-store.fixture.ts";
import { eventKindsQuery, eventQuery } from "./search-events.ts";
import { jobQuery } from "./search-jobs.ts";
import { matchStatement, type MatchQuery } from "./search-matches.ts";
import { createSearches, searchesDefaults } from "./searches.ts";

const dayMs = 86_400_000;

const insertFeeds = statement<never, [rows: string]>(`
  INSERT INTO job_feeds (key, subscription_id, lane)
  SELECT DISTINCT key, subscription_id, lane
  FROM json_to_recordset($1::json) AS r (key text, subscription_id text, lane text)
  ON CONFLICT (key) DO NOTHING`);
const insertProfiles = statement<never, [rows: string]>(`
  INSERT INTO delivery_profiles (key, body, used_at)
  SELECT DISTINCT key, body, 0 FROM json_to_recordset($1::json) AS r (key text, body text)
  ON CONFLICT (key) DO NOTHING`);
const columns = `id, position, event_id, task, feed_id, group_id, profile_id, client_id, message_group, code, status,
  generation, attempt_count, generation_attempts, unburnt_attempts, due_at, replay_count, payload_bytes, created_at,
  updated_at`;
const recordset = `json_to_recordset($1::json) AS r (id text, event_id text, task boolean, key text, client_id text,
  message_group text, code text, status smallint, created_at bigint, subscription_id text)`;
const values = `r.id, nextval('job_positions'), r.event_id, r.task, f.id, 0, p.id, r.client_id, r.message_group, r.code,
  r.status, 1, 0, 0, 0, r.created_at, 0, 2, r.created_at, r.created_at`;
const joined = `${recordset} JOIN job_feeds f ON f.key = r.key JOIN delivery_profiles p ON p.key = r.key`;
const insertOpen = statement<never, [rows: string]>(
  `INSERT INTO open_jobs (${columns}, sort_key) SELECT ${values}, 0 FROM ${joined} WHERE r.status <= 1`,
);
const insertFinal = statement<never, [rows: string]>(
  `INSERT INTO jobs (${columns}) SELECT ${values} FROM ${joined} WHERE r.status > 1`,
);
const insertTasks = statement<never, [rows: string]>(`
  INSERT INTO job_tasks (job_id, client_id, subscription_id, metadata, content_type, base64, payload)
  SELECT id, coalesce(client_id, ''), subscription_id, '{}', 'application/json', false, '{}' FROM ${recordset}
  WHERE task`);

/** Straight into the tables: what searches read, without what scheduling does to it. */
async function addJobs(database: PostgresDatabase, jobs: readonly SearchableJob[]): Promise<void> {
  const rows = jobs.map((job) => {
    const ofFeed = job.kind === "TASK" ? null : job.subscriptionId;
    const body: Partial<DeliveryProfile> = { subscriptionId: ofFeed, poolCode: job.poolCode, mode: "IMMEDIATE" };
    const key = `${ofFeed}:${job.poolCode}`;
    return {
      feed: { key, subscription_id: ofFeed, lane: job.poolCode },
      profile: { key, body: JSON.stringify(body) },
      job: {
        id: job.id,
        event_id: job.eventId,
        task: job.kind === "TASK",
        key,
        client_id: job.clientId,
        message_group: job.messageGroup,
        code: job.code,
        status: statusCodes[job.status],
        created_at: job.createdAtMs,
        subscription_id: job.subscriptionId,
      },
    };
  });
  const jobRows = toJsonRows(rows.map(({ job }) => job));
  await database.run(insertFeeds, [toJsonRows(rows.map(({ feed }) => feed))]);
  await database.run(insertProfiles, [toJsonRows(rows.map(({ profile }) => profile))]);
  await database.run(insertOpen, [jobRows]);
  await database.run(insertFinal, [jobRows]);
  await database.run(insertTasks, [jobRows]);
}

interface SearchStore {
  readonly store: TestStoreDatabase;
  readonly log: PostgresEventLog;
  readonly search: PostgresDatabase;
  close(): Promise<void>;
}

async function openSearchStore(): Promise<SearchStore> {
  const store = await openTestStore();
  const deps = { clock: systemClock(), logger: silentLogger() };
  const search = createPostgresDatabase(deps, { url: store.url, profile: "search", maxConnections: 4 });
  const log = createEventLog(store, { dedupWindowMs: 1 });
  return {
    store,
    log,
    search,
    close: async () => {
      await search.close();
      await store.close();
    },
  };
}

async function setup(): Promise<SearchFixture> {
  const { store, log, search, close } = await openSearchStore();
  const deps = { search, clock: systemClock() };
  return {
    searches: createSearches(deps),
    appender: log.appender,
    addJobs: (jobs) => addJobs(store.database, jobs),
    hurried: () => createSearches(deps, { ...searchesDefaults, timeoutMs: 0 }),
    close,
  };
}

describeWithPostgres("postgres searches", () => {
  describeSearchConformance("postgres", setup);

  describe("over much history", () => {
    let opened: SearchStore;
    beforeEach(async () => {
      opened = await openSearchStore();
      await ensurePartitions(opened.store.database, sampleTimeMs);
    });
    afterEach(() => opened.close());

    const planOfMatches = (query: MatchQuery): Promise<QueryPlan> =>
      planOf(opened.search, matchStatement(query, { page: 0, size: 20 }), [...query.values]);

    /** 40,000 over 100 days, a thousandth of them of a kind of its own. */
    const fillEvents = async (): Promise<void> => {
      const samples = createSamples();
      for (let batch = 0; batch < 40; batch++) {
        const atMs = sampleTimeMs + batch * 2.5 * dayMs;
        const ids = createTsidGenerator({ clock: { now: () => atMs }, node: 1 });
        const events = Array.from({ length: 1_000 }, (_, n) =>
          samples.event({
            id: `evt_${ids.next()}` as EventId,
            timeMs: atMs + n,
            subject: n === 0 ? "rare" : `subject ${n % 50}`,
          }),
        );
        await opened.log.appender.append(events);
      }
      await opened.store.database.run(adHoc("VACUUM ANALYZE events"), []);
    };

    test("a search of events reads its window, or the newest until it has enough", async () => {
      await fillEvents();
      const window = { timeAfterMs: sampleTimeMs + 50 * dayMs, timeBeforeMs: sampleTimeMs + 51 * dayMs };
      const reads: [EventSearch, number][] = [
        [window, 1_100],
        [{ ...window, text: "not there" }, 1_100],
        [{ ...window, subject: "rare" }, 1_100],
        [{}, 10_100],
        [{ clientIds: [null], types: ["order.*"] }, 10_100],
      ];
      for (const [search, most] of reads) {
        const plan = await planOfMatches(eventQuery(search, anchorScope));
        expect(plan.text).toContain("time_ms_position_idx");
        expect(plan.rowsRead, plan.text).toBeLessThanOrEqual(most);
      }
      const narrow = await planOfMatches(eventQuery(window, { kind: "client", clientId: clientA }));
      expect(narrow.rowsRead).toBeLessThanOrEqual(1_100);
      const kinds = eventKindsQuery(searchLimits.filterOptionEvents + 39_000, anchorScope);
      const options = await planOf(opened.search, adHoc(kinds.text), kinds.values);
      expect(options.text).toContain("position_idx");
      expect(options.rowsRead).toBeLessThanOrEqual(1_100);
    }, 30_000);

    /** 40,000, half a minute apart: one of a thousand FAILED, one of a hundred still open. */
    const fillJobs = async (): Promise<void> => {
      for (let batch = 0; batch < 20; batch++) {
        const jobs = Array.from({ length: 2_000 }, (_, n): SearchableJob => {
          const createdAtMs = sampleTimeMs + (batch * 2_000 + n) * 30_000;
          const open = n % 100 === 1 ? "PENDING" : "COMPLETED";
          return {
            id: `job_${createTsidGenerator({ clock: { now: () => createdAtMs }, node: 1 }).next()}` as JobId,
            kind: "EVENT",
            clientId: null,
            eventId: `evt_${String(batch * 2_000 + n).padStart(13, "0")}` as EventId,
            eventPosition: 1 as SearchableJob["eventPosition"],
            subscriptionId: `sub_000000000000${n % 5}` as SearchableJob["subscriptionId"],
            code: "order.created",
            poolCode: "DEFAULT-POOL" as SearchableJob["poolCode"],
            messageGroup: null,
            status: n % 1_000 === 0 ? "FAILED" : open,
            createdAtMs,
          };
        });
        await addJobs(opened.store.database, jobs);
      }
      await opened.store.database.run(adHoc("VACUUM ANALYZE jobs"), []);
      await opened.store.database.run(adHoc("VACUUM ANALYZE open_jobs"), []);
    };

    test("a search of jobs reads its window, or the newest until it has enough", async () => {
      await fillJobs();
      const window = { createdAfterMs: sampleTimeMs + 5 * dayMs, createdBeforeMs: sampleTimeMs + 5.1 * dayMs };
      const windowRows = (0.1 * dayMs + 2 * 600_000) / 30_000 + 10;
      const reads: [JobSearch, number][] = [
        [window, windowRows],
        [{ ...window, subscriptionId: "sub_0000000000003" }, windowRows + 10],
        [{ ...window, code: "not there" }, windowRows],
        [{ statuses: ["FAILED"] }, 50],
        [{ statuses: ["FAILED", "EXPIRED"], ...window }, 50],
        [{ statuses: ["PENDING"] }, 410],
        [{ eventId: "evt_0000000000007" }, 2],
        [{}, 10_100],
        [{ poolCode: "DEFAULT-POOL" }, 10_200],
      ];
      for (const [search, most] of reads) {
        const plan = await planOfMatches(jobQuery(search, anchorScope));
        expect(plan.rowsRead, plan.text).toBeLessThanOrEqual(most);
      }
    }, 30_000);
  });
});
