import { createRig, type Rig } from "./rig.ts";
import { resourcesOf, type Report } from "./report.ts";
import { judge, subscribe, sum, type Scenario, type ScenarioOptions } from "./scenarios.ts";

/** 200 events a second, one by one, timed from their scheduled time to arrival. */
export const latency: Scenario = async (options) => {
  const rig = await createRig(options);
  try {
    await rig.api("POST", "/api/dispatch-pools", { code: "BENCH", concurrency: 64 });
    let backlog = 0;
    if (options.searching) {
      const size = options.events ?? (options.short ? 5_000 : 1_000_000);
      const filled = await rig.generate({
        type: "bench.history.made",
        groups: 100,
        dataBytes: 200,
        batch: 500,
        connections: 2,
        events: size,
      });
      backlog = filled.accepted;
    }
    await subscribe(rig, "latency");
    await rig.system.database?.mark();
    const stop = new AbortController();
    const searching = options.searching ? searchAllTheTime(rig, stop.signal) : Promise.resolve(0);
    const load = await rig.generate({
      type: "bench.order.created",
      groups: 100,
      dataBytes: 500,
      batch: 1,
      connections: 1,
      rate: options.rate ?? 200,
      rampSeconds: options.short ? 1 : 5,
      seconds: options.seconds ?? (options.short ? 3 : 60),
    });
    const drained = await rig.drained(load.accepted);
    stop.abort();
    const searches = await searching;
    const ledger = await rig.receiver.ledger();
    return {
      scenario: options.searching ? "latency --searching" : "latency",
      ...judge(ledger, { expected: load.accepted, drained }),
      figures: {
        delivered: ledger.delivered,
        duplicates: sum(ledger, "duplicates"),
        "events in history": backlog,
        searches,
      },
      latency: ledger.latencies,
      ...(await resourcesOf(rig, ledger.delivered)),
    };
  } finally {
    await rig.close();
  }
};

async function searchAllTheTime(rig: Rig, signal: AbortSignal): Promise<number> {
  const queries = [
    "/api/bff/events?type=bench.history.*&page=3&size=50",
    "/api/bff/events?messageGroup=g7&size=50",
    "/api/bff/events?q=xxxxxx&size=20",
    "/api/bff/dispatch-jobs?status=COMPLETED&size=50",
    "/api/bff/events/filter-options",
  ];
  let count = 0;
  while (!signal.aborted) {
    // A search that runs into its own time limit (503) is part of the load; it must not slow deliveries.
    await rig.api("GET", queries[count % queries.length] ?? "").catch(() => null);
    count += 1;
  }
  return count;
}

/** 20 targets in one pool of default concurrency, one never answers: the others keep their latency. */
export const hanging: Scenario = async (options) => {
  const without = await hangingRun(options, false);
  const withHanging = await hangingRun(options, true);
  const base = without.latency?.["healthy"];
  const beside = withHanging.latency?.["healthy"];
  const limit = base === undefined ? 0 : Math.max(2 * base.p99, base.p99 + 10);
  const notes = [...without.notes, ...withHanging.notes];
  const valid = without.valid && withHanging.valid && base !== undefined && beside !== undefined;
  if (valid && !options.short && beside.p99 > limit)
    notes.push(`p99 ${beside.p99} ms is above the limit of ${limit} ms`);
  return {
    scenario: "hanging",
    valid,
    notes,
    figures: { "p99 without": base?.p99 ?? 0, "p99 beside hanging": beside?.p99 ?? 0, "limit p99": limit },
    latency: { ...(base ? { without: base } : {}), ...(beside ? { "beside hanging": beside } : {}) },
    ...(withHanging.usage ? { usage: withHanging.usage } : {}),
  };
};

async function hangingRun(options: ScenarioOptions, withHanging: boolean): Promise<Report> {
  const rig = await createRig(options);
  try {
    const targets = 20;
    for (let index = 0; index < targets; index += 1) {
      const path = withHanging && index === 0 ? "hang/h0" : `ok/healthy${index}`;
      await rig.api("POST", "/api/subscriptions", {
        name: `h${index}`,
        eventTypes: [`bench.h${index}`],
        targetUrl: `http://127.2.0.${index + 1}:${rig.receiver.port}/${path}`,
      });
    }
    const load = await rig.generate({
      type: "bench.h",
      typeCount: targets,
      groups: 100,
      dataBytes: 500,
      batch: 1,
      connections: 1,
      rate: options.rate ?? 200,
      rampSeconds: 0,
      seconds: options.seconds ?? (options.short ? 4 : 90),
    });
    // Types are drawn in turn, so exactly a twentieth went to the target that never answers.
    const expected = withHanging ? load.accepted - Math.floor(load.accepted / targets) : load.accepted;
    const drained = await rig.drained(expected, { stallSeconds: 20 });
    const ledger = await rig.receiver.ledger();
    return {
      scenario: "hanging",
      ...judge(ledger, { expected, drained }),
      figures: { delivered: ledger.delivered },
      latency: ledger.latencies,
      ...(await resourcesOf(rig, ledger.delivered)),
    };
  } finally {
    await rig.close();
  }
}

/** A million events accepted while the target is down, then drained. */
export const backlog: Scenario = async (options) => {
  const rig = await createRig(options);
  try {
    const events = options.events ?? (options.short ? 5_000 : 1_000_000);
    const dataBytes = options.dataBytes ?? 500;
    await rig.api("POST", "/api/dispatch-pools", { code: "BENCH", concurrency: 64 });
    await subscribe(rig, "backlog", { maxAgeSeconds: 86_400 });
    const yardstick = await rig.yardstick(64, dataBytes);
    await rig.receiver.control("/reset");
    await rig.receiver.control("/down");
    await rig.system.database?.mark();
    const load = await rig.generate({
      type: "bench.order.created",
      groups: 100,
      dataBytes,
      batch: 100,
      connections: 4,
      events,
    });
    await rig.receiver.control("/up");
    // Heads of groups may be in their retry wait and the breaker open: drain counts from the first arrival.
    const curve = drainCurve(load.accepted);
    const drained = await rig.drained(load.accepted, { stallSeconds: 150, onProgress: curve.add });
    const ledger = await rig.receiver.ledger();
    const rates = curve.rates(ledger.firstUpAt);
    const seconds = (Date.now() - ledger.firstUpAt) / 1000;
    const resources = await resourcesOf(rig, ledger.delivered);
    const verdict = judge(ledger, { expected: load.accepted, drained });
    return {
      scenario: "backlog",
      valid: verdict.valid,
      notes: [...verdict.notes, ...(verdict.valid ? [`drain/s by tenths: ${rates.tenths.join(" ")}`] : [])],
      figures: {
        "drain/s": Math.round(ledger.delivered / seconds),
        "drain/s, first half": rates.firstHalf,
        "drain/s, second half": rates.secondHalf,
        "second half / first half, %": rates.percent,
        "accepted/s": Math.round(load.accepted / load.seconds),
        delivered: ledger.delivered,
        duplicates: sum(ledger, "duplicates"),
        "server peak MB": resources.usage["server"]?.peakMemoryMb ?? 0,
      },
      yardstickPerSecond: yardstick,
      ...resources,
    };
  } finally {
    await rig.close();
  }
};

/** When each tenth of a backlog was delivered, as seen by whoever asks often enough. */
function drainCurve(expected: number): {
  add: (delivered: number) => void;
  rates: (startedAtMs: number) => { firstHalf: number; secondHalf: number; percent: number; tenths: number[] };
} {
  const reachedAtMs: number[] = [];
  const rate = (tenths: number, ms: number): number => Math.round((expected * tenths * 100) / Math.max(1, ms));
  return {
    add: (delivered) => {
      while (reachedAtMs.length < 10 && delivered >= (expected * (reachedAtMs.length + 1)) / 10) {
        reachedAtMs.push(Date.now());
      }
    },
    rates: (startedAtMs) => {
      const at = (tenth: number): number => (tenth === 0 ? startedAtMs : (reachedAtMs[tenth - 1] ?? startedAtMs));
      const firstHalf = rate(5, at(5) - at(0));
      const secondHalf = rate(5, at(10) - at(5));
      return {
        firstHalf,
        secondHalf,
        percent: Math.round((secondHalf * 100) / Math.max(1, firstHalf)),
        tenths: Array.from({ length: 10 }, (_, tenth) => rate(1, at(tenth + 1) - at(tenth))),
      };
    },
  };
}
