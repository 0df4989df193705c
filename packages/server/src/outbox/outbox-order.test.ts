/**
 * Order as a property: whatever the platform answers, whenever processors die and others take over, of each group the
 * rows are taken for the first time in their order, no two requests of one processor share a group, and at the end
 * every row is final.
 */
import { expect, test } from "bun:test";
import { createMetrics, FakeClock, seededRandom, silentLogger, type Random } from "@flowcatalyst/foundation";
import fc from "fast-check";
import type { ItemOutcome, OutboxBatch, OutboxPublisher, PublishOutcome } from "../ports/outbox-publisher.ts";
import type { OutboxSource } from "../ports/outbox-source.ts";
import { MemoryOutbox } from "./memory-outbox.fixture.ts";
import { createOutboxProcessor } from "./outbox-processor.ts";

interface World {
  readonly clock: FakeClock;
  readonly outbox: MemoryOutbox;
  readonly random: Random;
  /** Ids in the order they were first taken. */
  readonly taken: string[];
  readonly faults: string[];
  /** How often, of 100 answers, something is wrong. */
  trouble: number;
}

const never = new Promise<never>(() => undefined);
const chance = ({ random }: World, percent: number): boolean => random.next() * 100 < percent;

/** Answers as the platform does: behind an item that failed, its group fails too. */
function itemOutcomes(world: World, { items }: OutboxBatch): readonly ItemOutcome[] {
  const failedGroups = new Set<string>();
  return items.map(({ id, json }): ItemOutcome => {
    const group = groupOf(json);
    const isRetryable = (group !== null && failedGroups.has(group)) || chance(world, world.trouble / 10);
    if (isRetryable) {
      if (group !== null) failedGroups.add(group);
      return { kind: "internalError", error: "again" };
    }
    if (chance(world, world.trouble / 20)) return { kind: "badRequest", error: "bad" };
    if (!world.taken.includes(id)) world.taken.push(id);
    return { kind: "done" };
  });
}

function groupOf(json: string): string | null {
  return /"messageGroup":"([^"]+)"/.exec(json)?.[1] ?? null;
}

/** `isDead`: the process is gone, its requests may arrive and their answers do not. */
function publisherOf(world: World, isDead: () => boolean): OutboxPublisher {
  const underWay = new Set<string>();
  return {
    async publish(batch): Promise<PublishOutcome> {
      if (isDead()) return never;
      const groups = new Set(batch.items.map(({ json }) => groupOf(json)).filter((group) => group !== null));
      for (const group of groups) if (underWay.has(group)) world.faults.push(`two requests with ${group}`);
      for (const group of groups) underWay.add(group);
      await world.clock.sleep(Math.floor(world.random.next() * 50));
      for (const group of groups) underWay.delete(group);
      if (isDead() && chance(world, 50)) return never;
      const outcome = outcomeOf(world, batch);
      return isDead() ? never : outcome;
    },
  };
}

function outcomeOf(world: World, batch: OutboxBatch): PublishOutcome {
  if (!chance(world, world.trouble)) return { kind: "answered", results: itemOutcomes(world, batch) };
  const kinds = ["unreachable", "faulty", "unauthorized", "refused", "lost"] as const;
  switch (kinds[Math.floor(world.random.next() * kinds.length)] ?? "lost") {
    case "unreachable":
      return { kind: "unreachable", error: "away", retryAfterMs: null };
    case "faulty":
      return { kind: "faulty", status: 500, error: "no" };
    case "unauthorized":
      return { kind: "unauthorized", error: "who?" };
    case "refused":
      return { kind: "refused", status: 400, error: "no" };
    case "lost":
      // It was taken, and the answer is lost.
      itemOutcomes(world, batch);
      return { kind: "unreachable", error: "lost", retryAfterMs: null };
  }
}

/** The source as one process reaches it. */
function reachedBy(world: World, isDead: () => boolean): OutboxSource {
  const { outbox, clock } = world;
  const alive = async <T>(work: () => Promise<T>): Promise<T> => {
    await clock.sleep(Math.floor(world.random.next() * 5));
    if (isDead()) return never;
    const answer = await work();
    await clock.sleep(Math.floor(world.random.next() * 5));
    return isDead() ? never : answer;
  };
  return {
    capabilities: outbox.capabilities,
    verify: () => alive(() => outbox.verify()),
    lease: {
      acquire: (holder, ttlMs) => alive(() => outbox.lease.acquire(holder, ttlMs)),
      release: (holder) => alive(() => outbox.lease.release(holder)),
    },
    claim: (claim) => alive(() => outbox.claim(claim)),
    settle: (results) => alive(() => outbox.settle(results)),
    release: (rows) => alive(() => outbox.release(rows)),
    recover: (ms) => alive(() => outbox.recover(ms)),
    deleteFinished: () => alive(() => outbox.deleteFinished()),
    counts: () => alive(() => outbox.counts()),
    listen: (told, signal) => outbox.listen(told, signal),
    probe: async () => undefined,
    close: async () => undefined,
  };
}

interface Life {
  die(): void;
  stop(): Promise<void>;
}

function startProcessor(world: World, holder: string): Life {
  const stop = new AbortController();
  let dead = false;
  const isDead = (): boolean => dead;
  const { clock, random } = world;
  const processor = createOutboxProcessor(
    {
      source: reachedBy(world, isDead),
      publisher: publisherOf(world, isDead),
      clock,
      random,
      logger: silentLogger(),
      metrics: createMetrics(),
    },
    {
      holder,
      pollIntervalMs: 1_000,
      batchMaxRows: 5,
      concurrency: 3,
      maxRetries: 1_000,
      blockOnError: true,
      retentionMs: 0,
    },
  );
  const stopped = processor.run(stop.signal);
  return {
    die: () => {
      dead = true;
      stop.abort();
    },
    stop: async () => {
      stop.abort();
      for (let waitedMs = 0; waitedMs < 10_000; waitedMs += 100) await clock.advance(100);
      await stopped;
    },
  };
}

function takenInOrder({ taken, outbox }: World): readonly string[] {
  const last = new Map<string, string>();
  const groups = new Map(outbox.rows.map(({ row }) => [String(row.id), row.group]));
  return taken.flatMap((id) => {
    const group = groups.get(id) ?? null;
    if (group === null) return [];
    const before = last.get(group) ?? "";
    last.set(group, id);
    return before < id ? [] : [`${id} after ${before}`];
  });
}

const isFinal = ({ outbox }: World): boolean => outbox.statuses().every((status) => [1, 2, 5].includes(status));

test("of each group rows are taken in order, whatever happens to processors and platform", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer(),
      fc.integer({ min: 0, max: 60 }),
      fc.array(fc.record({ group: fc.constantFrom("a", "b", "c", null), isJob: fc.boolean() }), { maxLength: 80 }),
      async (seed, trouble, rows) => {
        const clock = new FakeClock();
        const outbox = new MemoryOutbox(clock);
        const world: World = { clock, outbox, random: seededRandom(seed), taken: [], faults: [], trouble };
        let life = startProcessor(world, "p0");
        for (const [at, { group, isJob }] of rows.entries()) {
          outbox.insert({ group, type: isJob ? "DISPATCH_JOB" : "EVENT" });
          if (chance(world, 30)) await clock.advance(Math.floor(world.random.next() * 300));
          if (!chance(world, 5)) continue;
          life.die();
          life = startProcessor(world, `p${at + 1}`);
        }
        for (let passedMs = 0; passedMs < 120_000; passedMs += 1_000) await clock.advance(1_000);
        world.trouble = 0;
        for (let passedMs = 0; passedMs < 900_000 && !isFinal(world); passedMs += 1_000) await clock.advance(1_000);
        expect(outbox.statuses().filter((status) => ![1, 2, 5].includes(status))).toEqual([]);
        expect(takenInOrder(world)).toEqual([]);
        expect(world.faults).toEqual([]);
        await life.stop();
      },
    ),
    { numRuns: 40 },
  );
}, 60_000);
