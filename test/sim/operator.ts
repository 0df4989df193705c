/**
 * People at the controls: they pause and resume, cancel, retry, replay, unblock, change pools and subscriptions at
 * random moments, and in the end put everything right. What they were answered must hold from then on.
 */
import { describeError } from "@flowcatalyst/foundation";
import { poolLimits, type DispatchPool } from "../../packages/server/src/domain/dispatch-pool.ts";
import type { JobId, PoolCode, ReplayId, SubscriptionId } from "../../packages/server/src/domain/ids.ts";
import { anchorScope } from "../../packages/server/src/domain/scope.ts";
import type { Subscription } from "../../packages/server/src/domain/subscription.ts";
import { createDispatchPoolRepository } from "../../packages/server/src/stores/sqlite/dispatch-pool-repository.ts";
import type { SqliteDatabase } from "../../packages/server/src/stores/sqlite/index.ts";
import { createStoreWakes } from "../../packages/server/src/stores/sqlite/wake-signal.ts";
import type { Dice } from "./dice.ts";
import type { History } from "./history.ts";
import type { Incarnation } from "./incarnation.ts";
import { drawLimits, drawSubscription, type Scenario } from "./scenario.ts";
import type { SimulatedTime } from "./simulated-time.ts";
import { Violation } from "./violation.ts";

export interface OperatorDeps {
  readonly scenario: Scenario;
  readonly time: SimulatedTime;
  readonly dice: Dice;
  readonly history: History;
  readonly database: () => SqliteDatabase;
  readonly current: () => Incarnation | null;
  readonly note: (text: string) => void;
  readonly fail: (error: unknown) => void;
  /** Called before each command: the process may die in the middle of it. */
  readonly temptFate: () => void;
}

/** A subscription as the operator knows it. */
export interface KnownSubscription {
  readonly subscription: Subscription;
  /** When its creation was sent, and answered. */
  readonly sentMs: number;
  answeredMs: number;
  /** It was archived, or may have been: its jobs may be missing or cancelled. */
  mayBeArchived: boolean;
}

const COMMANDS = {
  pause: 3,
  resume: 4,
  suspendPool: 1,
  activatePool: 2,
  changePool: 2,
  changeSubscription: 2,
  createSubscription: 1,
  archive: 0.4,
  cancel: 5,
  retry: 4,
  replay: 1,
  unblock: 3,
} as const;
type Command = keyof typeof COMMANDS;

const DEFAULT_POOL = { concurrency: poolLimits.defaultPoolConcurrency, rateLimitPerMinute: null, burst: null } as const;

const RETRY_MS = 500;
const SUBSCRIPTIONS_MAX = 8;
const TEMPORARY_SHARE = 0.2;

export class Operator {
  readonly subscriptions: KnownSubscription[] = [];
  readonly #deps: OperatorDeps;
  /** Holds and their ends that were asked for and not answered, and by which process. */
  readonly #unanswered = new Map<string, number>();
  #pools: readonly DispatchPool[];

  constructor(deps: OperatorDeps) {
    this.#deps = deps;
    this.#pools = deps.scenario.pools;
  }

  /** Before the first start: what a router does not know of yet goes through the default pool, at its limits. */
  async createPools(): Promise<void> {
    const { scenario, history, database } = this.#deps;
    const pools = createDispatchPoolRepository({ database: database(), wakes: createStoreWakes() });
    history.poolSent("DEFAULT-POOL", DEFAULT_POOL);
    for (const pool of scenario.pools) {
      await pools.create(pool);
      history.poolSent(pool.code, pool);
    }
  }

  async createSubscriptions(): Promise<void> {
    const { scenario } = this.#deps;
    for (const subscription of scenario.subscriptions) await this.#create(subscription);
  }

  async run(): Promise<void> {
    const { scenario, dice, time } = this.#deps;
    for (;;) {
      await time.sleep(dice.int(1, scenario.commandEveryMs * 2));
      if (time.elapsedMs >= scenario.chaosMs) return;
      await this.#try(dice.weighted<Command>(COMMANDS));
    }
  }

  /** Everything goes on: nothing is paused or suspended. */
  async heal(): Promise<void> {
    for (const { code } of this.#pools) {
      if (this.#seemsHeld(`pool:${code}`, this.#poolStatusOf(code))) await this.#setPoolStatus(code, "ACTIVE", true);
    }
    await this.#resumeHeld();
  }

  /** Groups that are blocked go on, and subscriptions whose target was gone. */
  async attend(): Promise<void> {
    await this.#resumeHeld();
    await this.#insist((process) => this.#unblockAll(process));
  }

  async #resumeHeld(): Promise<void> {
    for (const known of this.subscriptions) {
      const { id } = known.subscription;
      if (this.#seemsHeld(id, this.#statusOf(id))) await this.#insist((process) => this.#resume(process, known));
    }
  }

  /** By what is shown, or by an error that was shown; after a restart only by what is shown. */
  #seemsHeld(key: string, status: string | undefined): boolean {
    if (status === "PAUSED" || status === "SUSPENDED") return true;
    const process = this.#deps.current();
    return process !== null && this.#unanswered.get(key) === process.life.number;
  }

  async #try(command: Command): Promise<void> {
    const { note } = this.#deps;
    const process = this.#deps.current();
    if (process === null) return;
    try {
      this.#deps.temptFate();
      await this.#do(command, process);
      note(`operator: ${command}`);
    } catch (error) {
      note(`operator: ${command} not answered: ${describeError(error)}`);
    }
  }

  async #insist(work: (process: Incarnation) => Promise<void>): Promise<void> {
    for (;;) {
      const process = this.#deps.current();
      if (process !== null) {
        try {
          await work(process);
          return;
        } catch (error) {
          this.#deps.note(`operator tries again: ${describeError(error)}`);
        }
      }
      await this.#deps.time.sleep(RETRY_MS);
    }
  }

  async #do(command: Command, process: Incarnation): Promise<void> {
    const { dice, time } = this.#deps;
    const known = dice.pick(this.subscriptions);
    const { id } = known.subscription;
    const pool = dice.pick(this.#pools);
    const target = { id, scope: anchorScope, ifMatch: null };
    this.#deps.note(`operator: ${command} of ${id}, ${pool.code} or a job`);
    switch (command) {
      case "pause":
        this.#unanswered.set(id, process.life.number);
        await process.subscriptionService.pause(target, null);
        this.#unanswered.delete(id);
        this.#deps.history.paused(id);
        return;
      case "resume":
        return this.#resume(process, known);
      case "archive":
        if (this.subscriptions.length < 2) return;
        known.mayBeArchived = true;
        await process.subscriptionService.archive(target);
        return;
      case "suspendPool":
        return this.#setPoolStatus(pool.code, "SUSPENDED", false);
      case "activatePool":
        return this.#setPoolStatus(pool.code, "ACTIVE", false);
      case "changePool":
        return this.#changePool(process, pool.code);
      case "changeSubscription":
        return this.#changeSubscription(process, id);
      case "createSubscription":
        if (this.subscriptions.length < SUBSCRIPTIONS_MAX) await this.#createAnother(time.elapsedMs);
        return;
      case "cancel":
        return this.#cancel(process);
      case "retry":
        return this.#retry(process);
      case "replay":
        return this.#replay(process, id);
      case "unblock":
        return this.#unblockAll(process);
    }
  }

  async #createAnother(nowMs: number): Promise<void> {
    const { scenario, dice } = this.#deps;
    const codes = [...scenario.pools.map(({ code }) => code), "DEFAULT-POOL" as PoolCode];
    const origins = [...scenario.targets.keys()];
    const drawn = drawSubscription(dice, { at: this.subscriptions.length, codes, origins });
    const isTemporary = dice.chance(TEMPORARY_SHARE);
    const leaseExpiresAtMs = isTemporary ? this.#deps.time.now() + dice.int(1, 20) * 1_000 : null;
    await this.#create({ ...drawn, leaseExpiresAtMs }, nowMs);
  }

  async #create(subscription: Subscription, sentMs = 0): Promise<void> {
    const known: KnownSubscription = {
      subscription,
      sentMs,
      answeredMs: Number.POSITIVE_INFINITY,
      mayBeArchived: subscription.leaseExpiresAtMs !== null,
    };
    this.subscriptions.push(known);
    await this.#insist(async ({ store }) => {
      await store.secrets.put(`subscription:${subscription.id}`, SECRET, 0);
      const isThere = (await store.subscriptions.byId(subscription.id, anchorScope)) !== null;
      if (!isThere) await store.subscriptions.create(subscription);
    });
    known.answeredMs = this.#deps.time.elapsedMs;
  }

  async #resume(process: Incarnation, { subscription: { id } }: KnownSubscription): Promise<void> {
    if (this.#statusOf(id) === "ARCHIVED") return;
    this.#deps.history.resumed(id);
    this.#unanswered.set(id, process.life.number);
    await process.subscriptionService.resume({ id, scope: anchorScope, ifMatch: null });
    this.#unanswered.delete(id);
  }

  async #setPoolStatus(code: PoolCode, status: DispatchPool["status"], insist: boolean): Promise<void> {
    const { history } = this.#deps;
    const work = async (process: Incarnation): Promise<void> => {
      if (status === "ACTIVE") history.resumed(`pool:${code}`);
      this.#unanswered.set(`pool:${code}`, process.life.number);
      await this.#replacePool(process, code, (pool) => ({ ...pool, status }));
      await process.store.jobCommands.holdPool(code, status === "SUSPENDED", process.clock.now());
      this.#unanswered.delete(`pool:${code}`);
      if (status === "SUSPENDED") history.paused(`pool:${code}`);
    };
    const process = this.#deps.current();
    if (insist) await this.#insist(work);
    else if (process !== null) await work(process);
  }

  async #changePool(process: Incarnation, code: PoolCode): Promise<void> {
    const { dice, history } = this.#deps;
    const limits = drawLimits(dice);
    history.poolSent(code, limits);
    await this.#replacePool(process, code, (pool) => ({ ...pool, ...limits }));
    history.poolAnswered(code);
  }

  async #replacePool(
    { store }: Incarnation,
    code: PoolCode,
    change: (pool: DispatchPool) => DispatchPool,
  ): Promise<void> {
    const pool = await store.pools.byCode(code, anchorScope);
    if (pool !== null) await store.pools.replace({ ...change(pool), version: pool.version + 1 }, pool.version);
  }

  async #changeSubscription({ store }: Incarnation, id: SubscriptionId): Promise<void> {
    const { dice, scenario } = this.#deps;
    const current = await store.subscriptions.byId(id, anchorScope);
    if (current === null || current.status === "ARCHIVED") return;
    const poolCode = dice.pick([...scenario.pools.map(({ code }) => code), current.poolCode]);
    const changed = { ...current, poolCode, timeoutSeconds: dice.pick([1, 3]), version: current.version + 1 };
    await store.subscriptions.replace(changed, current.version);
  }

  async #cancel({ store, clock }: Incarnation): Promise<void> {
    const id = this.#anyJob("status IN (0, 1, 3)");
    if (id === null) return;
    this.#deps.note(`operator cancels ${id}`);
    this.#deps.history.passedOver.add(id);
    const result = await store.jobCommands.cancel(id, clock.now(), anchorScope);
    if (result.kind === "done") this.#deps.history.cancelled(id);
  }

  async #retry({ store, clock }: Incarnation): Promise<void> {
    const { dice, history } = this.#deps;
    const id = this.#anyJob("status >= 2");
    if (id === null) return;
    this.#deps.note(`operator retries ${id}`);
    history.touched(id);
    history.passedOver.add(id);
    await store.jobCommands.retry(id, { replay: dice.chance(0.5), nowMs: clock.now() }, anchorScope);
  }

  async #replay(process: Incarnation, subscriptionId: SubscriptionId): Promise<void> {
    const { dice } = this.#deps;
    const { store, ids, clock } = process;
    const filter = {
      statuses: dice.pick([["FAILED", "EXPIRED"] as const, ["FAILED", "EXPIRED", "COMPLETED"] as const]),
      ...(dice.chance(0.5) ? { subscriptionId } : {}),
    };
    const total = await store.replays.count(filter, anchorScope);
    const nowMs = clock.now();
    const id: ReplayId = ids.replay();
    const jobsPerSecond = dice.pick([1, 10, 100]);
    const times = { createdAtMs: nowMs, updatedAtMs: nowMs };
    await store.replays.create({ id, filter, total, done: 0, status: "RUNNING", jobsPerSecond, ...times }, anchorScope);
    process.wakeReplays();
  }

  async #unblockAll({ store, clock }: Incarnation): Promise<void> {
    const { dice, history } = this.#deps;
    const { items } = await store.jobs.heldGroups({ limit: 100, cursor: null }, anchorScope);
    for (const group of items) {
      if (group.reason !== "GROUP_BLOCKED" || group.headJobId === null) continue;
      const action = dice.pick(["skip", "retry"] as const);
      history.passedOver.add(group.headJobId);
      if (action === "retry") history.touched(group.headJobId);
      const answer = await store.jobCommands.unblock(group.key, action, clock.now(), anchorScope);
      if (answer !== null) this.#requireUnblocked(group.key, group.headJobId);
    }
  }

  #requireUnblocked(key: string, by: JobId): void {
    const sql = `SELECT 1 AS found FROM job_groups g JOIN jobs j ON j.position = g.blocked_position
      WHERE g.key = ?1 AND j.id = ?2`;
    const found = this.#deps.database().statement<{ found: number }, [string, string]>(sql).get(key, by);
    if (found !== null) this.#deps.fail(new Violation("unblocked", `${key} is still blocked by ${by}`));
  }

  #anyJob(condition: string): JobId | null {
    const rows = this.#deps.database().queryOnce<{ id: JobId }>(`SELECT id FROM jobs WHERE ${condition}`, []);
    return rows.length === 0 ? null : this.#deps.dice.pick(rows).id;
  }

  #poolStatusOf(code: PoolCode): string | undefined {
    const sql = "SELECT body ->> '$.status' AS status FROM dispatch_pools WHERE code = ?1";
    return this.#deps.database().statement<{ status: string }, [string]>(sql).get(code)?.status;
  }

  #statusOf(id: SubscriptionId): string | undefined {
    const sql = "SELECT status FROM subscriptions WHERE id = ?1";
    return this.#deps.database().statement<{ status: string }, [string]>(sql).get(id)?.status;
  }
}

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
