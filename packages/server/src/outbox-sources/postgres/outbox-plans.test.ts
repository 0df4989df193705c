import { afterAll, beforeAll, expect, test } from "bun:test";
import type { OutboxAdmin } from "../../ports/outbox-source.ts";
import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import { planOf } from "../../postgres/query-plan.fixture.ts";
import { adHoc, toJsonRows, type SqlValue, type Statement } from "../../postgres/statement.ts";
import { describeWithPostgres, openTestPostgres, type TestPostgres } from "../../postgres/test-database.fixture.ts";
import { outboxCountedTo, sqlForm } from "../outbox-form.ts";
import { beforeAll as fromTheStart, claimNew, claimRetries } from "./claim-statements.ts";
import { openPostgresOutbox } from "./index.ts";
import { outboxStatements } from "./outbox-statements.ts";
import { postgresNames, postgresOutboxDdl } from "./postgres-ddl.ts";

const table = "outbox_messages";
const form = sqlForm("platform");
const names = postgresNames(table);
const statements = outboxStatements(form, names);
const maxScanned = 1_000;
/** A look-up in each state of a group, for each row looked at, and what the claim does with rows it takes. */
const perLookedRow = 10;
const setupTimeoutMs = 180_000;

/** 600,000 rows that were taken, 300,000 held behind 1,000 rows that have no retries left, 99,000 refused ones. */
const fill = `
  INSERT INTO ${table} (id, type, message_group, payload, status, retry_count, created_at, updated_at)
  SELECT lpad(i::text, 26, '0'), 'EVENT', 'g' || i % 1000, '{}',
    CASE WHEN i <= 600000 THEN 1 WHEN i <= 699000 THEN 2 WHEN i <= 700000 THEN 3 ELSE 0 END,
    CASE WHEN i BETWEEN 699001 AND 700000 THEN 10 ELSE 0 END,
    now() - (1000001 - i) * interval '1 millisecond', now() - (1000001 - i) * interval '1 millisecond'
  FROM generate_series(1, 1000000) AS s (i)`;
/** What is to be found among them: 100 that may go, 100 that are due. */
const findable = `
  INSERT INTO ${table} (id, type, message_group, payload, status)
  SELECT lpad(i::text, 26, '0'), 'EVENT', 'free' || i % 10, '{}', CASE WHEN i % 2 = 0 THEN 0 ELSE 6 END
  FROM generate_series(1000001, 1000200) AS s (i)`;

describeWithPostgres("plans of the outbox on PostgreSQL, with a million rows", () => {
  let postgres: TestPostgres;
  let admin: OutboxAdmin;
  let database: PostgresDatabase;
  let epoch = 0;

  beforeAll(async () => {
    postgres = await openTestPostgres([]);
    admin = await openPostgresOutbox({ url: postgres.url, form: "platform", table });
    const [makeTable = ""] = postgresOutboxDdl("platform", table);
    database = postgres.open(1);
    await database.run(adHoc(makeTable), []);
    await database.run(adHoc(fill), []);
    await admin.init();
    await database.run(adHoc(findable), []);
    epoch = (await admin.source.lease.acquire("plans", 600_000))?.epoch ?? 0;
  }, setupTimeoutMs);
  afterAll(async () => {
    await admin.source.close();
    await postgres.close();
  });

  async function expectCheap<Row, Values extends readonly SqlValue[]>(
    statement: Statement<Row, Values>,
    values: NoInfer<Values>,
    maxRows: number,
  ): Promise<void> {
    const { text, rowsRead } = await planOf(database, statement, values);
    expect(text).not.toMatch(new RegExp(`(Seq|Bitmap Heap) Scan ${table}$`, "m"));
    expect(rowsRead).toBeLessThanOrEqual(maxRows);
  }

  const common = () => [epoch, maxScanned, 500, 1_000_000, 100_000, true] as const;
  const ids = Array.from({ length: 500 }, (_, index) => String(700_001 + index).padStart(26, "0"));

  test("a look at what is held costs what it looks at", async () => {
    await expectCheap(
      claimNew(form, names),
      [...common(), fromTheStart.createdAt, fromTheStart.id],
      maxScanned * perLookedRow,
    );
  }, 30_000);

  test("a look at the end finds what may go, and reads nothing of what is before it", async () => {
    const [last] = (await admin.list({ states: [0], group: "g0", limit: 1_000, after: null })).rows.slice(-1);
    const statement = claimNew(form, names);
    await expectCheap(statement, [...common(), last?.position.createdAt ?? "", last?.position.id ?? ""], 3_000);
    const claim = { epoch, which: "new", maxRows: 500, maxBytes: 1_000_000, payloadMaxBytes: 100_000 } as const;
    const answer = await admin.source.claim({
      ...claim,
      after: last?.position ?? null,
      maxScanned,
      maxRetries: 10,
      blockOnError: false,
    });
    expect(answer).toMatchObject({ kind: "claimed", rows: { length: 100 } });
    await admin.source.recover(0);
  }, 30_000);

  test("retries are found without looking at what has none left", async () => {
    await expectCheap(claimRetries(form, names), [...common(), 10], 100 * perLookedRow * 2);
  }, 30_000);

  test("outcomes, releases and the deletion of what is finished cost their own rows", async () => {
    await expectCheap(statements.done, [ids], 3 * ids.length);
    await expectCheap(statements.release, [ids], 3 * ids.length);
    const others = ids.map((id) => ({ id, status: "3", error: "no", retries: 1 }));
    await expectCheap(statements.others, [toJsonRows(others)], 3 * ids.length);
    await expectCheap(statements.recover, [300_000], 100);
    await expectCheap(statements.deleteFinished, [0, 500], 3 * 500);
    await expectCheap(statements.counts, [10, outboxCountedTo], 5 * outboxCountedTo);
  }, 30_000);
});
