/**
 * A standby lease as one key in Redis: its value is the claim that has it, its expiry is the lease's.
 *
 * Each question is one script, so it is carried out whole or not at all, and none asks in one step and acts in another:
 *
 * | question | what Redis does |
 * |---|---|
 * | acquire | `SET key claim NX PX ttl`; if the claim has it already, `PEXPIRE` |
 * | renew | compare, then `PEXPIRE` |
 * | release | compare, then `DEL` |
 *
 * **No epoch.** Redis gives no number that rises with each holder and survives its own restart, so nothing that a
 * former holder writes can be fenced by it. That is why this is a `StandbyLease` and not a `LeaseStore`.
 *
 * **A Redis that forgets.** One that was restarted without persistence has lost the key, while its holder still trusts
 * it. It is therefore not given away by a Redis that has run for less than the lease's time to live: by then whoever
 * held it has stopped trusting it. `uptime_in_seconds` is rounded down, which errs on the safe side. So after such a
 * restart, the very first included, nobody is active until a ttl has passed. A holder whose renewal finds the key gone
 * stops at once and competes like everybody else.
 *
 * **What is not covered.** A failover to a replica that had not received the key yet, `FLUSHALL`, and an eviction
 * policy that evicts keys with an expiry can each free the lease while it is held, for the rest of its holder's trust.
 * Use one Redis without eviction; jobs of the platform stay correct in any case, since they need no single router.
 *
 * **Connection.** Made on the first question and again by itself, with a growing wait of at most two seconds, for ever.
 * A question that finds no connection, or no answer in time, fails at once; nothing is queued, because a question that
 * is carried out much later would be about another time. Faults of the connection are values of the next question; none
 * is thrown out of nowhere.
 */
import { CodedError } from "@flowcatalyst/foundation";
import { Redis } from "ioredis";
import type { ClaimAnswer, StandbyLease } from "../../ports/standby-lease.ts";

export interface RedisStandbyLease extends StandbyLease {
  close(): void;
}

export const redisStandbyLeaseLimits = {
  connectTimeoutMs: 2_000,
  commandTimeoutMs: 2_000,
  reconnectMinMs: 50,
  reconnectMaxMs: 2_000,
} as const;

/** Answers 1 and the claim, or 0 and whose it is ("" when nobody's). */
const acquireScript = `
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return {1, holder}
end
if holder then return {0, holder} end
local uptime = tonumber(string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)'))
if uptime and uptime * 1000 < tonumber(ARGV[2]) then return {0, ''} end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return {1, ARGV[1]} end
return {0, ''}`;

const renewScript = `
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return {1, holder}
end
return {0, holder or ''}`;

const releaseScript = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`;

export function createRedisStandbyLease(config: { readonly url: string; readonly key: string }): RedisStandbyLease {
  const { key } = config;
  const limits = redisStandbyLeaseLimits;
  let lastFault = "not connected";
  const redis = new Redis(config.url, {
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: limits.connectTimeoutMs,
    commandTimeout: limits.commandTimeoutMs,
    retryStrategy: (times) => Math.min(limits.reconnectMinMs * 2 ** Math.min(times, 10), limits.reconnectMaxMs),
    // Nothing that needs maps or doubles, and RESP2 is what every Redis and every proxy speaks.
    protocol: 2,
  });
  // Without a listener the driver would print each of them.
  redis.on("error", (error: Error) => {
    lastFault = faultOf(error);
  });

  // Several questions may wait for the first connection; later ones make themselves.
  let connecting: Promise<void> | null = null;
  const connected = async (): Promise<void> => {
    // What comes of it the question will find out; the driver tries again by itself.
    if (redis.status === "wait" || redis.status === "end") connecting = redis.connect().catch(() => undefined);
    await connecting;
  };

  const evaluate = async (script: string, ...values: readonly string[]): Promise<unknown> => {
    try {
      await connected();
      return await redis.eval(script, 1, key, ...values);
    } catch (error) {
      const isUnsent = redis.status !== "ready";
      const message = `Redis cannot be asked (${isUnsent ? lastFault : faultOf(error)})`;
      throw new CodedError("STORE_UNAVAILABLE", { message, cause: error });
    }
  };

  return {
    acquire: async (claim, ttlMs) => answerOf(await evaluate(acquireScript, claim, wholeMs(ttlMs))),
    renew: async (claim, ttlMs) => answerOf(await evaluate(renewScript, claim, wholeMs(ttlMs))),
    release: async (claim) => {
      await evaluate(releaseScript, claim);
    },
    close: () => redis.disconnect(),
  };
}

function answerOf(answer: unknown): ClaimAnswer {
  const [granted, holder] = Array.isArray(answer) ? (answer as readonly unknown[]) : [];
  if (granted === 1) return { kind: "granted" };
  return { kind: "denied", holder: typeof holder === "string" && holder !== "" ? holder : null };
}

/** Up, so that nobody gets it sooner than its holder has reckoned. */
function wholeMs(ms: number): string {
  return String(Math.ceil(ms));
}

/** Short and the same each time; without the address, in which there may be a password. */
function faultOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  return "code" in error && typeof error.code === "string" ? error.code : error.message;
}
