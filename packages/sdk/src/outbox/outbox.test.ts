import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  createOutbox,
  type Outbox,
  type OutboxDriver,
  type OutboxEvent,
  outboxLimits,
  type OutboxOptions,
  type OutboxRow,
  type SyncOutboxDriver,
} from "@flowcatalyst/sdk/outbox";

/** The transaction is the list that the rows end in. */
type Rows = OutboxRow[];
const driver: OutboxDriver<Rows> = { kind: "async", insert: async (tx, _table, rows) => void tx.push(...rows) };
const syncDriver: SyncOutboxDriver<Rows> = { kind: "sync", insert: (tx, _table, rows) => void tx.push(...rows) };

const now = Date.UTC(2026, 0, 31, 12);

function setup(options: OutboxOptions = {}): { readonly outbox: Outbox<Rows>; readonly tx: Rows } {
  return { outbox: createOutbox(driver, { source: "shop", now: () => now, ...options }), tx: [] };
}

const payloadsOf = (rows: Rows): unknown[] => rows.map(({ payload }) => JSON.parse(payload));

describe("rows", () => {
  test("of an event: group and client in columns, the rest in the payload, with its time", async () => {
    const { outbox, tx } = setup({ clientId: "cli_1" });
    const ids = await outbox.enqueue(tx, { type: "order.paid", messageGroup: "order-1", data: { total: 1 } });
    const payload = { type: "order.paid", data: { total: 1 }, source: "shop", time: "2026-01-31T12:00:00.000Z" };
    assert.deepEqual(payloadsOf(tx), [payload]);
    const { payload: text, ...columns } = tx[0] ?? assert.fail();
    const [id] = ids;
    const expected = { id, type: "EVENT", messageGroup: "order-1", clientId: "cli_1", payloadSize: text.length };
    assert.deepEqual(columns, expected);
    assert.match(id ?? "", /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/);
  });

  test("of a job and of an audit log", async () => {
    const { outbox, tx } = setup();
    const scheduledFor = new Date(now + 1_000);
    await outbox.enqueueJobs(tx, { targetUrl: "https://a.test/", payload: "text", messageGroup: "g", scheduledFor });
    await outbox.enqueueAuditLogs(tx, { entityType: "Order", entityId: "1", operation: "Paid", principalId: "eva" });
    assert.deepEqual(
      tx.map(({ type, messageGroup }) => [type, messageGroup]),
      [
        ["DISPATCH_JOB", "g"],
        ["AUDIT_LOG", null],
      ],
    );
    assert.deepEqual(payloadsOf(tx), [
      { targetUrl: "https://a.test/", payload: "text", scheduledFor: "2026-01-31T12:00:01.000Z" },
      {
        entityType: "Order",
        entityId: "1",
        operation: "Paid",
        principalId: "eva",
        performedAt: "2026-01-31T12:00:00.000Z",
      },
    ]);
  });

  test("what the entry says goes before what the outbox says; null is of the platform", async () => {
    const { outbox, tx } = setup({ clientId: "cli_1" });
    const time = "2026-01-01T00:00:00+01:00";
    await outbox.enqueue(tx, [
      { type: "a", source: "other", clientId: "cli_2", time, deduplicationId: "mine" },
      { type: "b", clientId: null },
    ]);
    assert.deepEqual(
      tx.map(({ clientId }) => clientId),
      ["cli_2", null],
    );
    assert.deepEqual(payloadsOf(tx)[0], { type: "a", source: "other", time, deduplicationId: "mine" });
  });

  test("ids rise over calls, and are answered in order", async () => {
    const { outbox, tx } = setup();
    const first = await outbox.enqueue(tx, [{ type: "a" }, { type: "b" }]);
    const second = await outbox.enqueue(tx, { type: "c" });
    const ids = [...first, ...second];
    assert.deepEqual(
      tx.map(({ id }) => id),
      ids,
    );
    assert.deepEqual(ids.toSorted(), ids);
  });

  test("ids rise over the outboxes of a program", async () => {
    const [orders, mails] = [createOutbox(driver, { source: "orders" }), createOutbox(driver, { source: "mails" })];
    const tx: Rows = [];
    for (let round = 0; round < 50; round += 1) {
      await orders.enqueue(tx, { type: "a", messageGroup: "g" });
      await mails.enqueue(tx, { type: "b", messageGroup: "g" });
    }
    const ids = tx.map(({ id }) => id);
    assert.deepEqual(ids.toSorted(), ids);
    assert.equal(new Set(ids).size, 100);
  });

  test("data is as JSON writes it", async () => {
    const { outbox, tx } = setup();
    const data = { nan: Number.NaN, nothing: undefined, date: new Date(now), half: "\ud800" };
    await outbox.enqueue(tx, { type: "a", data });
    const { payload } = tx[0] ?? assert.fail();
    assert.match(payload, /"data":\{"nan":null,"date":"2026-01-31T12:00:00\.000Z","half":"\\ud800"\}/);
  });

  test("bytes are counted, not characters", async () => {
    const { outbox, tx } = setup();
    await outbox.enqueue(tx, { type: "a", data: "🐎" });
    assert.equal(tx[0]?.payloadSize, Buffer.byteLength(tx[0]?.payload ?? ""));
  });

  test("an empty list writes nothing; ids may be the application's own", async () => {
    let count = 0;
    const { outbox, tx } = setup({ nextId: () => `own-${++count}` });
    assert.deepEqual(await outbox.enqueue(tx, []), []);
    assert.deepEqual(await outbox.enqueue(tx, { type: "a" }), ["own-1"]);
    assert.equal(tx.length, 1);
  });

  test("a synchronous driver answers at once", () => {
    const tx: Rows = [];
    const outbox = createOutbox(syncDriver, { source: "shop" });
    assert.equal(outbox.enqueue(tx, { type: "a" }).length, 1);
    assert.throws(() => outbox.enqueue(tx, { type: "" }), TypeError);
    assert.equal(tx.length, 1);
  });
});

describe("refused, with the place, and nothing written", () => {
  const long = (chars: number): string => "x".repeat(chars);
  const circle: Record<string, unknown> = {};
  circle["self"] = circle;
  const cases: readonly { readonly event: object; readonly path: string; readonly fault: ErrorConstructor }[] = [
    { event: { type: "" }, path: "type", fault: TypeError },
    { event: { type: 1 }, path: "type", fault: TypeError },
    { event: { type: long(256) }, path: "type", fault: RangeError },
    { event: { type: "a", source: "" }, path: "source", fault: TypeError },
    { event: { type: "a", subject: long(1_025) }, path: "subject", fault: RangeError },
    { event: { type: "a", time: "yesterday" }, path: "time", fault: TypeError },
    { event: { type: "a", time: new Date(Number.NaN) }, path: "time", fault: TypeError },
    { event: { type: "a", time: "2026-01-31" }, path: "time", fault: TypeError },
    { event: { type: "a", time: "Jan 31 2026 12:00 UTC" }, path: "time", fault: TypeError },
    { event: { type: "a", time: new Date(Date.UTC(10_000, 0)) }, path: "time", fault: TypeError },
    { event: { type: "a", dataContentType: "text/plain\n" }, path: "dataContentType", fault: TypeError },
    { event: { type: "a", dataSchema: "" }, path: "dataSchema", fault: TypeError },
    { event: { type: "a", contextData: {} }, path: "contextData", fault: TypeError },
    { event: { type: "a", contextData: [{ key: "", value: "x" }] }, path: "contextData[0].key", fault: TypeError },
    { event: { type: "a", contextData: [{ key: "x", value: 1 }] }, path: "contextData[0].value", fault: TypeError },
    { event: { type: "a", messageGroup: "" }, path: "messageGroup", fault: TypeError },
    { event: { type: "a", messageGroup: long(256) }, path: "messageGroup", fault: RangeError },
    { event: { type: "a", messageGroup: "a\0b" }, path: "messageGroup", fault: TypeError },
    { event: { type: "a", messageGroup: "\ud800" }, path: "messageGroup", fault: TypeError },
    { event: { type: "a", clientId: long(27) }, path: "clientId", fault: RangeError },
    { event: { type: "a", deduplicationId: long(256) }, path: "deduplicationId", fault: RangeError },
    { event: { type: "a", data: circle }, path: "data", fault: TypeError },
    { event: { type: "a", data: () => 1 }, path: "data", fault: TypeError },
    { event: { type: "a", data: Symbol("a") }, path: "data", fault: TypeError },
    { event: { type: "a", data: 1n }, path: "data", fault: TypeError },
    { event: { type: "a", data: long(outboxLimits.dataMaxBytes + 1) }, path: "data", fault: RangeError },
    { event: { type: "a", group: "a" }, path: "group", fault: TypeError },
  ];
  for (const { event, path, fault } of cases) {
    test(`${path}: ${JSON.stringify(event, (_, value: unknown) => shown(value)).slice(0, 60)}`, async () => {
      const { outbox, tx } = setup();
      const events = [{ type: "good" }, event as OutboxEvent];
      await assert.rejects(outbox.enqueue(tx, events), (error) => {
        assert.ok(error instanceof fault, String(error));
        assert.ok(error.message.startsWith(`events[1].${path}: `), error.message);
        return true;
      });
      assert.deepEqual(tx, []);
    });
  }

  test("data of the largest size passes", async () => {
    const { outbox, tx } = setup();
    await outbox.enqueue(tx, { type: "a", data: "x".repeat(outboxLimits.dataMaxBytes) });
    assert.equal(tx.length, 1);
  });

  test("a source that nobody gives, a job without payload, an audit log without its entity", async () => {
    const { outbox, tx } = setup({ source: undefined });
    await assert.rejects(outbox.enqueue(tx, { type: "a" }), /^TypeError: event\.source: must be given/);
    const job = { targetUrl: "https://a.test/", payload: undefined };
    await assert.rejects(outbox.enqueueJobs(tx, job), /^TypeError: job\.payload: must be given/);
    const auditLog = { entityType: "Order", entityId: "", operation: "Paid" };
    await assert.rejects(outbox.enqueueAuditLogs(tx, auditLog), /^TypeError: auditLog\.entityId: must be given/);
  });

  test("what no request could carry, what no column holds", async () => {
    const { outbox, tx } = setup();
    const job = { targetUrl: "https://a.test/", payload: 1 };
    await assert.rejects(
      outbox.enqueueJobs(tx, { ...job, targetUrl: "https://a.test/ b" }),
      /^TypeError: job\.targetUrl: /,
    );
    await assert.rejects(outbox.enqueueJobs(tx, { ...job, contentType: "é" }), /^TypeError: job\.contentType: /);
    await assert.rejects(outbox.enqueueJobs(tx, { ...job, code: "" }), /^TypeError: job\.code: /);
    const { outbox: other } = setup({ nextId: () => "x".repeat(27) });
    await assert.rejects(other.enqueue(tx, { type: "a" }), /^RangeError: event: its id: 27 characters/);
    assert.deepEqual(tx, []);
  });

  test("more entries than a call takes", async () => {
    const { outbox, tx } = setup();
    const events = Array.from({ length: outboxLimits.entriesMax + 1 }, () => ({ type: "a" }));
    await assert.rejects(outbox.enqueue(tx, events), RangeError);
    assert.deepEqual(tx, []);
  });

  test("a table's name that would have to be quoted", () => {
    for (const table of ["a.b.c", "outbox; DROP TABLE orders", "", 'a"b', "1a"]) {
      assert.throws(() => createOutbox(driver, { table }), TypeError);
    }
    for (const table of ["outbox_messages", "app.outbox_messages"]) createOutbox(driver, { table });
  });
});

/** What JSON cannot carry, for the names of tests. */
function shown(value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  return typeof value === "object" && value !== null && "self" in value ? "a circle" : value;
}

test("events of a map of types carry their own data", async () => {
  interface Shop {
    "order.paid": { total: number };
    "order.sent": { parcel: string };
  }
  const { outbox, tx } = setup();
  const shop = outbox.withEventTypes<Shop>();
  await shop.enqueue(tx, [
    { type: "order.paid", data: { total: 1 } },
    { type: "order.sent", data: { parcel: "p" } },
  ]);
  assert.equal(tx.length, 2);
  type Taken = Parameters<typeof shop.enqueue>[1];
  const refused: { type: "order.paid"; data: { parcel: string } } extends Taken ? false : true = true;
  const unknown: { type: "order.lost"; data: unknown } extends Taken ? false : true = true;
  assert.ok(refused && unknown);
});
