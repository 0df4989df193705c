import { afterEach, beforeEach, expect, test } from "bun:test";
import { deferred } from "@flowcatalyst/foundation";
import type { OutboxPosition } from "../../domain/outbox-row.ts";
import type { OutboxAdmin, OutboxClaim } from "../../ports/outbox-source.ts";
import type { PostgresSession } from "../../postgres/postgres-database.ts";
import { adHoc } from "../../postgres/statement.ts";
import { describeWithPostgres, openTestPostgres, type TestPostgres } from "../../postgres/test-database.fixture.ts";
import { openPostgresOutbox } from "./index.ts";

/** What only an engine with concurrent writers can do wrong. */
describeWithPostgres("an outbox on PostgreSQL, beside transactions that take their time", () => {
  let postgres: TestPostgres;
  let admin: OutboxAdmin;
  let epoch: number;

  beforeEach(async () => {
    postgres = await openTestPostgres([]);
    admin = await openPostgresOutbox({ url: postgres.url, form: "platform", table: "public.outbox_messages" });
    await admin.init();
    epoch = (await admin.source.lease.acquire("test", 60_000))?.epoch ?? 0;
  });
  afterEach(async () => {
    await admin.source.close();
    await postgres.close();
  });

  async function insert(session: PostgresSession, id: string, group: string | null): Promise<void> {
    const text = "INSERT INTO outbox_messages (id, type, message_group, payload) VALUES ($1, 'EVENT', $2, '{}')";
    await session.run(adHoc(text), [id, group]);
  }

  async function claim(which: OutboxClaim["which"] = "new", after: OutboxPosition | null = null) {
    const limits = { maxRows: 100, maxBytes: 1_000_000, payloadMaxBytes: 100_000, maxScanned: 1_000 };
    const rule = { maxRetries: 10, blockOnError: true };
    const answer = await admin.source.claim({ epoch, which, after, ...limits, ...rule });
    if (answer.kind !== "claimed") throw new Error(answer.kind);
    return { ...answer, ids: answer.rows.map(({ id }) => String(id)) };
  }

  /** A transaction of the application that has done this, and goes on until it is told. */
  async function openTransaction(work: (session: PostgresSession) => Promise<unknown>): Promise<() => Promise<void>> {
    const [isIn, mayEnd] = [deferred<void>(), deferred<void>()];
    const ended = postgres.database.transaction(async (session) => {
      await work(session);
      isIn.resolve();
      await mayEnd.promise;
    });
    await isIn.promise;
    return async () => {
      mayEnd.resolve();
      await ended;
    };
  }

  test("a row that the application has locked is skipped, with those behind it in its group", async () => {
    for (const [id, group] of [
      ["1", "a"],
      ["2", "a"],
      ["3", "b"],
      ["4", null],
    ] as const) {
      await insert(postgres.database, id, group);
    }
    const end = await openTransaction((session) =>
      session.run(adHoc("UPDATE outbox_messages SET client_id = 'c' WHERE id = '1'"), []),
    );
    expect(await claim()).toMatchObject({ ids: ["3", "4"], passedOver: 2 });
    await end();
    expect((await claim()).ids).toEqual(["1", "2"]);
  });

  test("rows of a transaction that commits late are found by a look from the start", async () => {
    const end = await openTransaction((session) => insert(session, "1", "a"));
    await insert(postgres.database, "2", "b");
    const first = await claim();
    expect(first.ids).toEqual(["2"]);
    await end();
    expect((await claim("new", first.next)).ids).toEqual([]);
    expect((await claim()).ids).toEqual(["1"]);
  });

  test("a row in progress that the application has locked is told, and holds up no other row's result", async () => {
    for (const id of ["1", "2", "3", "4"]) await insert(postgres.database, id, null);
    const { rows } = await claim();
    const end = await openTransaction((session) =>
      session.query(adHoc("SELECT * FROM outbox_messages WHERE id IN ('1', '3') FOR UPDATE"), []),
    );
    const [first, second, third, fourth] = rows;
    const failed = { kind: "failed", status: 3, error: "no", countsAsRetry: true } as const;
    const results = [
      { kind: "done", id: first!.id },
      { kind: "done", id: second!.id },
      { ...failed, id: third!.id },
      { ...failed, id: fourth!.id },
    ] as const;
    expect((await admin.source.settle(results)).map(String).toSorted()).toEqual(["1", "3"]);
    expect(await admin.source.release([first!, second!])).toEqual([first!.id]);
    expect(await admin.source.recover(0)).toBe(0);
    await end();
    expect(await admin.source.settle(results)).toEqual([]);
    const listed = await admin.list({ states: [1, 3], group: null, limit: 10, after: null });
    expect(listed.rows.map(({ id, retryCount }) => [String(id), retryCount])).toEqual([
      ["1", 0],
      ["2", 0],
      ["3", 1],
      ["4", 1],
    ]);
  });

  test("outcomes do not wait for a claim that is under way", async () => {
    await insert(postgres.database, "1", "a");
    const [row] = (await claim()).rows;
    const end = await openTransaction((session) =>
      session.query(adHoc("SELECT * FROM outbox_messages_control FOR UPDATE"), []),
    );
    await admin.source.settle([{ kind: "done", id: row!.id }]);
    await end();
    const { rows } = await admin.list({ states: [1], group: null, limit: 10, after: null });
    expect(rows).toHaveLength(1);
  });

  test("claims do not wait for the disk, outcomes and the lease do", async () => {
    const note = `
      CREATE TABLE noted (what text, setting text);
      CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $note$ BEGIN
        INSERT INTO noted VALUES (TG_ARGV[0], current_setting('synchronous_commit'));
        RETURN NULL;
      END $note$;
      CREATE TRIGGER note AFTER UPDATE ON outbox_messages FOR EACH ROW EXECUTE FUNCTION note('row');
      CREATE TRIGGER note AFTER UPDATE ON outbox_messages_control FOR EACH ROW EXECUTE FUNCTION note('lease')`;
    for (const text of note.split(/;\n(?=      CREATE)/)) await postgres.database.run(adHoc(text), []);
    const { name } = (await postgres.database.one(adHoc<{ name: string }>("SELECT current_database() AS name"), []))!;
    await postgres.database.run(adHoc(`ALTER DATABASE "${name}" SET synchronous_commit = on`), []);
    await admin.source.close();
    admin = await openPostgresOutbox({ url: postgres.url, form: "platform", table: "outbox_messages" });
    await insert(postgres.database, "1", "a");
    const [row] = (await claim()).rows;
    await admin.source.settle([{ kind: "failed", id: row!.id, status: 3, error: "no", countsAsRetry: true }]);
    await admin.source.lease.acquire("test", 60_000);
    const noted = await postgres.database.query(
      adHoc<{ what: string; setting: string }>("SELECT what, setting FROM noted ORDER BY what, setting"),
      [],
    );
    expect(noted).toEqual([
      { what: "lease", setting: "on" },
      { what: "row", setting: "off" },
      { what: "row", setting: "on" },
    ]);
  });

  test("of two claims of one process at once, the second sees what the first took", async () => {
    for (let number = 0; number < 50; number++) await insert(postgres.database, `r${number + 10}`, `g${number % 5}`);
    const [one, two] = await Promise.all([claim(), claim()]);
    expect(one.ids).toHaveLength(50);
    expect(two).toMatchObject({ ids: [], passedOver: 0 });
  });

  test("rows at infinite times are counted, and hide no other row's age", async () => {
    const rule = { maxRetries: 10, blockOnError: true };
    for (const [id, at] of [
      ["1", "infinity"],
      ["2", "-infinity"],
    ] as const) {
      await insert(postgres.database, id, null);
      await postgres.database.run(adHoc("UPDATE outbox_messages SET created_at = $1 WHERE id = $2"), [at, id]);
    }
    expect(await admin.source.counts(rule)).toMatchObject({ pending: 2, oldestAgeMs: null });
    await insert(postgres.database, "3", null);
    expect((await admin.source.counts(rule)).oldestAgeMs).toBeGreaterThanOrEqual(0);
    expect((await admin.list({ states: [0], group: null, limit: 10, after: null })).rows).toHaveLength(3);
    expect((await claim()).ids).toEqual(["2", "3", "1"]);
  });

  test("a row without a time, which a table of the application's own lets it write, gets one and is sent", async () => {
    await postgres.database.run(adHoc("ALTER TABLE outbox_messages ALTER created_at DROP NOT NULL"), []);
    await insert(postgres.database, "1", "a");
    await postgres.database.run(adHoc("UPDATE outbox_messages SET created_at = NULL"), []);
    expect((await claim()).ids).toEqual([]);
    expect(await admin.source.recover(300_000)).toBe(0);
    expect((await claim()).ids).toEqual(["1"]);
  });
});

describeWithPostgres("the older table on PostgreSQL", () => {
  test("gets the time of the last change that it lacks, and says so before", async () => {
    const postgres = await openTestPostgres([]);
    const text = `CREATE TABLE outbox (id varchar(26) PRIMARY KEY, message_group_id text, deduplication_id text,
      pool_code text, target text, payload text, headers jsonb, created_at timestamp DEFAULT now(),
      published_at timestamp, status text DEFAULT 'PENDING', retry_count integer DEFAULT 0, last_error text)`;
    await postgres.database.run(adHoc(text), []);
    await postgres.database.run(adHoc("INSERT INTO outbox (id, target, payload) VALUES ('1', 'x', '{}')"), []);
    const admin = await openPostgresOutbox({ url: postgres.url, form: "router", table: "outbox" });
    const fault: unknown = await admin.source.verify().catch((error: unknown) => error);
    expect(fault).toMatchObject({ code: "CONFIG_INVALID" });
    await admin.init();
    await admin.source.verify();
    const page = await admin.list({ states: [0], group: null, limit: 10, after: null });
    expect(page.rows).toMatchObject([{ id: "1", status: 0 }]);
    const { position } = page.rows[0]!;
    expect((await admin.list({ states: [0], group: null, limit: 10, after: position })).rows).toEqual([]);
    await admin.source.close();
    await postgres.close();
  });
});
