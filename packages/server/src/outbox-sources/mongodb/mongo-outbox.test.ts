import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { MongoClient } from "mongodb";
import { describeWith, testMongoUrl } from "../../ports/needs-services.fixture.ts";
import type { OutboxClaim } from "../../ports/outbox-source.ts";
import { openMongoOutbox } from "./index.ts";
import type { RowDocument } from "./mongo-database.ts";

const table = "outbox_messages";

function claimOf(epoch: number): OutboxClaim {
  const sizes = { maxRows: 10, maxBytes: 1_000_000, payloadMaxBytes: 100_000, maxScanned: 100 };
  return { epoch, which: "new", after: null, maxRetries: 10, blockOnError: true, ...sizes };
}

describeWith(["mongodb"], "an outbox on MongoDB", () => {
  test("a claim that a killed process left behind does not keep the next leader waiting", async () => {
    const url = new URL(testMongoUrl ?? "");
    url.pathname = `/fc_${randomBytes(6).toString("hex")}`;
    const application = await new MongoClient(url.href).connect();
    const database = application.db();
    const { source, init } = await openMongoOutbox({ url: url.href, form: "platform", table });
    await init();
    const first = (await source.lease.acquire("one", 600_000))?.epoch ?? 0;
    expect(await source.claim(claimOf(first))).toMatchObject({ kind: "claimed", rows: [] });
    await database.collection(`${table}_control`).updateOne({}, { $currentDate: { claim_at: true } });
    await source.lease.release("one");
    const row = { type: "EVENT", message_group: "a", payload: "{}", status: 0, created_at: new Date() };
    await database.collection<{ _id: string }>(table).insertOne({ _id: "1", ...row });
    const next = (await source.lease.acquire("two", 600_000))?.epoch ?? 0;
    expect(await source.claim(claimOf(next))).toMatchObject({ kind: "claimed", rows: [{ id: "1" }] });
    expect(await source.claim(claimOf(first))).toEqual({ kind: "fenced" });
    await source.close();
    await database.dropDatabase();
    await application.close();
  });

  test("a row without a time is sent first, one without a status counts as refused", async () => {
    const url = new URL(testMongoUrl ?? "");
    url.pathname = `/fc_${randomBytes(6).toString("hex")}`;
    const application = await new MongoClient(url.href).connect();
    const database = application.db();
    const admin = await openMongoOutbox({ url: url.href, form: "platform", table });
    await admin.init();
    const row = { type: "EVENT", message_group: "a", payload: "{}" };
    await database.collection<RowDocument>(table).insertMany([
      { _id: "1", ...row, status: 0, created_at: new Date() },
      { _id: "2", ...row, status: 0 },
      { _id: "3", ...row, created_at: new Date() },
    ]);
    const rule = { maxRetries: 10, blockOnError: true };
    const counts = await admin.source.counts(rule);
    expect(counts).toMatchObject({ pending: 2, refused: 1, oldestAgeMs: expect.any(Number) });
    const refused = await admin.list({ states: [2, 5], group: null, limit: 10, after: null });
    expect(refused.rows).toMatchObject([{ id: "3", status: 2 }]);
    const epoch = (await admin.source.lease.acquire("one", 600_000))?.epoch ?? 0;
    expect(await admin.source.claim(claimOf(epoch))).toMatchObject({ rows: [{ id: "2" }, { id: "1" }] });
    await admin.source.close();
    await database.dropDatabase();
    await application.close();
  });
});
