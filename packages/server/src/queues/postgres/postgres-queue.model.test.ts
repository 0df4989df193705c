import { expect, test } from "bun:test";
import { FakeClock, seededRandom, silentLogger, type Random } from "@flowcatalyst/foundation";
import type { GroupKey, JobId, MessageId, PoolCode } from "../../domain/ids.ts";
import type { QueueMessage } from "../../domain/message.ts";
import type { ReceivedMessage } from "../../ports/queue.ts";
import { describeWithPostgres, openTestPostgres, type TestPostgres } from "../../postgres/test-database.fixture.ts";
import { clockTime, createPostgresQueue, postgresQueueDefaults, queueMigrations, type PostgresQueue } from "./index.ts";
import { QueueLedger } from "./queue-ledger.fixture.ts";

/**
 * Publishers and consumers with connections of their own, all at once, choosing at random: how their statements fall
 * between each other is the server's doing. Between rounds nothing is under way, so the tables can be looked at; there
 * time passes as well, so that within a round it is certain who holds what.
 */

const seeds = [1, 2, 3, 4];
const rounds = 12;
const stepsARound = 8;
const lanes = ["A", "B"] as PoolCode[];
const groupsInAll = 4;
const { visibilityMs } = postgresQueueDefaults;
/** High enough that nothing is given up: a message that disappears would be counted as lost. */
const maxReceives = 1_000_000;
const signal = new AbortController().signal;

class Publisher {
  readonly #name: string;
  readonly #run: Run;
  readonly #queue: PostgresQueue;
  #published = 0;

  constructor(run: Run, name: string) {
    this.#run = run;
    this.#name = name;
    this.#queue = run.open();
  }

  async step(): Promise<void> {
    const { random, ledger } = this.#run;
    const messages = Array.from({ length: 1 + random.integer(6) }, () => this.#message());
    for (const { id, groupKey } of messages) {
      // Order is known only of what one publisher put into a group.
      ledger.publishes(id, groupKey === null ? null : `${groupKey} of ${this.#name}`);
    }
    const results = await this.#queue.publish(messages);
    expect(new Set(results.map(({ kind }) => kind))).toEqual(new Set(["published"]));
  }

  close(): Promise<void> {
    return this.#queue.close();
  }

  #message(): QueueMessage {
    const { random } = this.#run;
    const id = `${this.#name}${++this.#published}` as MessageId;
    const lane = lanes[random.integer(lanes.length)] ?? lanes[0]!;
    const group = random.integer(groupsInAll + 1);
    const groupKey = group === 0 ? null : (`g${group}` as GroupKey);
    if (random.next() < 0.5) {
      const jobs = [{ kind: "reference" as const, jobId: `job_${id}` as JobId, generation: 1, bytes: 1 }];
      return { kind: "platform", id, lane, groupKey, jobs, traceparent: null };
    }
    return {
      kind: "standalone",
      id,
      lane,
      groupKey,
      deduplicationId: null,
      highPriority: random.next() < 0.2,
      target: "https://example.test/",
      payload: "x",
      contentType: "text/plain",
      headers: {},
      secretRef: null,
      traceparent: null,
    };
  }
}

class Consumer {
  readonly #run: Run;
  readonly #queue: PostgresQueue;
  held: ReceivedMessage[] = [];

  constructor(run: Run) {
    this.#run = run;
    this.#queue = run.open();
  }

  async step(): Promise<void> {
    const { random } = this.#run;
    const dice = random.next();
    if (dice < 0.45 || this.held.length === 0) return this.receive(lanes[random.integer(2)] ?? lanes[0]!, 6);
    if (dice < 0.75) return this.#ack(this.#some());
    if (dice < 0.9) return this.#nack(this.#some(), random.next() < 0.7 ? 0 : 500);
    if (dice < 0.95) return this.#deadLetter();
    const kept = this.held.slice(0, 2);
    const results = await this.#queue.extend(receiptsOf(kept), visibilityMs);
    expect(results).toEqual(kept.map(() => "done"));
  }

  async receive(lane: PoolCode, max: number): Promise<void> {
    if (this.#run.random.next() < 0.3) await this.#queue.readyLanes();
    const batch = await this.#queue.receive({ lane, max: 1 + this.#run.random.integer(max), waitMs: 0 }, signal);
    this.#run.ledger.received(batch);
    this.held.push(...batch);
  }

  ackAll(): Promise<void> {
    return this.#ack(this.held.splice(0));
  }

  metrics() {
    return this.#queue.metrics();
  }

  close(): Promise<void> {
    return this.#queue.close();
  }

  async expectDead(): Promise<void> {
    const old = this.held.splice(0);
    expect(await this.#queue.ack(receiptsOf(old))).toEqual(old.map(() => "dead"));
  }

  /** In order, or out of it. */
  #some(): readonly ReceivedMessage[] {
    const { random } = this.#run;
    const from = random.next() < 0.7 ? 0 : random.integer(this.held.length);
    return this.held.splice(from, 1 + random.integer(4));
  }

  async #ack(messages: readonly ReceivedMessage[]): Promise<void> {
    for (const { message } of messages) this.#run.ledger.settles(message.id, "removed");
    expect(await this.#queue.ack(receiptsOf(messages))).toEqual(messages.map(() => "done"));
  }

  async #nack(messages: readonly ReceivedMessage[], delayMs: number): Promise<void> {
    for (const { message } of messages) this.#run.ledger.settles(message.id, "given back");
    expect(await this.#queue.nack(receiptsOf(messages), delayMs)).toEqual(messages.map(() => "done"));
  }

  async #deadLetter(): Promise<void> {
    const [first] = this.held.splice(0, 1);
    if (first === undefined) return;
    this.#run.ledger.settles(first.message.id, "removed");
    expect(await this.#queue.deadLetter(first.receipt, "told so")).toBe("done");
  }
}

function receiptsOf(messages: readonly ReceivedMessage[]) {
  return messages.map(({ receipt }) => receipt);
}

class Run {
  readonly clock = new FakeClock();
  readonly ledger = new QueueLedger();
  readonly random: Random & { integer(below: number): number };
  readonly #postgres: TestPostgres;
  readonly #publishers: readonly Publisher[];
  #consumers: Consumer[];

  constructor(postgres: TestPostgres, seed: number) {
    const random = seededRandom(seed);
    this.random = { ...random, next: () => random.next(), integer: (below) => Math.floor(random.next() * below) };
    this.#postgres = postgres;
    this.#publishers = ["p", "q"].map((name) => new Publisher(this, name));
    this.#consumers = Array.from({ length: 3 }, () => new Consumer(this));
  }

  open(): PostgresQueue {
    const deps = { database: this.#postgres.open(3), clock: this.clock, logger: silentLogger() };
    return createPostgresQueue({ ...deps, time: clockTime(this.clock) }, { maxReceives });
  }

  async round(): Promise<void> {
    const workers = [...this.#publishers, ...this.#consumers];
    await Promise.all(
      workers.map(async (worker) => {
        for (let step = 0; step < stepsARound; step++) await worker.step();
      }),
    );
    await this.ledger.checkTables(this.#postgres.database);
    const dice = this.random.next();
    if (dice < 0.4) await this.clock.advance(600);
    else if (dice < 0.7) await this.#expire();
    else if (dice < 0.85) await this.#replaceConsumer();
  }

  /** Whatever happened, all that is left comes out. */
  async drain(): Promise<void> {
    await this.#expire();
    for (let idle = 0; idle < 3;) {
      const before = this.ledger.unsettled;
      for (const consumer of this.#consumers) {
        for (const lane of lanes) await consumer.receive(lane, 20);
        await consumer.ackAll();
      }
      idle = this.ledger.unsettled === before ? idle + 1 : 0;
      await this.clock.advance(1_001);
    }
    expect(this.ledger.unsettled).toBe(0);
    expect(await this.#consumers[0]?.metrics()).toMatchObject({ visible: 0, inFlight: 0, delayed: 0 });
  }

  async close(): Promise<void> {
    for (const each of [...this.#publishers, ...this.#consumers]) await each.close();
  }

  async #expire(): Promise<void> {
    await this.clock.advance(visibilityMs + 1);
    for (const consumer of this.#consumers) await consumer.expectDead();
    this.ledger.everythingExpired();
  }

  /** One says goodbye while it holds messages; the others get them. */
  async #replaceConsumer(): Promise<void> {
    const [gone] = this.#consumers.splice(0, 1);
    for (const { message } of gone?.held ?? []) this.ledger.settles(message.id, "given back");
    await gone?.close();
    this.#consumers.push(new Consumer(this));
  }
}

describeWithPostgres("many at once on the queue on PostgreSQL", () => {
  for (const seed of seeds) {
    test(`nothing is lost, given to two, or out of order (seed ${seed})`, async () => {
      const postgres = await openTestPostgres([queueMigrations]);
      const run = new Run(postgres, seed);
      try {
        for (let round = 0; round < rounds; round++) await run.round();
        await run.drain();
        await run.close();
      } finally {
        await postgres.close();
      }
    }, 120_000);
  }
});
