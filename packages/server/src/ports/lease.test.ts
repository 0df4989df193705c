import { expect, test } from "bun:test";
import { createMetrics, FakeClock } from "@flowcatalyst/foundation";
import { createLeaseKeeper, type HeldLease, type LeaseEpoch, type LeaseStore } from "./lease.ts";

const ttlMs = 10_000;

function setup() {
  const clock = new FakeClock();
  const metrics = createMetrics();
  let isFree = true;
  const leases: LeaseStore = {
    acquire: async (): Promise<HeldLease | null> =>
      isFree ? { epoch: 1 as LeaseEpoch, trustedUntilMonotonicMs: clock.monotonicMs() + ttlMs } : null,
    release: async () => undefined,
  };
  const keeper = createLeaseKeeper({ leases, clock, metrics }, { name: "stream", holder: "a", ttlMs });
  const shown = async (): Promise<string | undefined> =>
    /^fc_lease_held\{lease="stream"\} (\d)$/m.exec(await metrics.render())?.[1];
  return { clock, keeper, shown, takenByAnother: () => (isFree = false) };
}

test("a lease is shown as held until it is given back", async () => {
  const { keeper, shown } = setup();
  expect(await shown()).toBe("0");
  await keeper.epoch();
  expect(await shown()).toBe("1");
  await keeper.release();
  expect(await shown()).toBe("0");
});

test("a lease that was not renewed in time is not shown as held", async () => {
  const { clock, keeper, shown } = setup();
  await keeper.epoch();
  await clock.advance(ttlMs);
  expect(await shown()).toBe("0");
});

test("a lease that somebody else took is not shown as held", async () => {
  const { clock, keeper, shown, takenByAnother } = setup();
  await keeper.epoch();
  takenByAnother();
  await clock.advance(ttlMs / 2);
  expect(await keeper.epoch()).toBeNull();
  expect(await shown()).toBe("0");
});
