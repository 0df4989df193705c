import { expect, test } from "bun:test";
import {
  createMetrics,
  FakeClock,
  HealthRegistry,
  newAppKey,
  seededRandom,
  silentLogger,
} from "@flowcatalyst/foundation";
import type { LeaseEpoch, LeaseStore } from "../ports/lease.ts";
import { requireProcessConfig } from "./process-config.ts";
import type { ProcessContext } from "./process-context.ts";
import { openStandby } from "./router-standby.ts";

async function setup(isFree: boolean) {
  const clock = new FakeClock();
  const metrics = createMetrics();
  const context: ProcessContext = {
    version: "1.2.3",
    holder: "here:1:1",
    clock,
    steerClock: () => undefined,
    random: seededRandom(1),
    logger: silentLogger(),
    metrics,
    health: new HealthRegistry(clock),
    maxSimultaneousRequests: 1_000,
    announce: () => undefined,
  };
  const leases: LeaseStore = {
    acquire: async (_name, _holder, ttlMs) =>
      isFree ? { epoch: 1 as LeaseEpoch, trustedUntilMonotonicMs: clock.monotonicMs() + ttlMs } : null,
    release: async () => undefined,
  };
  const facts = { isTerminal: false, hostName: "here", pid: 1 };
  const database = { FC_DATABASE_URL: "postgres://unused@127.0.0.1/unused", FC_APP_KEY: newAppKey() };
  const env = { FC_STANDBY_ENABLED: "true", FC_QUEUE_URL: "db:", ...database };
  const { config } = await requireProcessConfig("router", { env, facts });
  const { service } = await openStandby(config, leases, context);
  const stop = new AbortController();
  const running = service.run(stop.signal);
  await clock.advance(1);
  const shown = async (): Promise<string | undefined> =>
    /^fc_lease_held\{lease="router"\} (\d)$/m.exec(await metrics.render())?.[1];
  const end = async (): Promise<void> => {
    stop.abort();
    await running;
  };
  return { context, shown, end };
}

test("metrics tell which router is the active one", async () => {
  const active = await setup(true);
  expect(await active.shown()).toBe("1");
  await active.end();
  expect(await active.shown()).toBe("0");
});

test("one that stands by is ready, and says that it does not hold the lease", async () => {
  const waiting = await setup(false);
  expect(await waiting.shown()).toBe("0");
  expect(await waiting.context.health.ready()).toMatchObject({ status: "UP", checks: [{ name: "standby" }] });
  await waiting.end();
});
