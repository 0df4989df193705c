import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { LeaseStore, NodeNumbers } from "./lease.ts";

/** Fresh leases, with none held. `advance` moves the time of the store and of its holders alike. */
export interface LeaseFixture {
  readonly leases: LeaseStore;
  readonly nodeNumbers: NodeNumbers;
  monotonicMs(): number;
  advance(ms: number): Promise<void>;
  close(): Promise<void>;
}

const ttlMs = 10_000;

export function describeLeaseConformance(name: string, setup: () => Promise<LeaseFixture>): void {
  describe(`${name}: leases`, () => {
    let store: LeaseFixture;
    beforeEach(async () => {
      store = await setup();
    });
    afterEach(() => store.close());
    const acquire = (holder: string, lease = "stream") => store.leases.acquire(lease, holder, ttlMs);

    test("one holds it, the other does not", async () => {
      expect(await acquire("one")).not.toBeNull();
      expect(await acquire("two")).toBeNull();
      expect(await acquire("two", "scheduler")).not.toBeNull();
    });

    test("of many at once one gets it", async () => {
      const results = await Promise.all(Array.from({ length: 20 }, (_, n) => acquire(`holder ${n}`)));
      expect(results.filter((result) => result !== null)).toHaveLength(1);
    });

    test("is trusted for less than its time to live", async () => {
      const held = (await acquire("one"))!;
      const leftMs = held.trustedUntilMonotonicMs - store.monotonicMs();
      expect(leftMs).toBeGreaterThan(ttlMs / 2);
      expect(leftMs).toBeLessThanOrEqual(ttlMs);
    });

    test("renewing keeps the epoch and prolongs the trust", async () => {
      const first = (await acquire("one"))!;
      await store.advance(ttlMs / 2);
      const second = (await acquire("one"))!;
      expect(second.epoch).toBe(first.epoch);
      expect(second.trustedUntilMonotonicMs).toBeGreaterThan(first.trustedUntilMonotonicMs);
      await store.advance(ttlMs * 0.75);
      expect(await acquire("two")).toBeNull();
    });

    test("goes to another when it has run out, with a higher epoch", async () => {
      const first = (await acquire("one"))!;
      await store.advance(ttlMs);
      const second = (await acquire("two"))!;
      expect(second.epoch).toBeGreaterThan(first.epoch);
      expect(await acquire("one")).toBeNull();
      await store.advance(ttlMs);
      expect((await acquire("one"))!.epoch).toBeGreaterThan(second.epoch);
    });

    test("no two leases ever share an epoch", async () => {
      const epochs = [await acquire("one", "a"), await acquire("one", "b"), await acquire("two", "c")];
      expect(new Set(epochs.map((held) => held?.epoch)).size).toBe(3);
    });

    test("given back it is free at once, and the next holder's epoch is higher", async () => {
      const first = (await acquire("one"))!;
      await store.leases.release("stream", "one");
      const second = (await acquire("two"))!;
      expect(second.epoch).toBeGreaterThan(first.epoch);
    });

    test("only the holder gives it back", async () => {
      await acquire("one");
      await store.leases.release("stream", "two");
      expect(await acquire("two")).toBeNull();
      await store.leases.release("nobody's", "two");
    });
  });

  describe(`${name}: node numbers`, () => {
    let store: LeaseFixture;
    beforeEach(async () => {
      store = await setup();
    });
    afterEach(() => store.close());

    test("are from 0 to 1,023, unique among the live, and the same for the same holder", async () => {
      const holders = Array.from({ length: 50 }, (_, n) => `holder ${n}`);
      const numbers = await Promise.all(holders.map((holder) => store.nodeNumbers.lease(holder, ttlMs)));
      expect(new Set(numbers).size).toBe(50);
      for (const number of numbers) expect(number >= 0 && number <= 1_023 && Number.isInteger(number)).toBe(true);
      expect(await store.nodeNumbers.lease("holder 7", ttlMs)).toBe(numbers[7]!);
    });

    test("all 1,024 can be had; then it fails, until one runs out", async () => {
      const numbers: number[] = [];
      for (let n = 0; n < 1_024; n++) numbers.push(await store.nodeNumbers.lease(`holder ${n}`, ttlMs));
      expect(new Set(numbers).size).toBe(1_024);
      const fault = await store.nodeNumbers.lease("one more", ttlMs).catch((error: unknown) => error);
      expect(fault).toMatchObject({ code: "STORE_UNAVAILABLE" });
      await store.advance(ttlMs);
      expect(numbers).toContain(await store.nodeNumbers.lease("one more", ttlMs));
    });

    test("one that was given back is free at once", async () => {
      for (let n = 0; n < 1_024; n++) await store.nodeNumbers.lease(`holder ${n}`, ttlMs);
      const freed = await store.nodeNumbers.lease("holder 5", ttlMs);
      await store.nodeNumbers.release("holder 5");
      await store.nodeNumbers.release("nobody");
      expect(await store.nodeNumbers.lease("one more", ttlMs)).toBe(freed);
      const fault = await store.nodeNumbers.lease("holder 5", ttlMs).catch((error: unknown) => error);
      expect(fault).toMatchObject({ code: "STORE_UNAVAILABLE" });
    });

    test("a holder that was away for too long gets another if its own is somebody else's by now", async () => {
      const numbers: number[] = [];
      for (let n = 0; n < 1_024; n++) numbers.push(await store.nodeNumbers.lease(`holder ${n}`, ttlMs));
      await store.advance(ttlMs);
      const others = [];
      for (let n = 0; n < 1_023; n++) others.push(await store.nodeNumbers.lease(`other ${n}`, ttlMs));
      const back = await store.nodeNumbers.lease("holder 0", ttlMs);
      expect(others).not.toContain(back);
    });

    test("a renewed one is not given away", async () => {
      const mine = await store.nodeNumbers.lease("mine", ttlMs);
      await store.advance(ttlMs - 1);
      await store.nodeNumbers.lease("mine", ttlMs);
      await store.advance(ttlMs - 1);
      expect(await store.nodeNumbers.lease("other", ttlMs)).not.toBe(mine);
    });
  });
}
