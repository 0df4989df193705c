import { afterEach, beforeEach, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { createConnection, type Connection } from "mysql2/promise";
import { describeWith, testMariadbUrl } from "../../ports/needs-services.fixture.ts";
import type { OutboxAdmin, OutboxClaim } from "../../ports/outbox-source.ts";
import { openMysqlOutbox } from "./index.ts";

const table = "outbox_messages";

function claimOf(epoch: number, maxRows: number): OutboxClaim {
  const sizes = { maxRows, maxBytes: 1_000_000, payloadMaxBytes: 100_000, maxScanned: 100 };
  return { epoch, which: "new", after: null, maxRetries: 10, blockOnError: true, ...sizes };
}

describeWith(["mariadb"], "an outbox on MariaDB", () => {
  let name: string;
  let application: Connection;
  let admin: OutboxAdmin;

  beforeEach(async () => {
    name = `fc_${randomBytes(6).toString("hex")}`;
    application = await createConnection({ uri: testMariadbUrl ?? "" });
    await application.query(`CREATE DATABASE ${name}`);
    await application.query(`USE ${name}`);
    const url = new URL(testMariadbUrl ?? "");
    url.pathname = `/${name}`;
    admin = await openMysqlOutbox({ url: url.href, form: "platform", table });
    await admin.init();
  });
  afterEach(async () => {
    await admin.source.close();
    await application.query(`DROP DATABASE ${name}`);
    await application.end();
  });

  test("a row in progress that the application has locked is told, and holds up no other row's result", async () => {
    const { source } = admin;
    for (const id of ["1", "2"])
      await application.query(`INSERT INTO ${table} SET ?`, [{ id, type: "EVENT", payload: "{}" }]);
    const { epoch } = (await source.lease.acquire("one", 600_000)) ?? { epoch: 0 };
    const claimed = await source.claim(claimOf(epoch, 10));
    const rows = claimed.kind === "claimed" ? claimed.rows : [];
    await application.query("START TRANSACTION");
    await application.query(`SELECT * FROM ${table} WHERE id = '1' FOR UPDATE`);
    const done = rows.map(({ id }) => ({ kind: "done", id }) as const);
    expect((await source.settle(done)).map(String)).toEqual(["1"]);
    expect((await source.release(rows)).map(String)).toEqual(["1"]);
    expect(await source.recover(0)).toBe(0);
    await application.query("COMMIT");
    expect(await source.settle(done)).toEqual([]);
    expect((await admin.list({ states: [1], group: null, limit: 10, after: null })).rows).toHaveLength(2);
  });

  test("groups that a collation holds for one are held each, in a table that init did not make", async () => {
    const { source } = admin;
    await application.query(`ALTER TABLE ${table} CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci`);
    for (const [index, group] of ["a", "A", "a", "A", "other"].entries()) {
      const row = { id: String(index + 1), type: "EVENT", message_group: group, payload: "{}" };
      await application.query(`INSERT INTO ${table} SET ?`, [row]);
    }
    const { epoch } = (await source.lease.acquire("one", 600_000)) ?? { epoch: 0 };
    expect(await source.claim(claimOf(epoch, 1))).toMatchObject({ rows: [{ id: "1" }] });
    expect(await source.claim(claimOf(epoch, 10))).toMatchObject({ rows: [{ id: "5" }], passedOver: 3 });
  });

  test("a row without a time, which a table of the application's own lets it write, gets one and is sent", async () => {
    const { source } = admin;
    await application.query(`ALTER TABLE ${table} MODIFY created_at DATETIME(6) NULL`);
    await application.query(`INSERT INTO ${table} SET ?`, [
      { id: "1", type: "EVENT", payload: "{}", created_at: null },
    ]);
    const { epoch } = (await source.lease.acquire("one", 600_000)) ?? { epoch: 0 };
    expect(await source.recover(300_000)).toBe(0);
    expect(await source.claim(claimOf(epoch, 10))).toMatchObject({ rows: [{ id: "1" }] });
  });
});
