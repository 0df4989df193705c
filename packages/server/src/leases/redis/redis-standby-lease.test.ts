import { expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { describeWithRedis, testRedisUrl } from "../../ports/needs-services.fixture.ts";
import { describeStandbyLeaseConformance } from "../../ports/standby-lease.conformance.ts";
import { createRedisStandbyLease, type RedisStandbyLease } from "./index.ts";
import { passInRealTime } from "./real-time.fixture.ts";

const url = testRedisUrl ?? "";
/** Short, because Redis lives in real time. */
const ttlMs = 400;

function createLease(key: string, at = url): RedisStandbyLease {
  return createRedisStandbyLease({ url: at, key });
}

describeWithRedis("on Redis", () => {
  describeStandbyLeaseConformance("redis", async () => {
    const key = `test:${randomUUID()}`;
    const [lease, elsewhere] = [createLease(key), createLease(key)];
    return {
      lease,
      elsewhere,
      ttlMs,
      pass: passInRealTime,
      close: async () => {
        lease.close();
        elsewhere.close();
      },
    };
  });

  test("one that is denied is told who has it", async () => {
    const lease = createLease(`test:${randomUUID()}`);
    await lease.acquire("one#1", ttlMs);
    expect(await lease.acquire("two#2", ttlMs)).toEqual({ kind: "denied", holder: "one#1" });
    expect(await lease.renew("two#2", ttlMs)).toEqual({ kind: "denied", holder: "one#1" });
    lease.close();
  });

  test("a Redis younger than the time to live gives it to nobody: it may have forgotten a holder", async () => {
    const lease = createLease(`test:${randomUUID()}`);
    const longerThanItHasRunMs = 10 * 365 * 86_400_000;
    expect(await lease.acquire("one#1", longerThanItHasRunMs)).toEqual({ kind: "denied", holder: null });
    expect(await lease.acquire("one#1", ttlMs)).toEqual({ kind: "granted" });
    // Whoever has it is not affected.
    expect(await lease.renew("one#1", longerThanItHasRunMs)).toEqual({ kind: "granted" });
    expect(await lease.acquire("one#1", longerThanItHasRunMs)).toEqual({ kind: "granted" });
    await lease.release("one#1");
    lease.close();
  });

  test("a key that holds something else is a fault of every question, not a lease", async () => {
    const key = `test:${randomUUID()}`;
    const client = new Bun.RedisClient(url);
    await client.send("RPUSH", [key, "a list"]);
    const lease = createLease(key);
    const fault = await lease.acquire("one#1", ttlMs).catch((error: unknown) => error);
    expect(fault).toMatchObject({ code: "STORE_UNAVAILABLE" });
    await client.send("DEL", [key]);
    client.close();
    lease.close();
  });
});

test("no Redis there: every question fails soon, and says the same without the password", async () => {
  const lease = createLease("key", "redis://:secret-password@127.0.0.1:1");
  const faults = [];
  for (let asked = 0; asked < 3; asked++) {
    faults.push(await lease.acquire("one#1", ttlMs).catch((error: unknown) => String(error)));
  }
  expect(new Set(faults)).toEqual(new Set(["CodedError: Redis cannot be asked (ECONNREFUSED)"]));
  lease.close();
});
