import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { StandbyLease } from "./standby-lease.ts";

/** A lease that nobody has. */
export interface StandbyLeaseFixture {
  readonly lease: StandbyLease;
  /** The same lease as another process sees it. */
  readonly elsewhere: StandbyLease;
  /** Of a lease that lasts long enough for a test's steps, and can be waited for. */
  readonly ttlMs: number;
  /** Lets so much time pass for the lease's keeper. */
  pass(ms: number): Promise<void>;
  close(): Promise<void>;
}

export function describeStandbyLeaseConformance(name: string, setup: () => Promise<StandbyLeaseFixture>): void {
  describe(`${name}: standby lease`, () => {
    let fixture: StandbyLeaseFixture;
    beforeEach(async () => {
      fixture = await setup();
    });
    afterEach(() => fixture.close());
    const acquire = (claim: string) => fixture.lease.acquire(claim, fixture.ttlMs);
    const acquireElsewhere = (claim: string) => fixture.elsewhere.acquire(claim, fixture.ttlMs);

    test("one has it, the other does not", async () => {
      expect(await acquire("one")).toEqual({ kind: "granted" });
      expect(await acquireElsewhere("two")).toMatchObject({ kind: "denied" });
    });

    test("of many at once one gets it", async () => {
      const claims = Array.from({ length: 20 }, (_, n) => `claim ${n}`);
      const answers = await Promise.all(claims.map((claim, n) => (n % 2 === 0 ? acquire : acquireElsewhere)(claim)));
      expect(answers.filter(({ kind }) => kind === "granted")).toHaveLength(1);
    });

    test("the same claim asked again has it still: an answer may have been lost", async () => {
      await acquire("one");
      expect(await acquire("one")).toEqual({ kind: "granted" });
    });

    test("renewed it lasts, and is still nobody else's", async () => {
      await acquire("one");
      await fixture.pass(fixture.ttlMs * 0.6);
      expect(await fixture.lease.renew("one", fixture.ttlMs)).toEqual({ kind: "granted" });
      await fixture.pass(fixture.ttlMs * 0.6);
      expect(await acquireElsewhere("two")).toMatchObject({ kind: "denied" });
    });

    test("run out it is free, and the former holder is not let back by renewing", async () => {
      await acquire("one");
      await fixture.pass(fixture.ttlMs + 1);
      expect(await acquireElsewhere("two")).toEqual({ kind: "granted" });
      expect(await fixture.lease.renew("one", fixture.ttlMs)).toMatchObject({ kind: "denied" });
      expect(await fixture.elsewhere.renew("two", fixture.ttlMs)).toEqual({ kind: "granted" });
    });

    test("one that was never had cannot be renewed", async () => {
      expect(await fixture.lease.renew("one", fixture.ttlMs)).toMatchObject({ kind: "denied" });
      expect(await acquireElsewhere("two")).toEqual({ kind: "granted" });
    });

    test("given back it is free at once", async () => {
      await acquire("one");
      await fixture.lease.release("one");
      expect(await acquireElsewhere("two")).toEqual({ kind: "granted" });
    });

    test("only who has it gives it back", async () => {
      await acquire("one");
      await fixture.elsewhere.release("two");
      expect(await acquireElsewhere("two")).toMatchObject({ kind: "denied" });
      await fixture.lease.release("nobody");
    });
  });
}
