import { describe, expect, test } from "bun:test";
import { CodedError, FakeClock, silentLogger } from "@flowcatalyst/foundation";
import type { NodeNumbers } from "../ports/lease.ts";
import { createLeasedIds, nodeLeaseDefaults } from "./leased-ids.ts";

/** Numbers as a store gives them, of which the test decides. */
async function setup() {
  const clock = new FakeClock(Date.UTC(2026, 0, 1));
  const store = { number: 7, isAway: false, leases: 0, released: false };
  const nodeNumbers: NodeNumbers = {
    lease: async () => {
      store.leases += 1;
      if (store.isAway) throw new CodedError("STORE_UNAVAILABLE");
      return store.number;
    },
    release: async () => {
      store.released = true;
    },
  };
  const { ids, service } = await createLeasedIds({ nodeNumbers, clock, logger: silentLogger() }, "here:1:1");
  const stop = new AbortController();
  const running = service.run(stop.signal);
  const end = async (): Promise<void> => {
    stop.abort();
    await clock.advance(0);
    await running;
  };
  return { clock, store, ids, end };
}

const { ttlMs, renewIntervalMs, retryMs } = nodeLeaseDefaults;

describe("ids under a leased node number", () => {
  test("go on for as long as the number is renewed, which is given back at the stop", async () => {
    const { clock, store, ids, end } = await setup();
    const made = new Set<string>();
    for (let renewals = 0; renewals < 20; renewals++) {
      await clock.advance(renewIntervalMs);
      made.add(ids.job());
    }
    expect(made.size).toBe(20);
    expect([...made].toSorted()).toEqual([...made]);
    expect(store.leases).toBe(21);
    expect(store.released).toBe(false);
    await end();
    expect(store.released).toBe(true);
  });

  test("end before the number may be somebody else's, and go on after the store is back", async () => {
    const { clock, store, ids, end } = await setup();
    store.isAway = true;
    await clock.advance(ttlMs * 0.9);
    expect(ids.event()).toStartWith("evt_");
    await clock.advance(retryMs);
    expect(() => ids.event()).toThrow(expect.objectContaining({ code: "STORE_UNAVAILABLE" }));
    store.isAway = false;
    store.number = 8;
    await clock.advance(retryMs);
    expect(ids.event()).toStartWith("evt_");
    await end();
  });

  test("are not given out after a sleep the monotonic clock has not seen, until the number is renewed", async () => {
    const { clock, store, ids, end } = await setup();
    clock.jumpWallClock(ttlMs);
    expect(() => ids.event()).toThrow(expect.objectContaining({ code: "STORE_UNAVAILABLE" }));
    await clock.advance(0);
    expect(store.leases).toBe(2);
    expect(ids.event()).toStartWith("evt_");
    await end();
  });
});
