import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { CodedError } from "@flowcatalyst/foundation";
import { setupPlatform, type TestAnswer, type TestPlatform } from "../platform.fixture.ts";

let platform: TestPlatform;
beforeEach(() => {
  platform = setupPlatform();
});
afterEach(() => platform.close());

const cancelled = { entityType: "Order", entityId: "order-7", operation: "CancelOrder" };
const add = (...items: readonly unknown[]): Promise<TestAnswer> =>
  platform.call("POST /api/audit-logs/batch", { items });
const list = (query = ""): Promise<TestAnswer> => platform.call(`GET /api/audit-logs${query}`);

interface Result {
  readonly id?: string;
  readonly status: string;
  readonly error?: string;
}
const resultsOf = (answer: TestAnswer): readonly Result[] => answer.json["results"] as Result[];
const itemsOf = (answer: TestAnswer) => answer.json["items"] as readonly Readonly<Record<string, unknown>>[];

describe("POST /api/audit-logs/batch", () => {
  test("keeps what it is told, and answers by position", async () => {
    const answer = await add(
      {
        ...cancelled,
        id: "0J7TZ5G2K8QXY",
        principalId: "user-3",
        performedAt: "2026-01-31T12:00:00+01:00",
        clientId: "cli_1",
        messageGroup: "order-7",
        data: { reason: "late", amount: 12.5 },
      },
      cancelled,
    );
    expect(answer.status).toBe(200);
    const [full, plain] = resultsOf(answer);
    expect([full?.status, plain?.status]).toEqual(["SUCCESS", "SUCCESS"]);
    expect(full?.id).toStartWith("aud_");
    expect((await platform.call(`GET /api/audit-logs/${full?.id}`)).json).toEqual({
      id: full?.id,
      senderId: "0J7TZ5G2K8QXY",
      entityType: "Order",
      entityId: "order-7",
      operation: "CancelOrder",
      principalId: "user-3",
      performedAt: "2026-01-31T11:00:00.000Z",
      clientId: "cli_1",
      messageGroup: "order-7",
      createdAt: new Date(platform.clock.now()).toISOString(),
      data: { reason: "late", amount: 12.5 },
    });
    const now = new Date(platform.clock.now()).toISOString();
    expect((await platform.call(`GET /api/audit-logs/${plain?.id}`)).json).toMatchObject({
      performedAt: now,
      principalId: null,
      data: null,
    });
  });

  test("a bad item is answered for itself, and the others are kept", async () => {
    const answer = await add(
      cancelled,
      { ...cancelled, entityId: "" },
      { ...cancelled, colour: "red" },
      "text",
      { ...cancelled, performedAt: "yesterday" },
      { ...cancelled, data: "x".repeat(262_144) },
      { ...cancelled, data: { lone: "\ud800" } },
      cancelled,
    );
    const results = resultsOf(answer);
    expect(results.map(({ status }) => status)).toEqual([
      "SUCCESS",
      "BAD_REQUEST",
      "BAD_REQUEST",
      "BAD_REQUEST",
      "BAD_REQUEST",
      "BAD_REQUEST",
      "SUCCESS",
      "SUCCESS",
    ]);
    expect(results[1]?.error).toBe("items[1].entityId must not be empty.");
    expect(results[2]?.error).toBe("items[2].colour is not a known field.");
    expect(results[3]?.error).toBe("items[3] must be an object.");
    expect(results[5]?.error).toBe("items[5].data must be at most 262144 bytes, and has 262146.");
    expect(itemsOf(await list())).toHaveLength(3);
  });

  test("the same id of the sender again adds nothing and is a success with the first one's id", async () => {
    const mine = { ...cancelled, id: "row-1" };
    const [first] = resultsOf(await add(mine));
    const again = resultsOf(await add({ ...cancelled, id: "row-2" }, mine, mine, { ...mine, clientId: "cli_1" }));
    expect(again.map(({ status }) => status)).toEqual(["SUCCESS", "SUCCESS", "SUCCESS", "SUCCESS"]);
    expect([again[1]?.id, again[2]?.id]).toEqual([first?.id, first?.id]);
    expect(again[3]?.id).not.toBe(first?.id);
    expect(itemsOf(await list())).toHaveLength(3);
  });

  test("takes the names other builds use, and JSON in a string", async () => {
    const answer = await add(
      { ...cancelled, performedBy: "user-3", operationData: '{"amount":12345678901234567890}' },
      { ...cancelled, data: "just text" },
    );
    const [first, second] = resultsOf(answer);
    const read = await platform.call(`GET /api/audit-logs/${first?.id}`);
    expect(read.json["principalId"]).toBe("user-3");
    expect(read.text).toEndWith('"data":{"amount":12345678901234567890}}');
    expect((await platform.call(`GET /api/audit-logs/${second?.id}`)).json["data"]).toBe("just text");
  });

  test("what the store cannot take now fails in a way that may be sent again", async () => {
    const { auditLogs } = platform.store;
    const full = { ...auditLogs, append: () => Promise.reject(new CodedError("STORE_FULL")) };
    const broken = setupPlatform({}, { auditLogs: full });
    const answer = await broken.call("POST /api/audit-logs/batch", { items: [cancelled, {}, cancelled] });
    expect(resultsOf(answer).map(({ status }) => status)).toEqual(["INTERNAL_ERROR", "BAD_REQUEST", "INTERNAL_ERROR"]);
    await broken.close();
  });

  test("one that cannot be stored fails only itself, and those behind it in its group", async () => {
    const { auditLogs } = platform.store;
    const picky: typeof auditLogs = {
      ...auditLogs,
      append: (logs) =>
        logs.some(({ operation }) => operation === "Poison")
          ? Promise.reject(new Error("the store chokes on it"))
          : auditLogs.append(logs),
    };
    const flaky = setupPlatform({}, { auditLogs: picky });
    const items = [
      { ...cancelled, messageGroup: "a" },
      { ...cancelled, messageGroup: "a", operation: "Poison" },
      { ...cancelled, messageGroup: "a" },
      { ...cancelled, messageGroup: "b" },
      cancelled,
    ];
    const results = resultsOf(await flaky.call("POST /api/audit-logs/batch", { items }));
    expect(results.map(({ status }) => status)).toEqual([
      "SUCCESS",
      "INTERNAL_ERROR",
      "INTERNAL_ERROR",
      "SUCCESS",
      "SUCCESS",
    ]);
    expect(results[2]?.error).toStartWith("An earlier item of the same group failed");
    expect(results[1]?.error).toBe("An unexpected error occurred.");
    await flaky.close();
  });

  test("refuses a body that is no list of items, and one that is too long", async () => {
    const post = (body: unknown) => platform.call("POST /api/audit-logs/batch", body);
    expect(await post({})).toMatchObject({ status: 400, faults: [{ path: "items", message: "is required" }] });
    expect(await post({ items: [] })).toMatchObject({ status: 400, faults: [{ path: "items" }] });
    expect(await post({ items: {}, logs: [] })).toMatchObject({ status: 400, code: "VALIDATION_FAILED" });
    expect(await post({ items: [cancelled], logs: [] })).toMatchObject({ status: 400, code: "UNKNOWN_FIELD" });
    expect(await post([cancelled])).toMatchObject({ status: 400 });
    const many = Array.from({ length: 501 }, () => cancelled);
    expect(await post({ items: many })).toMatchObject({ status: 413, code: "BATCH_TOO_LARGE" });
    const large = { ...cancelled, data: "x".repeat(250_000) };
    expect(await post({ items: Array.from({ length: 136 }, () => large) })).toMatchObject({
      status: 413,
      code: "PAYLOAD_TOO_LARGE",
    });
    expect(itemsOf(await list())).toEqual([]);
  });

  test("is repeated under its Idempotency-Key", async () => {
    const post = () => platform.call("POST /api/audit-logs/batch", { items: [cancelled] }, { "idempotency-key": "k" });
    const [first, again] = [await post(), await post()];
    expect(again.text).toBe(first.text);
    expect(itemsOf(await list())).toHaveLength(1);
  });
});

describe("GET /api/audit-logs", () => {
  test("pages from the newest to the oldest, filtered", async () => {
    await add(...Array.from({ length: 5 }, (_, n) => ({ ...cancelled, entityId: `order-${n}`, principalId: "ann" })));
    await add({ ...cancelled, clientId: "cli_1", entityType: "Invoice", operation: "Send" });
    const first = await list("?limit=4");
    expect(itemsOf(first).map(({ entityId }) => entityId)).toEqual(["order-7", "order-4", "order-3", "order-2"]);
    const second = await list(`?limit=4&cursor=${String(first.json["nextCursor"])}`);
    expect(itemsOf(second).map(({ entityId }) => entityId)).toEqual(["order-1", "order-0"]);
    expect(second.json["nextCursor"]).toBeUndefined();
    const counts = await Promise.all(
      [
        "?entityType=Order&entityId=order-3",
        "?principalId=ann",
        "?clientId=cli_1",
        "?clientId=null",
        "?operation=Send",
        "?entityType=Invoice&principalId=ann",
      ].map(async (query) => itemsOf(await list(query)).length),
    );
    expect(counts).toEqual([1, 5, 1, 5, 1, 0]);
  });

  test("refuses what it does not know", async () => {
    expect(await list("?entity=7")).toMatchObject({ status: 400, code: "UNKNOWN_FIELD" });
    expect(await list("?cursor=nonsense")).toMatchObject({ status: 400, code: "CURSOR_INVALID" });
    expect(await platform.call("GET /api/audit-logs/aud_none")).toMatchObject({ status: 404, code: "NOT_FOUND" });
    expect(await platform.call("DELETE /api/audit-logs/aud_none")).toMatchObject({ status: 405 });
  });
});
