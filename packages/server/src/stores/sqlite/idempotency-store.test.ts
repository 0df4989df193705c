import { describe, expect, test } from "bun:test";
import { describeIdempotencyConformance } from "../../ports/idempotency.conformance.ts";
import { createIdempotencyStore, dropReservations, expireIdempotencyKeys } from "./idempotency-store.ts";
import { openTestDatabase } from "./sqlite-store.fixture.ts";

describeIdempotencyConformance("sqlite", async () => {
  const store = openTestDatabase();
  return { idempotency: createIdempotencyStore(store), close: store.close };
});

describe("sqlite idempotency store", () => {
  test("reservations of a dead process go at start, answers stay", async () => {
    const store = openTestDatabase();
    const idempotency = createIdempotencyStore(store);
    await idempotency.begin("answered", "d", 0);
    await idempotency.complete("answered", { status: 200, headers: {}, body: "" });
    await idempotency.begin("begun", "d", 0);
    dropReservations(store.database);
    expect(await idempotency.begin("begun", "d", 0)).toEqual({ kind: "fresh" });
    expect(await idempotency.begin("answered", "d", 0)).toMatchObject({ kind: "repeat" });
    await store.close();
  });

  test("old keys go in steps, the oldest first", async () => {
    const store = openTestDatabase();
    const idempotency = createIdempotencyStore(store);
    for (let n = 0; n < 5; n++) await idempotency.begin(`k${n}`, "d", n);
    const expire = (): number =>
      store.database.transaction(() => expireIdempotencyKeys(store.database, 86_400_000 + 3, 3));
    expect([expire(), expire(), expire()]).toEqual([3, 1, 0]);
    const left = store.database.statement("SELECT key FROM idempotency_keys").all();
    expect(left).toEqual([{ key: "k4" }]);
    await store.close();
  });
});
