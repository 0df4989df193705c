import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSqliteOutbox } from "./index.ts";

let folder = "";
let path = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "outbox-"));
  path = join(folder, "application.db");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("a file that the application is writing to is waited for, while this thread goes on", async () => {
  const admin = await openSqliteOutbox({ url: `sqlite:${path}`, form: "platform", table: "outbox_messages" });
  await admin.init();
  const application = new Database(path, { readwrite: true });
  application.run("BEGIN IMMEDIATE");
  application.run("INSERT INTO outbox_messages (id, type, payload) VALUES ('1', 'EVENT', '{}')");
  const acquired = admin.source.lease.acquire("one", 10_000);
  // The same thread commits: it would never come to this if it waited inside SQLite.
  application.run("COMMIT");
  expect((await acquired)?.epoch).toBe(1);
  application.close();
  await admin.source.close();
});

test("a file that is not there is waited for, and none is made", async () => {
  const admin = await openSqliteOutbox({ url: `sqlite:${path}`, form: "platform", table: "outbox_messages" });
  const fault: unknown = await admin.source.verify().catch((error: unknown) => error);
  const message = `There is no file ${path}; \`flowcatalyst outbox init\` makes it, with the outbox table`;
  expect(fault).toMatchObject({ code: "STORE_UNAVAILABLE", message });
  await admin.init();
  await admin.source.verify();
  await admin.source.close();
});

test("the older table, which knows no time of its last change, gets one", async () => {
  const application = new Database(path, { create: true });
  application.run(`CREATE TABLE outbox (id TEXT PRIMARY KEY, message_group_id TEXT, deduplication_id TEXT,
    pool_code TEXT, target TEXT, payload TEXT, headers TEXT, created_at TEXT, published_at TEXT, status TEXT,
    retry_count INTEGER, last_error TEXT)`);
  application.run(`INSERT INTO outbox (id, target, payload, created_at, status, retry_count)
    VALUES ('1', 'https://a.test/', '{}', '2026-01-01T00:00:00.000Z', 'PENDING', 0)`);
  const admin = await openSqliteOutbox({ url: `sqlite:${path}`, form: "router", table: "outbox" });
  const fault: unknown = await admin.source.verify().catch((error: unknown) => error);
  expect(fault).toMatchObject({ code: "CONFIG_INVALID" });
  await admin.init();
  await admin.source.verify();
  const page = await admin.list({ states: [0], group: null, limit: 10, after: null });
  expect(page.rows).toMatchObject([{ id: "1", status: 0 }]);
  // Such a table takes rows without time or id: the first is sent, and the other one is refused.
  application.run("INSERT INTO outbox (id, target, payload, status) VALUES ('2', 'https://a.test/', '{}', 'PENDING')");
  application.run(`INSERT INTO outbox (id, target, payload, created_at, status)
    VALUES (NULL, 'https://a.test/', '{}', '2026-01-01T00:00:00.000Z', 'PENDING')`);
  expect(await admin.source.recover(0)).toBe(0);
  const sizes = { maxRows: 10, maxBytes: 1_000_000, payloadMaxBytes: 100_000, maxScanned: 100 };
  const epoch = (await admin.source.lease.acquire("one", 60_000))?.epoch ?? 0;
  const rule = { maxRetries: 10, blockOnError: true };
  const claimed = await admin.source.claim({ epoch, which: "new", after: null, ...rule, ...sizes });
  expect(claimed).toMatchObject({ rows: [{ id: "1" }, { id: "2", retryCount: 0 }] });
  expect(await admin.source.counts(rule)).toMatchObject({ pending: 0, refused: 1 });
  application.close();
  await admin.source.close();
});

test("a time that is none hides no other row's age", async () => {
  const admin = await openSqliteOutbox({ url: `sqlite:${path}`, form: "platform", table: "outbox_messages" });
  await admin.init();
  const application = new Database(path, { readwrite: true });
  const insert = "INSERT INTO outbox_messages (id, type, payload, created_at) VALUES (?, 'EVENT', '{}', ?)";
  for (const [id, at] of ["", "-infinity", "infinity"].entries()) application.run(insert, [String(id), at]);
  const rule = { maxRetries: 10, blockOnError: true };
  expect(await admin.source.counts(rule)).toMatchObject({ pending: 3, oldestAgeMs: null });
  application.run(insert, ["9", "2026-01-01T00:00:00.000Z"]);
  expect((await admin.source.counts(rule)).oldestAgeMs).toBeGreaterThan(0);
  application.close();
  await admin.source.close();
});
