import { Database } from "bun:sqlite";
import { afterEach, expect, test } from "bun:test";
import { join } from "node:path";
import {
  createOutbox,
  type OutboxAuditLog,
  type OutboxEvent,
  type OutboxJob,
  sqliteDriver,
} from "@flowcatalyst/sdk/outbox";
import { openOutboxAt } from "../../packages/server/src/main/outbox-source-at.ts";
import { callApi } from "../harness/api.ts";
import { eventually } from "../harness/eventually.ts";
import { createSandbox } from "../harness/sandbox.ts";

/** What the SDK writes is what the platform takes: entries with all their members, through a real processor. */
let sandbox = createSandbox();
afterEach(async () => {
  await sandbox.end();
  sandbox = createSandbox();
});

const timeLimitMs = 60_000;
const text = "Žluťoučký 🐎 'quoted' \\ \u2028";

test(
  "entries of all kinds with all their members arrive",
  async () => {
    const file = join(sandbox.dataDir(), "shop.db");
    const url = `sqlite:${file}`;
    const table = await openOutboxAt({ outboxDbUrl: url, outboxMode: "platform", outboxTable: undefined });
    sandbox.defer(() => table.source.close());
    await table.init();
    const receiver = sandbox.receiver();
    const server = await sandbox.start({ env: { FC_OUTBOX_DB_URL: url } });

    const event: Required<OutboxEvent> = {
      type: "order.paid",
      source: "shop",
      specVersion: "1.0",
      subject: "order-1",
      time: new Date("2026-01-31T12:00:00.000Z"),
      data: { text },
      dataContentType: "application/json",
      dataSchema: "https://schemas.test/order",
      messageGroup: "order-1",
      correlationId: "correlation",
      causationId: "causation",
      deduplicationId: "own",
      clientId: "cli_0000000000001",
      contextData: [{ key: "region", value: "eu" }],
    };
    const job: Required<Omit<OutboxJob, "eventId" | "subscriptionId" | "secretRef">> = {
      targetUrl: `${receiver.url}/mail`,
      payload: { text },
      contentType: "application/json",
      code: "order-mail",
      clientId: null,
      messageGroup: "order-1",
      mode: "BLOCK_ON_ERROR",
      dispatchPoolId: "default",
      scheduledFor: new Date("2026-01-31T12:00:00.000Z"),
      idempotencyKey: "own",
      headers: { "x-own": "yes" },
      metadata: { region: "eu" },
      timeoutSeconds: 10,
      maxRetries: 1,
      retry: "fast",
      maxAgeSeconds: 3_600,
      legacySignature: false,
    };
    const auditLog: Required<OutboxAuditLog> = {
      entityType: "Order",
      entityId: "1",
      operation: "PayOrder",
      principalId: "eva",
      performedAt: new Date("2026-01-31T12:00:00.000Z"),
      clientId: null,
      messageGroup: "order-1",
      data: { text },
    };

    const db = new Database(file);
    sandbox.defer(() => db.close());
    db.run("PRAGMA busy_timeout = 5000");
    const outbox = createOutbox(sqliteDriver(), { source: "shop" });
    const pay = db.transaction(() => [
      ...outbox.enqueue(db, [event, { type: "order.sent" }]),
      ...outbox.enqueueJobs(db, [job, { targetUrl: `${receiver.url}/mail`, payload: "text" }]),
      ...outbox.enqueueAuditLogs(db, [auditLog, { entityType: "Order", entityId: "2", operation: "PayOrder" }]),
    ]);
    const ids = pay.immediate();

    const rows = await eventually("the rows to be final", async () => {
      const page = await table.list({ states: [1, 2, 3, 4, 5, 6], group: null, limit: 10, after: null });
      return page.rows.length === ids.length ? page.rows : undefined;
    });
    expect(rows.map(({ id, status, error }) => `${id} ${status} ${error}`)).toEqual(ids.map((id) => `${id} 1 null`));
    const jobs = await receiver.received("/mail", 2);
    expect(jobs.map(({ body }) => body).toSorted()).toEqual(["text", JSON.stringify({ text })].toSorted());

    const found = await callApi(server.apiUrl, { method: "GET", path: "/api/audit-logs?entityId=1" });
    expect(found).toMatchObject({
      items: [{ principalId: "eva", performedAt: "2026-01-31T12:00:00.000Z", messageGroup: "order-1", data: { text } }],
    });
  },
  timeLimitMs,
);
