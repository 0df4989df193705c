import { describe, expect, test } from "bun:test";
import { describeLeaseConformance } from "../../ports/lease.conformance.ts";
import { createLeaseStore, createNodeNumbers, holdsLease, releaseStaleLeases } from "./lease-store.ts";
import { openTestDatabase } from "./sqlite-store.fixture.ts";

describeLeaseConformance("sqlite", async () => {
  const store = openTestDatabase();
  return {
    leases: createLeaseStore(store),
    nodeNumbers: createNodeNumbers(store),
    monotonicMs: () => store.clock.monotonicMs(),
    advance: (ms) => store.clock.advance(ms),
    close: store.close,
  };
});

describe("sqlite leases", () => {
  test("an epoch fences: it holds until somebody else has taken the lease", async () => {
    const store = openTestDatabase();
    const leases = createLeaseStore(store);
    const first = (await leases.acquire("stream", "one", 1_000))!;
    expect(holdsLease(store.database, first.epoch)).toBe(true);
    await store.clock.advance(1_000);
    expect(holdsLease(store.database, first.epoch)).toBe(true);
    const second = (await leases.acquire("stream", "two", 1_000))!;
    expect(holdsLease(store.database, first.epoch)).toBe(false);
    expect(holdsLease(store.database, second.epoch)).toBe(true);
    await store.close();
  });

  test("what a dead process held is free as soon as the file is opened again", async () => {
    const store = openTestDatabase();
    const leases = createLeaseStore(store);
    const numbers = createNodeNumbers(store);
    const dead = (await leases.acquire("stream", "dead", 60_000))!;
    await numbers.lease("dead", 60_000);
    releaseStaleLeases(store.database);
    expect((await leases.acquire("stream", "new", 60_000))!.epoch).toBeGreaterThan(dead.epoch);
    expect(await numbers.lease("new", 60_000)).toBe(1);
    await store.close();
  });
});
