import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { CodedError } from "@flowcatalyst/foundation";
import fc from "fast-check";
import type { DeliveryReport } from "../domain/attempt.ts";
import type { JobId } from "../domain/ids.ts";
import { encodeMessage } from "../domain/message-codec.ts";
import type { QueueMessage } from "../domain/message.ts";
import type { JobClaims } from "../ports/job-claims.ts";
import type { PublishResult, QueuePublisher, ReceivedMessage } from "../ports/queue.ts";
import { openSchedulerBench, type SchedulerBench } from "./scheduler.fixture.ts";
import { schedulerDefaults, type Scheduler } from "./scheduler.ts";

let bench: SchedulerBench;
beforeEach(() => {
  bench = openSchedulerBench();
});
afterEach(() => bench.close());

async function receiveAll(store: SchedulerBench = bench): Promise<readonly ReceivedMessage[]> {
  const signal = new AbortController().signal;
  const received: ReceivedMessage[] = [];
  for (const lane of await store.queue.readyLanes()) {
    received.push(...(await store.queue.receive({ lane, max: 1_000, waitMs: 0 }, signal)));
  }
  return received;
}

function jobsOf({ message }: Pick<ReceivedMessage, "message">): readonly { jobId: JobId; generation: number }[] {
  return message.kind === "platform" ? message.jobs : [];
}

function delivered(job: { readonly jobId: JobId; readonly generation: number }): DeliveryReport {
  return { jobId: job.jobId, generation: job.generation, attempt: null, result: { kind: "delivered" } };
}

async function settle(received: readonly ReceivedMessage[], store: SchedulerBench = bench): Promise<void> {
  await store.sink.record(received.flatMap(jobsOf).map(delivered));
  await store.queue.ack(received.map(({ receipt }) => receipt));
}

function statuses(store: SchedulerBench = bench): string[] {
  return store.jobs().map(({ status }) => status);
}

/** The bench's queue with another way to answer. */
function publisherThat(
  answer: (messages: readonly QueueMessage[]) => Promise<readonly PublishResult[]>,
): QueuePublisher {
  return { capabilities: bench.queue.capabilities, publish: answer };
}

describe("a pass", () => {
  test("publishes what is due and marks it, once", async () => {
    const subscription = await bench.subscribe();
    const ids = await bench.addJobs({ subscription, groups: [null, null, "g"] });
    const scheduler = bench.scheduler({}, { metrics: bench.metrics });
    expect(await scheduler.pass()).toMatchObject({ kind: "passed", queued: 3, refused: 0, unpublishable: 0 });
    expect(statuses()).toEqual(["QUEUED", "QUEUED", "QUEUED"]);
    expect(await scheduler.pass()).toMatchObject({ queued: 0, more: false });
    const received = await receiveAll();
    expect(received.flatMap(jobsOf).map(({ jobId }) => jobId)).toEqual([...ids]);
    expect(received.map(({ message }) => message.id).at(0)).toBe(`${ids[0]}:1` as never);
    expect(await bench.metrics.render()).toContain("fc_scheduler_jobs_queued_total 3");
  });

  test("of an ordered group one run is outstanding", async () => {
    const subscription = await bench.subscribe();
    const ids = await bench.addJobs({ subscription, groups: Array.from({ length: 40 }, () => "g") });
    const scheduler = bench.scheduler();
    await scheduler.pass();
    await scheduler.pass();
    const first = await receiveAll();
    expect(first.map((received) => jobsOf(received).length)).toEqual([32]);
    await settle(first);
    await scheduler.pass();
    const second = await receiveAll();
    expect(second.flatMap(jobsOf).map(({ jobId }) => jobId)).toEqual(ids.slice(32));
  });

  test("what is due later is not published, and says when", async () => {
    const subscription = await bench.subscribe({ delaySeconds: 60 });
    await bench.addJobs({ subscription, groups: ["g"] });
    const scheduler = bench.scheduler();
    const dueAtMs = bench.clock.now() + 60_000;
    expect(await scheduler.pass()).toMatchObject({ queued: 0, nextDueAtMs: dueAtMs });
    await bench.clock.advance(60_000);
    expect(await scheduler.pass()).toMatchObject({ queued: 1 });
  });

  test("what died between publishing and marking is recognised", async () => {
    const subscription = await bench.subscribe();
    await bench.addJobs({ subscription, groups: [null, "g", "g"] });
    const claims: JobClaims = {
      ...bench.claims,
      markQueued: () => Promise.reject(new CodedError("STORE_UNAVAILABLE")),
    };
    const dead = bench.scheduler({}, { claims });
    expect(await dead.pass().catch((error: unknown) => error)).toBeInstanceOf(CodedError);
    expect(statuses()).toEqual(["PENDING", "PENDING", "PENDING"]);
    expect(await bench.scheduler().pass()).toMatchObject({ queued: 3 });
    expect(await receiveAll()).toHaveLength(2);
  });
});

describe("what the queue answers", () => {
  test("refused stays and is published later", async () => {
    const subscription = await bench.subscribe();
    await bench.addJobs({ subscription, groups: [null, null] });
    const publisher = publisherThat((messages) =>
      Promise.resolve(messages.map(() => ({ kind: "refused", detail: "full" }) as const)),
    );
    expect(await bench.scheduler({}, { publisher }).pass()).toMatchObject({ queued: 0, refused: 2, more: false });
    expect(statuses()).toEqual(["PENDING", "PENDING"]);
    expect(await bench.scheduler().pass()).toMatchObject({ queued: 2 });
  });

  test("invalid has failed with the code, at once; the rest of its run goes on", async () => {
    const subscription = await bench.subscribe();
    const ids = await bench.addJobs({ subscription, groups: ["g", "g", "g", "g"] });
    const publisher = publisherThat(async (messages) => {
      const bad = messages.filter((message) => jobsOf({ message }).some(({ jobId }) => jobId === ids[1]));
      const taken = await bench.queue.publish(messages.filter((message) => !bad.includes(message)));
      const answers = [...taken];
      const invalid = { kind: "invalid", code: "MESSAGE_TOO_LARGE", detail: "" } as const;
      return messages.map((message) => (bad.includes(message) ? invalid : answers.shift()!));
    });
    const scheduler = bench.scheduler({}, { publisher });
    await scheduler.pass();
    // Halved until it fits: the first job goes alone, those behind wait for it.
    expect(statuses()).toEqual(["QUEUED", "PENDING", "PENDING", "PENDING"]);
    await settle(await receiveAll());
    expect(await scheduler.pass()).toMatchObject({ queued: 0, unpublishable: 1 });
    expect(bench.jobs()[1]).toMatchObject({ status: "FAILED", lastError: "MESSAGE_TOO_LARGE" });
    await scheduler.pass();
    expect(statuses()).toEqual(["COMPLETED", "FAILED", "QUEUED", "QUEUED"]);
  });

  test("a queue that fails in the middle: what it took before is marked", async () => {
    const subscription = await bench.subscribe();
    await bench.addJobs({ subscription, groups: [null, null, null] });
    let calls = 0;
    const publisher: QueuePublisher = {
      capabilities: { ...bench.queue.capabilities, maxBatch: 1 },
      publish: (messages) =>
        ++calls === 2 ? Promise.reject(new CodedError("QUEUE_UNAVAILABLE")) : bench.queue.publish(messages),
    };
    const scheduler = bench.scheduler({}, { publisher });
    expect(await scheduler.pass().catch((error: unknown) => error)).toBeInstanceOf(CodedError);
    expect(statuses()).toEqual(["QUEUED", "PENDING", "PENDING"]);
    await scheduler.pass();
    expect(statuses()).toEqual(["QUEUED", "QUEUED", "QUEUED"]);
    expect(await receiveAll()).toHaveLength(3);
  });
});

describe("a queue that carries payloads", () => {
  const maxMessageBytes = 20_000;

  /** Answers as a broker with a small limit does. */
  function small(): QueuePublisher {
    return {
      capabilities: { ...bench.queue.capabilities, carriesReferences: false, maxMessageBytes },
      publish: async (messages) => {
        const tooLarge = messages.map((message) => encodeMessage(message).length > maxMessageBytes);
        const taken = [...(await bench.queue.publish(messages.filter((_, index) => !tooLarge[index])))];
        const invalid = { kind: "invalid", code: "MESSAGE_TOO_LARGE", detail: "" } as const;
        return tooLarge.map((large) => (large ? invalid : taken.shift()!));
      },
    };
  }

  test("gets whole deliveries, as many of a run as fit into a message", async () => {
    const subscription = await bench.subscribe();
    const data = JSON.stringify({ text: "x".repeat(4_000) });
    const ids = await bench.addJobs({ subscription, groups: Array.from({ length: 10 }, () => "g"), data });
    const scheduler = bench.scheduler({}, { publisher: small() });
    const order: JobId[] = [];
    for (let round = 0; round < 10 && order.length < ids.length; round++) {
      await scheduler.pass();
      const received = await receiveAll();
      expect(received).toHaveLength(1);
      const [{ message }] = received as [ReceivedMessage];
      expect(encodeMessage(message).length).toBeLessThanOrEqual(maxMessageBytes);
      expect(message.kind === "platform" && message.jobs[0]).toMatchObject({ kind: "delivery", payload: data });
      order.push(...received.flatMap(jobsOf).map(({ jobId }) => jobId));
      await settle(received);
    }
    expect(order).toEqual([...ids]);
    expect(new Set(statuses())).toEqual(new Set(["COMPLETED"]));
  });

  test("a job that fits into no message has failed with the code", async () => {
    const subscription = await bench.subscribe();
    await bench.addJobs({ subscription, groups: [null], data: JSON.stringify("x".repeat(30_000)) });
    expect(await bench.scheduler({}, { publisher: small() }).pass()).toMatchObject({ unpublishable: 1 });
    expect(bench.jobs()[0]).toMatchObject({ status: "FAILED", lastError: "MESSAGE_TOO_LARGE" });
  });
});

describe("leases", () => {
  test("one is active; another takes over", async () => {
    const subscription = await bench.subscribe();
    const first = bench.scheduler({ holder: "a" });
    const second = bench.scheduler({ holder: "b" });
    await first.pass();
    await bench.addJobs({ subscription, groups: [null] });
    expect(await second.pass()).toEqual({ kind: "standby" });
    await bench.clock.advance(schedulerDefaults.leaseTtlMs);
    expect(await second.pass()).toMatchObject({ queued: 1 });
    expect(await first.pass()).toEqual({ kind: "standby" });
  });
});

describe("run", () => {
  async function running(scheduler: Scheduler, during: () => Promise<void>): Promise<void> {
    const stop = new AbortController();
    const ended = scheduler.run(stop.signal);
    await during();
    stop.abort();
    await ended;
  }

  test("is woken by jobs that become ready", async () => {
    const subscription = await bench.subscribe();
    await running(bench.scheduler(), async () => {
      await bench.clock.advance(0);
      await bench.addJobs({ subscription, groups: [null, "g"] });
      await bench.clock.advance(0);
      expect(statuses()).toEqual(["QUEUED", "QUEUED"]);
    });
    expect(await bench.scheduler({ holder: "successor" }).pass()).toMatchObject({ kind: "passed" });
  });

  test("wakes itself when something is due before the next poll", async () => {
    const subscription = await bench.subscribe({ delaySeconds: 60 });
    await bench.addJobs({ subscription, groups: [null] });
    await running(bench.scheduler({ pollIntervalMs: 3_600_000 }), async () => {
      await bench.clock.advance(59_990);
      expect(statuses()).toEqual(["PENDING"]);
      await bench.clock.advance(11);
      expect(statuses()).toEqual(["QUEUED"]);
    });
  });

  test("goes on when the queue comes back, and drains more than a pass holds", async () => {
    const subscription = await bench.subscribe();
    await bench.addJobs({ subscription, groups: Array.from({ length: 50 }, () => null) });
    let down = true;
    const publisher = publisherThat((messages) =>
      down ? Promise.reject(new CodedError("QUEUE_UNAVAILABLE")) : bench.queue.publish(messages),
    );
    await running(bench.scheduler({ batchSize: 8 }, { publisher }), async () => {
      await bench.clock.advance(30_000);
      expect(new Set(statuses())).toEqual(new Set(["PENDING"]));
      down = false;
      await bench.clock.advance(5_000);
      while (statuses().includes("PENDING")) await bench.clock.advance(1);
    });
    expect(await receiveAll()).toHaveLength(50);
  });

  test("starts and stops a hundred times", async () => {
    const subscription = await bench.subscribe();
    for (let round = 0; round < 100; round++) {
      await running(bench.scheduler({ holder: `process-${round}` }), () =>
        bench.addJobs({ subscription, groups: [`g${round}`] }).then(() => undefined),
      );
    }
    await bench.scheduler({ holder: "last" }).pass();
    expect(new Set(statuses())).toEqual(new Set(["QUEUED"]));
    expect(await receiveAll()).toHaveLength(100);
  });
});

describe("jobs whose message is gone", () => {
  const twoLooksMs = 2 * schedulerDefaults.recoveryIntervalMs + 1_000;

  /** The scheduler runs for as long as `during` takes; `pass` lets it look around for so long. */
  async function whileRunning(during: (pass: (ms: number) => Promise<void>) => Promise<void>): Promise<void> {
    const stop = new AbortController();
    const ended = bench.scheduler({}, { metrics: bench.metrics }).run(stop.signal);
    await during((ms) => bench.clock.advance(ms));
    stop.abort();
    await ended;
  }

  test("are published again when the queue is empty twice in a row", async () => {
    const subscription = await bench.subscribe();
    await bench.addJobs({ subscription, groups: [null, "g", "g"] });
    await whileRunning(async (pass) => {
      await pass(100);
      expect(await bench.purgeQueue()).toBe(2);
      await pass(twoLooksMs);
    });
    expect(bench.jobs().map(({ status, generation }) => [status, generation])).toEqual([
      ["QUEUED", 2],
      ["QUEUED", 2],
      ["QUEUED", 2],
    ]);
    expect(await receiveAll()).toHaveLength(2);
    expect(await bench.metrics.render()).toContain("fc_scheduler_stale_jobs_recovered_total 3");
  });

  test("are published again when everything unsettled is newer", async () => {
    const subscription = await bench.subscribe();
    const [lost] = await bench.addJobs({ subscription, groups: [null] });
    await whileRunning(async (pass) => {
      await pass(100);
      await bench.purgeQueue();
      await pass(3_000);
      await bench.addJobs({ subscription, groups: [null] });
      await pass(twoLooksMs);
    });
    expect(bench.jobs().map(({ generation }) => generation)).toEqual([2, 1]);
    const received = await receiveAll();
    expect(received.flatMap(jobsOf)).toContainEqual(expect.objectContaining({ jobId: lost, generation: 2 }));
  });

  test("are not looked for by age: a message in somebody's hands, however old, is no lost one", async () => {
    const subscription = await bench.subscribe();
    await bench.addJobs({ subscription, groups: [null] });
    await whileRunning(async (pass) => {
      await pass(100);
      const held = await receiveAll();
      for (let minute = 0; minute < 30; minute++) {
        await pass(30_000);
        await bench.queue.extend([held[0]!.receipt], 60_000);
      }
    });
    expect(bench.jobs()).toMatchObject([{ status: "QUEUED", generation: 1 }]);
  });
});

describe("guarantee: every job is delivered, in the order of its group, whatever dies", () => {
  const step = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant("add" as const),
        groups: fc.array(fc.constantFrom("a", "b", null), { minLength: 1, maxLength: 8 }),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constant("pass" as const),
        dies: fc.constantFrom("no", "no", "no", "beforePublish", "afterPublish", "refuses"),
      }),
    },
    { weight: 5, arbitrary: fc.record({ do: fc.constant("deliver" as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("consumerDies" as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("queueLoses" as const) }) },
  );

  test("over random deaths of the scheduler, the queue and its consumer", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const store = openSchedulerBench();
        try {
          await expectOrderedDelivery(store, steps);
        } finally {
          await store.close();
        }
      }),
      { numRuns: 40 },
    );
  }, 60_000);
});

type Step =
  | { readonly do: "add"; readonly groups: readonly (string | null)[] }
  | { readonly do: "pass"; readonly dies: string }
  | { readonly do: "deliver" | "consumerDies" | "queueLoses" };

async function expectOrderedDelivery(store: SchedulerBench, steps: readonly Step[]): Promise<void> {
  const subscription = await store.subscribe();
  const groups = new Map<string, JobId[]>();
  const arrivals: JobId[] = [];
  let dies = "no";
  let lives = 0;
  const publisher: QueuePublisher = {
    capabilities: store.queue.capabilities,
    publish: async (messages) => {
      if (dies === "beforePublish") throw new Error("died");
      if (dies === "refuses") return messages.map(() => ({ kind: "refused", detail: "" }));
      const results = await store.queue.publish(messages);
      if (dies === "afterPublish") throw new Error("died");
      return results;
    },
  };
  const start = (): Scheduler => store.scheduler({ holder: `life-${++lives}`, batchSize: 10 }, { publisher });
  let scheduler = start();
  const deliver = async (): Promise<number> => {
    const received = await receiveAll(store);
    arrivals.push(...received.flatMap(jobsOf).map(({ jobId }) => jobId));
    await settle(received, store);
    return received.length;
  };
  const pass = async (how: string): Promise<void> => {
    dies = how;
    await scheduler.pass().catch(() => undefined);
    dies = "no";
    if (!how.endsWith("Publish")) return;
    scheduler = start();
    await store.clock.advance(schedulerDefaults.leaseTtlMs);
  };
  const add = async (wanted: readonly (string | null)[]): Promise<void> => {
    const ids = await store.addJobs({ subscription, groups: wanted });
    for (const [index, group] of wanted.entries()) {
      if (group !== null) groups.set(group, [...(groups.get(group) ?? []), ids[index]!]);
    }
  };
  for (const step of steps) {
    if (step.do === "add") await add(step.groups);
    else if (step.do === "pass") await pass(step.dies);
    else if (step.do === "deliver") await deliver();
    else if (step.do === "queueLoses") await store.purgeQueue();
    else {
      await receiveAll(store);
      await store.clock.advance(70_000);
    }
  }
  // Long enough for leases, visibility and two looks for lost messages.
  const stop = new AbortController();
  const running = start().run(stop.signal);
  for (let round = 0; round < 40; round++) {
    await store.clock.advance(3_000);
    await deliver();
  }
  stop.abort();
  await running;
  expect(store.jobs().filter(({ status }) => status !== "COMPLETED")).toEqual([]);
  for (const ids of groups.values()) {
    const first = [...new Set(arrivals)].filter((id) => ids.includes(id));
    expect(first).toEqual(ids);
  }
}
