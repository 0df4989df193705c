/** What one seed is about: settings, workload and faults, all drawn before anything runs. */
import type { PoolCode, PoolId, SubscriptionId } from "../../packages/server/src/domain/ids.ts";
import type { DispatchPool } from "../../packages/server/src/domain/dispatch-pool.ts";
import type { RetryPolicy } from "../../packages/server/src/domain/retry-policy.ts";
import type { DispatchMode, Subscription } from "../../packages/server/src/domain/subscription.ts";
import { Dice } from "./dice.ts";

/** What a target does with a call, by weight. */
const answerKinds = [
  "ok",
  "slow",
  "serverError",
  "timeout",
  "refused",
  "rateLimited",
  "busy",
  "notYet",
  "rejected",
  "gone",
  "tooEarly",
] as const;
export type AnswerKind = (typeof answerKinds)[number];
export type AnswerWeights = Readonly<Partial<Record<AnswerKind, number>>>;

export interface Scenario {
  readonly seed: number;
  readonly pools: readonly DispatchPool[];
  readonly subscriptions: readonly Subscription[];
  /** By origin of the target. */
  readonly targets: ReadonlyMap<string, AnswerWeights>;
  readonly events: number;
  readonly batchMax: number;
  readonly groups: number;
  readonly tasks: number;
  /** Faults and commands happen until then; afterwards everything heals. */
  readonly chaosMs: number;
  readonly crashes: number;
  /** The next crash comes within so many steps. */
  readonly crashWithinSteps: number;
  readonly powerCuts: boolean;
  /** The queue may come back empty, as a broker restored from a backup does. */
  readonly losesMessages: boolean;
  /** Of calls to a port: how many fail although the process lives. */
  readonly portFaultShare: number;
  readonly outages: boolean;
  readonly clockJumps: boolean;
  /** Two of each leased stage in a process. */
  readonly standbys: boolean;
  readonly visibilityMs: number;
  readonly pollIntervalMs: number;
  readonly publishWindow: number;
  readonly batchSize: number;
  /** Mean pause between two commands of the operator. */
  readonly commandEveryMs: number;
}

const EVENT_TYPES = ["order.created", "order.paid", "invoice.sent", "shop:sales:order:created"] as const;
const PATTERNS = ["order.*", "order.created", "**", "invoice.sent", "shop:*:order:created", "*.*"] as const;
const FILTERS = [null, null, null, "data.even == true"] as const;

export const eventTypes: readonly string[] = EVENT_TYPES;

/** A matcher of its own, in the plainest words: what the stream decides is held against it. */
export function wants(subscription: Subscription, event: { readonly type: string; readonly even: boolean }): boolean {
  if (subscription.filter !== null && !event.even) return false;
  return subscription.eventTypes.some(({ pattern }) => {
    const separator = pattern.includes(":") ? ":" : ".";
    if (pattern === "**") return true;
    const wanted = pattern.split(separator);
    const given = event.type.split(separator);
    return wanted.length === given.length && wanted.every((part, at) => part === "*" || part === given[at]);
  });
}

const RETRIES: readonly RetryPolicy[] = [
  { delaysMs: [50, 500], maxRetries: 2 },
  { delaysMs: [1_000, 2_000], maxRetries: 2 },
  { delaysMs: [200, 12_000, 20_000], maxRetries: 3 },
  { delaysMs: [15_000], maxRetries: 1 },
  { delaysMs: [], maxRetries: 0 },
  { delaysMs: [100], maxRetries: 8 },
];

const WELL: AnswerWeights = { ok: 95, slow: 5 };
const CHARACTERS: readonly AnswerWeights[] = [
  WELL,
  { ok: 80, slow: 10, serverError: 10 },
  { ok: 40, serverError: 30, timeout: 10, refused: 20 },
  { ok: 60, rateLimited: 15, busy: 10, notYet: 15 },
  { ok: 70, rejected: 15, tooEarly: 10, serverError: 5 },
  { ok: 90, gone: 2, slow: 8 },
  { slow: 70, timeout: 20, ok: 10 },
  {
    ok: 30,
    slow: 10,
    serverError: 20,
    timeout: 5,
    refused: 5,
    rateLimited: 5,
    busy: 5,
    notYet: 5,
    rejected: 10,
    gone: 1,
  },
];

export function drawScenario(seed: number): Scenario {
  const dice = new Dice(seed, 1);
  const pools = Array.from({ length: dice.int(1, 3) }, (_, at) => drawPool(dice, at));
  const origins = Array.from({ length: dice.int(1, 4) }, (_, at) => `https://target-${at}.example`);
  const targets = new Map(origins.map((origin) => [origin, dice.pick(CHARACTERS)]));
  const codes = [...pools.map(({ code }) => code), "DEFAULT-POOL" as PoolCode];
  const draw = (at: number): Subscription => drawSubscription(dice, { at, codes, origins });
  return {
    seed,
    pools,
    subscriptions: Array.from({ length: dice.int(1, 4) }, (_, at) => draw(at)),
    targets,
    events: dice.int(20, 150),
    batchMax: dice.pick([1, 3, 10, 40]),
    groups: dice.pick([1, 2, 5, 12]),
    tasks: dice.chance(0.4) ? dice.int(1, 15) : 0,
    chaosMs: dice.int(10_000, 60_000),
    crashes: dice.pick([0, 1, 2, 4, 8]),
    crashWithinSteps: dice.pick([20, 100, 400, 1_500]),
    powerCuts: dice.chance(0.12),
    losesMessages: dice.chance(0.1),
    portFaultShare: dice.pick([0, 0, 0.005, 0.03]),
    outages: dice.chance(0.3),
    clockJumps: dice.chance(0.4),
    standbys: dice.chance(0.3),
    visibilityMs: dice.pick([3_000, 10_000, 60_000]),
    pollIntervalMs: dice.pick([200, 1_000]),
    publishWindow: dice.pick([2, 20, 1_000]),
    batchSize: dice.pick([1, 7, 500]),
    commandEveryMs: dice.pick([300, 1_500, 6_000, 1_000_000]),
  };
}

function drawPool(dice: Dice, at: number): DispatchPool {
  const nowMs = Date.UTC(2026, 0, 1);
  return {
    id: `pool_000000000000${at}` as PoolId,
    code: `POOL-${at}` as PoolCode,
    name: null,
    clientId: null,
    ...drawLimits(dice),
    timeoutSeconds: null,
    status: "ACTIVE",
    version: 1,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
  };
}

export function drawLimits(dice: Dice): Pick<DispatchPool, "concurrency" | "rateLimitPerMinute" | "burst"> {
  const rateLimitPerMinute = dice.chance(0.4) ? dice.pick([60, 240, 1_200]) : null;
  const burst = rateLimitPerMinute !== null && dice.chance(0.5) ? dice.int(1, 20) : null;
  return { concurrency: dice.pick([1, 2, 5, 20]), rateLimitPerMinute, burst };
}

export function drawSubscription(
  dice: Dice,
  place: { readonly at: number; readonly codes: readonly PoolCode[]; readonly origins: readonly string[] },
): Subscription {
  const nowMs = Date.UTC(2026, 0, 1);
  const retry = dice.pick(RETRIES);
  return {
    id: `sub_00000000000${String(place.at).padStart(2, "0")}` as SubscriptionId,
    code: null,
    name: `subscription ${place.at}`,
    clientId: null,
    eventTypes: [{ pattern: dice.pick(PATTERNS), filter: null }],
    filter: dice.pick(FILTERS),
    targetUrl: `${dice.pick(place.origins)}/hook`,
    poolCode: dice.pick(place.codes),
    mode: dice.pick<DispatchMode>(["IMMEDIATE", "NEXT_ON_ERROR", "NEXT_ON_ERROR", "BLOCK_ON_ERROR"]),
    format: dice.pick(["data", "data", "cloudevents"]),
    timeoutSeconds: dice.pick([1, 3, 10]),
    retry,
    headers: {},
    delaySeconds: dice.chance(0.1) ? dice.int(1, 15) : 0,
    maxAgeSeconds: dice.chance(0.15) ? 90 : 86_400,
    legacySignature: dice.chance(0.2),
    status: "ACTIVE",
    pauseReason: null,
    leaseExpiresAtMs: null,
    version: 1,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
  };
}
