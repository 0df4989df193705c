import { createRig, type Rig, type RigOptions, type ReceiverLedger } from "./rig.ts";
import { resourcesOf, withRatio, type Report } from "./report.ts";

/**
 * The scenarios of docs/guides/benchmarks.md. Each builds its own rig, runs, checks the ledger, and reports. A scenario
 * whose ledger does not close is INVALID whatever its speed.
 */
export type Scenario = (options: ScenarioOptions) => Promise<Report>;

export interface ScenarioOptions extends RigOptions {
  readonly groups: number | null;
  readonly events: number | null;
  readonly dataBytes: number | null;
  readonly searching: boolean;
  readonly executable: string | null;
}

interface ClosedLoop {
  readonly name: string;
  readonly groups: number;
  readonly dataBytes?: number;
  readonly typeCount?: number;
  readonly connections?: number;
  /** Creates pools and subscriptions. */
  readonly prepare: (rig: Rig) => Promise<void>;
  readonly duringLoad?: (rig: Rig) => Promise<void>;
  readonly deduplicate?: boolean;
  readonly deliveriesPerEvent?: number;
}

const eventType = "bench.order.created";

async function createPool(rig: Rig, concurrency: number): Promise<void> {
  await rig.api("POST", "/api/dispatch-pools", { code: "BENCH", concurrency });
}

export async function subscribe(rig: Rig, name: string, more: Record<string, unknown> = {}): Promise<void> {
  await rig.api("POST", "/api/subscriptions", {
    name,
    eventTypes: [eventType],
    targetUrl: `${rig.receiver.url}/ok/${name}`,
    dispatchPoolId: "BENCH",
    ...more,
  });
}

/** Loads as fast as accepted, drains, checks the ledger, and compares with the yardstick of the same run. */
async function closedLoop(options: ScenarioOptions, plan: ClosedLoop): Promise<Report> {
  const rig = await createRig(options);
  try {
    await plan.prepare(rig);
    const dataBytes = options.dataBytes ?? plan.dataBytes ?? 500;
    const yardstick = await rig.yardstick(64, dataBytes);
    await rig.receiver.control("/reset");
    const before = await rig.storeCounters();
    await rig.system.database?.mark();
    const startedAt = performance.now();
    const generating = rig.generate({
      type: eventType,
      ...(plan.typeCount === undefined ? {} : { typeCount: plan.typeCount }),
      groups: plan.groups,
      dataBytes,
      batch: 100,
      connections: plan.connections ?? 4,
      seconds: options.seconds ?? (options.short ? 2 : 20),
      deduplicate: plan.deduplicate ?? false,
      ...(options.events === null ? {} : { events: options.events, seconds: 600 }),
    });
    if (plan.duringLoad) await plan.duringLoad(rig);
    const load = await generating;
    const atLoadEnd = { delivered: (await rig.receiver.ledger()).delivered, at: performance.now() };
    const expected = load.accepted * (plan.deliveriesPerEvent ?? 1);
    const drained = await rig.drained(expected);
    const drainSeconds = (performance.now() - atLoadEnd.at) / 1000;
    const wholeSeconds = (performance.now() - startedAt) / 1000;
    const ledger = await rig.receiver.ledger();
    const after = await rig.storeCounters();
    const perSecond = ledger.delivered / wholeSeconds;
    const report: Report = {
      scenario: plan.name,
      ...judge(ledger, { expected, drained }),
      figures: {
        "delivered/s": Math.round(perSecond),
        "accepted/s": Math.round(load.accepted / load.seconds),
        "delivered/s under load": Math.round(atLoadEnd.delivered / load.seconds),
        "drain/s": drainSeconds < 0.5 ? 0 : Math.round((ledger.delivered - atLoadEnd.delivered) / drainSeconds),
        delivered: ledger.delivered,
        duplicates: sum(ledger, "duplicates"),
        "whole seconds": wholeSeconds,
        ...perDelivery({ before, after, delivered: ledger.delivered }),
      },
      yardstickPerSecond: yardstick,
      ...(rig.system.broker === null ? {} : { broker: rig.system.broker }),
      ...(await resourcesOf(rig, ledger.delivered)),
    };
    return withRatio(report, perSecond);
  } finally {
    await rig.close();
  }
}

function perDelivery(run: {
  before: Record<string, number>;
  after: Record<string, number>;
  delivered: number;
}): Record<string, number> {
  const figures: Record<string, number> = {};
  for (const [key, label] of [
    ["fc_store_row_writes_total", "row writes/delivery"],
    ["fc_store_statements_total", "statements/delivery"],
  ] as const) {
    const difference = (run.after[key] ?? 0) - (run.before[key] ?? 0);
    if (difference > 0) figures[label] = difference / Math.max(1, run.delivered);
  }
  return figures;
}

export function judge(
  ledger: ReceiverLedger,
  outcome: { expected: number; drained: boolean },
): { valid: boolean; notes: string[] } {
  const notes: string[] = [];
  if (!outcome.drained || ledger.delivered !== outcome.expected) {
    notes.push(`published ${outcome.expected}, delivered ${ledger.delivered}: ledger does not close`);
  }
  const inverted = sum(ledger, "inverted");
  if (inverted > 0) {
    const first = Object.values(ledger.targets).find((target) => target.firstInversion !== null);
    notes.push(`${inverted} order inversions; first: ${first?.firstInversion ?? "unknown"}`);
  }
  return { valid: notes.length === 0, notes };
}

export function sum(ledger: ReceiverLedger, key: "duplicates" | "inverted" | "refused"): number {
  return Object.values(ledger.targets).reduce((total, target) => total + target[key], 0);
}

export const pipeline: Scenario = (options) =>
  closedLoop(options, {
    name: "pipeline",
    groups: options.groups ?? 100,
    prepare: async (rig) => {
      await createPool(rig, 64);
      await subscribe(rig, "pipeline");
    },
  });

export const groups: Scenario = (options) => {
  const count = options.groups ?? 100_000;
  return closedLoop(options, {
    name: count === 1 ? "groups --groups 1" : "groups",
    groups: count,
    connections: count === 1 ? 1 : 4,
    prepare: async (rig) => {
      await createPool(rig, 64);
      await subscribe(rig, "groups");
    },
  });
};

export const fanout: Scenario = (options) =>
  closedLoop(
    { ...options, events: options.events ?? (options.short ? 50 : 2_000) },
    {
      name: "fanout",
      groups: 100,
      deliveriesPerEvent: 100,
      prepare: async (rig) => {
        await createPool(rig, 64);
        for (let i = 0; i < 100; i += 1) await subscribe(rig, `fanout${i}`);
      },
    },
  );

/** 10,000 subscriptions of which one matches each event. */
export const subscriptions: Scenario = (options) => {
  const total = options.short ? 200 : 10_000;
  return closedLoop(options, {
    name: "subscriptions",
    groups: 100,
    typeCount: total,
    prepare: async (rig) => {
      await createPool(rig, 64);
      const create = async (index: number): Promise<void> => {
        const type = `${eventType}${index}`;
        // Half literals; half patterns that match this one type only, by its last segment.
        const pattern =
          index % 2 === 0 ? type : index % 4 === 1 ? `bench.*.created${index}` : `bench.order.created${index}`;
        const literalHalf = { eventTypes: [pattern] };
        const starred = index % 4 === 3 ? { eventTypes: [`*.order.created${index}`] } : literalHalf;
        const filtered = index % 10 === 0 ? { filter: `event.type == "${type}"` } : {};
        await subscribe(rig, `s${index}`, { ...starred, ...filtered, targetUrl: `${rig.receiver.url}/free/one` });
      };
      const workers = Array.from({ length: 8 }, async (_, worker) => {
        for (let index = worker; index < total; index += 8) await create(index);
      });
      await Promise.all(workers);
    },
  });
};

export const origins: Scenario = (options) => {
  const count = options.short ? 50 : 1_000;
  return closedLoop(options, {
    name: "origins",
    groups: 1_000,
    typeCount: count,
    prepare: async (rig) => {
      await createPool(rig, 64);
      for (let index = 0; index < count; index += 1) {
        const host = `127.1.${index >> 8}.${index & 255}`;
        await subscribe(rig, `o${index}`, {
          eventTypes: [`${eventType}${index}`],
          targetUrl: `http://${host}:${rig.receiver.port}/free/one`,
        });
      }
    },
  });
};

export const restart: Scenario = (options) =>
  closedLoop(options, {
    name: "restart",
    groups: 100,
    deduplicate: true,
    prepare: async (rig) => {
      await createPool(rig, 64);
      await subscribe(rig, "restart");
    },
    duringLoad: async (rig) => {
      await Bun.sleep(options.short ? 1_000 : 8_000);
      await rig.system.restart();
    },
  });

/** 5 % of answers are 500 once, and one target is dead: the rest arrives, in order; the dead one's jobs are FAILED. */
export const failing: Scenario = async (options) => {
  const rig = await createRig(options);
  try {
    await createPool(rig, 64);
    await subscribe(rig, "failing", { targetUrl: `${rig.receiver.url}/flaky/failing` });
    const deadGroups = 10;
    await rig.api("POST", "/api/subscriptions", {
      name: "dead",
      eventTypes: ["bench.dead"],
      targetUrl: "http://127.0.0.1:9/dead",
      dispatchPoolId: "BENCH",
      maxRetries: 0,
    });
    await rig.system.database?.mark();
    const startedAt = performance.now();
    const dead = rig.generate({
      type: "bench.dead",
      groups: deadGroups,
      dataBytes: 500,
      batch: 10,
      connections: 1,
      events: 100,
    });
    const load = await rig.generate({
      type: eventType,
      groups: 100,
      dataBytes: 500,
      batch: 100,
      connections: 4,
      seconds: options.seconds ?? (options.short ? 2 : 20),
      ...(options.short ? { events: 2_000 } : { events: 60_000 }),
    });
    const deadLoad = await dead;
    const drained = await rig.drained(load.accepted, { stallSeconds: 90 });
    const wholeSeconds = (performance.now() - startedAt) / 1000;
    const ledger = await rig.receiver.ledger();
    const counts = (await rig.api("GET", "/api/bff/dispatch-jobs?code=bench.dead&status=COMPLETED")) as {
      totalItems: number;
    };
    const verdict = judge(ledger, { expected: load.accepted, drained });
    if (counts.totalItems > 0)
      verdict.notes.push(`${counts.totalItems} deliveries to a dead target are called COMPLETED`);
    return {
      scenario: "failing",
      valid: verdict.valid && counts.totalItems === 0,
      notes: verdict.notes,
      figures: {
        "delivered/s": Math.round(ledger.delivered / wholeSeconds),
        delivered: ledger.delivered,
        "answered 500": sum(ledger, "refused"),
        duplicates: sum(ledger, "duplicates"),
        "events to the dead target": deadLoad.accepted,
        "whole seconds": wholeSeconds,
      },
      ...(await resourcesOf(rig, ledger.delivered)),
    };
  } finally {
    await rig.close();
  }
};
