import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { MongoClient } from "mongodb";
import { describeWith, testMongoUrl } from "../../ports/needs-services.fixture.ts";
import type { OutboxClaim } from "../../ports/outbox-source.ts";
import { openMongoOutbox } from "./index.ts";

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
});
