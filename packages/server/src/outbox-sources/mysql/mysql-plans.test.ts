import { afterEach, beforeEach, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { createConnection, type Connection } from "mysql2/promise";
import { describeWith, testMariadbUrl } from "../../ports/needs-services.fixture.ts";
import type { OutboxAdmin, OutboxClaim } from "../../ports/outbox-source.ts";
import { openMysqlOutbox } from "./index.ts";
import { claimRows } from "./mysql-claims.ts";
import { createMysqlDatabase, numberIn, type MysqlDatabase, type MysqlSession } from "./mysql-database.ts";
import { mysqlTable } from "./mysql-ddl.ts";

/**
 * What claims read: as the server counts the rows it touched. Beside what is free there are rows that nobody may have
 * yet, that are finished, and that have no retries left, many of each; a look costs by what it looks at.
 */
const many = 50_000;
const maxScanned = 500;
const readsPerScanned = 12;
const setupTimeoutMs = 120_000;

describeWith(["mariadb"], "reads of claims on MariaDB", () => {
  const name = `fc_${randomBytes(6).toString("hex")}`;
  const table = mysqlTable("platform", "outbox_messages");
  let application: Connection;
  let admin: OutboxAdmin;
  let database: MysqlDatabase;

  beforeEach(async () => {
    application = await createConnection({ uri: testMariadbUrl ?? "" });
    await application.query(`CREATE DATABASE ${name}`);
    await application.query(`USE ${name}`);
    const url = new URL(testMariadbUrl ?? "");
    url.pathname = `/${name}`;
    admin = await openMysqlOutbox({ url: url.href, form: "platform", table: "outbox_messages" });
    database = createMysqlDatabase(url.href);
    await admin.init();
    await fill("('0held', 'EVENT', 'held', '{}', 3, 10)");
    await fillMany("CONCAT('1', LPAD(seq, 12, '0')), 'EVENT', 'held', '{}', 0, 0");
    await fillMany("CONCAT('2', LPAD(seq, 12, '0')), 'EVENT', CONCAT('g', seq % 500), '{}', 1, 0");
    await fillMany("CONCAT('3', LPAD(seq, 12, '0')), 'EVENT', CONCAT('x', seq), '{}', 3, 10");
    await fillMany("CONCAT('4', LPAD(seq, 12, '0')), 'EVENT', CONCAT('f', seq % 100), '{}', 0, 0");
  }, setupTimeoutMs);

  afterEach(async () => {
    await database.close();
    await admin.source.close();
    await application.query(`DROP DATABASE ${name}`);
    await application.end();
  });

  const insert = "INSERT INTO outbox_messages (id, type, message_group, payload, status, retry_count)";
  const fill = async (values: string): Promise<void> => {
    await application.query(`${insert} VALUES ${values}`);
  };
  const fillMany = async (values: string): Promise<void> => {
    await application.query(`${insert} SELECT ${values} FROM seq_1_to_${many}`);
  };

  const claim: OutboxClaim = {
    epoch: 0,
    which: "new",
    maxRows: maxScanned,
    maxBytes: 1_000_000,
    payloadMaxBytes: 10_000,
    after: null,
    maxScanned,
    maxRetries: 10,
    blockOnError: true,
  };

  async function readsOf(session: MysqlSession, work: () => Promise<unknown>): Promise<number> {
    await session.run("FLUSH STATUS");
    await work();
    const rows = await session.rows("SHOW SESSION STATUS LIKE 'Handler_read%'");
    return rows.reduce((sum, row) => sum + numberIn(row, "Value"), 0);
  }

  test(
    "are bounded by what is looked at: held rows, retries, free rows",
    async () => {
      await database.transaction(async (session) => {
        const held = await readsOf(session, async () => {
          const answer = await claimRows(session, table, claim);
          expect(answer).toMatchObject({ rows: [], passedOver: maxScanned });
        });
        expect(held).toBeLessThan(maxScanned * readsPerScanned);
        const retries = await readsOf(session, async () => {
          expect((await claimRows(session, table, { ...claim, which: "retries" })).rows).toEqual([]);
        });
        expect(retries).toBeLessThan(maxScanned);
        const [last] = (await admin.list({ states: [0], group: "f1", limit: 1, after: null })).rows;
        const free = await readsOf(session, async () => {
          const answer = await claimRows(session, table, { ...claim, after: last?.position ?? null });
          expect(answer.rows.length + answer.passedOver).toBe(maxScanned);
          expect(answer.rows.length).toBeGreaterThan(0);
        });
        expect(free).toBeLessThan(maxScanned * readsPerScanned);
      });
    },
    setupTimeoutMs,
  );
});
