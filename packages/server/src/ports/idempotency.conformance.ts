import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { IdempotencyStore } from "./idempotency.ts";

export interface IdempotencyFixture {
  readonly idempotency: IdempotencyStore;
  close(): Promise<void>;
}

const now = Date.UTC(2026, 0, 1);
const dayMs = 86_400_000;
const answer = { status: 201, headers: { location: "/api/é", "content-type": "application/json" }, body: '{"id":"é"}' };

export function describeIdempotencyConformance(name: string, setup: () => Promise<IdempotencyFixture>): void {
  describe(`${name}: idempotency store`, () => {
    let store: IdempotencyFixture;
    beforeEach(async () => {
      store = await setup();
    });
    afterEach(() => store.close());

    test("the first request is fresh, a repeat gets its answer", async () => {
      expect(await store.idempotency.begin("k", "digest", now)).toEqual({ kind: "fresh" });
      await store.idempotency.complete("k", answer);
      expect(await store.idempotency.begin("k", "digest", now + 1)).toEqual({ kind: "repeat", answer });
      expect(await store.idempotency.begin("k", "digest", now + dayMs - 1)).toEqual({ kind: "repeat", answer });
    });

    test("another body under the same key is a conflict, answered or not", async () => {
      await store.idempotency.begin("k", "digest", now);
      expect(await store.idempotency.begin("k", "other", now)).toEqual({ kind: "conflict" });
      await store.idempotency.complete("k", answer);
      expect(await store.idempotency.begin("k", "other", now)).toEqual({ kind: "conflict" });
    });

    test("a repeat while the first is worked on is told so", async () => {
      await store.idempotency.begin("k", "digest", now);
      expect(await store.idempotency.begin("k", "digest", now + 1)).toEqual({ kind: "inProgress" });
    });

    test("of many at once one is fresh", async () => {
      const states = await Promise.all(Array.from({ length: 50 }, () => store.idempotency.begin("k", "digest", now)));
      expect(states.filter((state) => state.kind === "fresh")).toHaveLength(1);
      expect(states.filter((state) => state.kind === "inProgress")).toHaveLength(49);
    });

    test("what was forgotten is fresh again, with any body", async () => {
      await store.idempotency.begin("k", "digest", now);
      await store.idempotency.forget("k");
      expect(await store.idempotency.begin("k", "other", now)).toEqual({ kind: "fresh" });
    });

    test("an answer is not forgotten by a late forget", async () => {
      await store.idempotency.begin("k", "digest", now);
      await store.idempotency.complete("k", answer);
      await store.idempotency.forget("k");
      expect(await store.idempotency.begin("k", "digest", now)).toEqual({ kind: "repeat", answer });
    });

    test("a key is free again after 24 h", async () => {
      await store.idempotency.begin("k", "digest", now);
      await store.idempotency.complete("k", answer);
      expect(await store.idempotency.begin("k", "other", now + dayMs)).toEqual({ kind: "fresh" });
      expect(await store.idempotency.begin("k", "other", now + dayMs)).toEqual({ kind: "inProgress" });
    });

    test("a request that never ended frees its key within the hour", async () => {
      await store.idempotency.begin("k", "digest", now);
      expect(await store.idempotency.begin("k", "digest", now + 60_000)).toEqual({ kind: "inProgress" });
      expect(await store.idempotency.begin("k", "digest", now + 3_600_000)).toEqual({ kind: "fresh" });
    });

    test("keys do not touch each other", async () => {
      await store.idempotency.begin("k1", "digest", now);
      expect(await store.idempotency.begin("k2", "digest", now)).toEqual({ kind: "fresh" });
    });
  });
}
