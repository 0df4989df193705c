import { expect, test } from "bun:test";
import { CodedError, FakeClock, HealthRegistry } from "@flowcatalyst/foundation";
import type { HeldLease, LeaseEpoch, LeaseStore } from "../ports/lease.ts";
import { watchedLeases } from "./lease-checks.ts";

const ttlMs = 10_000;

function setup() {
  const clock = new FakeClock();
  const health = new HealthRegistry(clock);
  const store = { answer: "held" as "held" | "taken" | "away" };
  const inner: LeaseStore = {
    acquire: async (): Promise<HeldLease | null> => {
      if (store.answer === "away") throw new CodedError("STORE_UNAVAILABLE", { message: "no way there" });
      if (store.answer === "taken") return null;
      return { epoch: 1 as LeaseEpoch, trustedUntilMonotonicMs: clock.monotonicMs() + ttlMs };
    },
    release: async () => undefined,
  };
  const leases = watchedLeases(inner, ["stream"], { health, clock });
  const check = async () => (await health.ready()).checks.find(({ name }) => name === "lease-stream");
  return { clock, store, leases, check };
}

test("the active one and one that stands by are both ready, and say which they are", async () => {
  const { clock, store, leases, check } = setup();
  expect(await check()).toMatchObject({ status: "UP", data: { role: "starting" } });
  await leases.acquire("stream", "me", ttlMs);
  expect(await check()).toMatchObject({ status: "UP", data: { role: "active" } });
  await clock.advance(ttlMs);
  expect(await check()).toMatchObject({ status: "UP", data: { role: "standby" } });
  store.answer = "taken";
  await leases.acquire("stream", "me", ttlMs);
  expect(await check()).toMatchObject({ status: "UP", data: { role: "standby" } });
});

test("one that cannot learn whose the lease is is not ready", async () => {
  const { store, leases, check } = setup();
  store.answer = "away";
  const failed = await leases.acquire("stream", "me", ttlMs).catch((error: unknown) => error);
  expect(failed).toMatchObject({ code: "STORE_UNAVAILABLE" });
  expect(await check()).toMatchObject({ status: "DOWN", data: { reason: "no way there" } });
  store.answer = "held";
  await leases.acquire("stream", "me", ttlMs);
  expect(await check()).toMatchObject({ status: "UP" });
  await leases.release("stream", "me");
  expect(await check()).toMatchObject({ status: "UP", data: { role: "standby" } });
});

test("leases nobody asked to see have no check", async () => {
  const { leases, check } = setup();
  await leases.acquire("health", "me", ttlMs);
  expect(await check()).toMatchObject({ data: { role: "starting" } });
});
