import { afterEach, beforeEach, expect, test } from "bun:test";
import { FakeClock, silentLogger } from "@flowcatalyst/foundation";
import type { GroupKey, JobId, MessageId, PoolCode } from "../../domain/ids.ts";
import type { PlatformMessage, StandaloneMessage } from "../../domain/message.ts";
import type { Receipt, ReceivedMessage } from "../../ports/queue.ts";
import type { PostgresDatabase, PostgresSession } from "../../postgres/postgres-database.ts";
import { adHoc } from "../../postgres/statement.ts";
import { describeWithPostgres, openTestPostgres, type TestPostgres } from "../../postgres/test-database.fixture.ts";
import { clockTime, createPostgresQueue, postgresQueueDefaults, queueMigrations } from "./index.ts";

/**
 * Cost must not depend on what is held. Every statement that the queue uses is recorded while it does all it can, and
 * then asked for its plan: on tables that were empty when their statistics were made, and on full ones.
 */

const lane = "DEFAULT-POOL" as PoolCode;
const signal = new AbortController().signal;

interface PlanNode {
  readonly "Node Type": string;
  readonly "Relation Name"?: string;
  readonly "Index Name"?: string;
  readonly "Index Cond"?: string;
  readonly Plans?: readonly PlanNode[];
}

/** Walks that need no condition: they end at the first rows they want, in the order of the index. */
const mayWalk: Readonly<Record<string, RegExp>> = {
  queue_ready: /RECURSIVE/,
  queue_messages_pkey: /SELECT max\(seq\) AS seq FROM queue_messages$/,
  queue_dead_letters_pkey: /./,
};

/** As many rows as there are consumers, lanes, or receives under way; each is read as a whole, and seldom. */
const smallTables: ReadonlySet<string> = new Set(["queue_consumers", "queue_lanes", "queue_claims"]);

function recording(database: PostgresDatabase, seen: Map<string, string>): PostgresDatabase {
  const record = (session: PostgresSession): PostgresSession => ({
    query: (statement, values) => {
      seen.set(statement.name, statement.text);
      return session.query(statement, values);
    },
    one: (statement, values) => {
      seen.set(statement.name, statement.text);
      return session.one(statement, values);
    },
    run: (statement, values) => {
      seen.set(statement.name, statement.text);
      return session.run(statement, values);
    },
  });
  return {
    ...database,
    ...record(database),
    transaction: (work) => database.transaction((session) => work(record(session))),
  };
}

function message(id: string, group: string | null): PlatformMessage {
  const jobs = [{ kind: "reference" as const, jobId: `job_${id}` as JobId, generation: 1, bytes: 10 }];
  return { kind: "platform", id: id as MessageId, lane, groupKey: group as GroupKey | null, jobs, traceparent: null };
}

function standalone(id: string, highPriority: boolean): StandaloneMessage {
  return {
    kind: "standalone",
    id: id as MessageId,
    lane,
    groupKey: "h" as GroupKey,
    deduplicationId: null,
    highPriority,
    target: "https://example.test/",
    payload: "",
    contentType: "text/plain",
    headers: {},
    secretRef: null,
    traceparent: null,
  };
}

const receiptsOf = (batch: readonly ReceivedMessage[]): Receipt[] => batch.map(({ receipt }) => receipt);

describeWithPostgres("plans of the queue on PostgreSQL", () => {
  let postgres: TestPostgres;
  beforeEach(async () => {
    postgres = await openTestPostgres([queueMigrations]);
  });
  afterEach(() => postgres.close());

  /** Everything a queue can do, once. */
  async function useAll(): Promise<ReadonlyMap<string, string>> {
    const seen = new Map<string, string>();
    const clock = new FakeClock();
    const open = () => {
      const database = recording(postgres.open(2), seen);
      return createPostgresQueue({ database, clock, logger: silentLogger(), time: clockTime(clock) });
    };
    const [queue, other] = [open(), open()];
    const receive = (max: number) => queue.receive({ lane, max, waitMs: 0 }, signal);
    await queue.publish([message("a", "g"), message("b", "g"), message("c", null), message("d", null)]);
    await queue.publish([message("e", "g"), standalone("f", false)]);
    await queue.publish([standalone("h", true)]);
    await queue.readyLanes();
    const [first, second, ...rest] = await receive(4);
    await queue.nack([first!.receipt], 0);
    await queue.nack([second!.receipt], 1_000);
    await queue.extend(receiptsOf(rest), 1_000);
    await queue.deadLetter(rest[0]!.receipt, "told so");
    for (let i = 0; i < 20; i++) {
      await queue.publish([message(`n${i}`, null)]);
      await queue.ack(receiptsOf(await receive(10)));
    }
    await queue.metrics();
    await queue.listDeadLetters({ limit: 1, after: null });
    await queue.publish([message("y", null)]);
    await receive(10);
    await queue.close();
    await clock.advance(postgresQueueDefaults.visibilityMs * 2);
    await other.receive({ lane, max: 10, waitMs: 0 }, signal);
    await other.publish([message("z", null)]);
    await other.close();
    return seen;
  }

  async function faultsOf(seen: ReadonlyMap<string, string>): Promise<readonly string[]> {
    const database = postgres.open(1);
    const faults: string[] = [];
    for (const [name, text] of seen) {
      if (!/queue_/.test(text)) continue;
      const places = [...text.matchAll(/\$(\d+)/g)].map(([, place]) => Number(place));
      const values = Array.from({ length: Math.max(0, ...places) }, () => "NULL").join(", ");
      await database.run(adHoc(`PREPARE "q${name}" AS ${text}`), []);
      const execute = values === "" ? `EXECUTE "q${name}"` : `EXECUTE "q${name}" (${values})`;
      const [row] = await database.query(
        adHoc<{ "QUERY PLAN": readonly { readonly Plan: PlanNode }[] }, []>(`EXPLAIN (FORMAT JSON) ${execute}`),
        [],
      );
      for (const { Plan } of row?.["QUERY PLAN"] ?? []) faults.push(...faultsIn(Plan, text));
    }
    return faults;
  }

  test("no statement scans what is held, whether tables were empty or full when they were looked at", async () => {
    const seen = await useAll();
    expect(seen.size).toBeGreaterThan(30);
    await postgres.database.run(adHoc("TRUNCATE queue_messages, queue_claims, queue_lanes, queue_dedup"), []);
    await postgres.database.run(adHoc("VACUUM ANALYZE"), []);
    expect(await faultsOf(seen)).toEqual([]);
    await postgres.database.run(
      adHoc(`
        INSERT INTO queue_messages (published_at_ms, body_bytes, kind, state, rank, high, lane, group_key, body)
        SELECT i, 1, 0, i % 3, 1, false, 'L' || i % 100, CASE WHEN i % 2 = 0 THEN 'g' || i % 1000 END, 'x'
        FROM generate_series(1, 50000) AS s (i)`),
      [],
    );
    await postgres.database.run(adHoc("VACUUM ANALYZE"), []);
    expect(await faultsOf(seen)).toEqual([]);
  }, 60_000);
});

function faultsIn(node: PlanNode, text: string): readonly string[] {
  const { "Node Type": type, "Relation Name": table, "Index Name": index, "Index Cond": condition } = node;
  const below = (node.Plans ?? []).flatMap((child) => faultsIn(child, text));
  if (table?.startsWith("queue_") !== true || type === "ModifyTable") return below;
  if (smallTables.has(table)) return below;
  // Below the cursor lie the dead ones: the lane alone does not do.
  if (index === "queue_fresh" && condition?.includes("seq") !== true) {
    return [...below, `${condition} on queue_fresh in ${text}`];
  }
  const isLookUp = type.startsWith("Index") && (condition !== undefined || mayWalk[index ?? ""]?.test(text) === true);
  return isLookUp ? below : [...below, `${type} of ${table} by ${index} in ${text}`];
}
