import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { adHoc } from "../../postgres/statement.ts";
import { describeWithPostgres } from "../../postgres/test-database.fixture.ts";
import { describeIdempotencyConformance } from "../../ports/idempotency.conformance.ts";
import type { IdempotencyStore } from "../../ports/idempotency.ts";
import { createIdempotencyStore, expireIdempotencyKeys, idempotencyLimits } from "./idempotency-store.ts";
import { openTestStore, type TestStoreDatabase } from "./postgres-store.fixture.ts";

/** Time is what the callers say it is, so the database's passes with theirs. */
function followingItsCallers(store: TestStoreDatabase): IdempotencyStore {
  const idempotency = createIdempotencyStore(store);
  let latestMs: number | undefined;
  return {
    ...idempotency,
    begin: async (key, bodyDigest, nowMs) => {
      const passedMs = nowMs - (latestMs ?? nowMs);
      latestMs = nowMs;
      if (passedMs > 0) await store.advance(passedMs);
      return idempotency.begin(key, bodyDigest, nowMs);
    },
  };
}

describeWithPostgres("postgres idempotency store", () => {
  describeIdempotencyConformance("postgres", async () => {
    const store = await openTestStore();
    return { idempotency: followingItsCallers(store), close: store.close };
  });

  describe("several instances", () => {
    let store: TestStoreDatabase;
    beforeEach(async () => {
      store = await openTestStore();
    });
    afterEach(() => store.close());
    const answer = (body: string) => ({ status: 200, headers: {}, body });

    test("one whose clock is a day ahead does not take a request for abandoned, or an answer for old", async () => {
      const [here, ahead] = [createIdempotencyStore(store), createIdempotencyStore({ database: store.open() })];
      const nowMs = store.clock.now();
      await here.begin("k", "d", nowMs);
      expect(await ahead.begin("k", "d", nowMs + 86_400_000)).toEqual({ kind: "inProgress" });
      await here.complete("k", answer("first"));
      expect(await ahead.begin("k", "d", nowMs + 86_400_000)).toMatchObject({ kind: "repeat" });
    });

    test("what a dead process had begun is free after a while; an answer that comes late changes nothing", async () => {
      const idempotency = createIdempotencyStore(store);
      await idempotency.begin("k", "d", 0);
      await store.advance(idempotencyLimits.reservationMaxMs);
      expect(await idempotency.begin("k", "d", 0)).toEqual({ kind: "fresh" });
      await idempotency.complete("k", answer("second"));
      await idempotency.complete("k", answer("late"));
      expect(await idempotency.begin("k", "d", 0)).toMatchObject({ answer: { body: "second" } });
    });

    test("old keys go in steps, the oldest first", async () => {
      const idempotency = createIdempotencyStore(store);
      for (let n = 0; n < 5; n++) {
        await idempotency.begin(`k${n}`, "d", 0);
        await idempotency.complete(`k${n}`, answer(""));
        await store.advance(1_000);
      }
      await store.advance(idempotencyLimits.answerKeptMs - 1_500);
      const expire = () => expireIdempotencyKeys(store.database, 3);
      expect([await expire(), await expire(), await expire()]).toEqual([3, 1, 0]);
      const left = adHoc<{ key: string }, []>("SELECT key FROM idempotency_keys");
      expect(await store.database.query(left, [])).toEqual([{ key: "k4" }]);
    });
  });
});
