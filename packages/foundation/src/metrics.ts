import { Counter as PromCounter, Gauge as PromGauge, Histogram as PromHistogram, Registry } from "prom-client";
import { MetricFamily, NumberChild } from "./metric-family.ts";

/**
 * Metrics in the Prometheus text format, prom-client behind a narrow surface.
 *
 * Two things are added to it. Label values that come from users (a pool, a target) are bounded: after `labelLimit`
 * different combinations a metric counts all further ones under `other`, so that a scrape and the memory stay
 * bounded. And the hot path is cheap: `labels()` gives a bound child, to be kept by the caller, whose `inc` or
 * `set` changes one number; prom-client sees the numbers when somebody scrapes.
 */
export type Metrics = {
  readonly registry: Registry;
  /** A total that only grows; its name ends in `_total`. */
  readonly counter: <const L extends string = never>(name: string, help: string, labels?: readonly L[]) => Counter<L>;
  /** A value that goes both ways. */
  readonly gauge: <const L extends string = never>(name: string, help: string, labels?: readonly L[]) => Gauge<L>;
  /** A distribution. Buckets are upper bounds in the unit of the metric, seconds by default. */
  readonly histogram: <const L extends string = never>(
    name: string,
    help: string,
    options?: HistogramOptions<L>,
  ) => Histogram<L>;
  /** Called before each scrape, to bring gauges up to date. */
  readonly onCollect: (update: () => void) => void;
  /** The scrape. */
  readonly render: () => Promise<string>;
  /** Content type of `render()`. */
  readonly contentType: string;
};

export type BoundCounter = { inc(by?: number): void };
export type BoundGauge = { set(value: number): void; inc(by?: number): void; dec(by?: number): void };
export type BoundHistogram = { observe(value: number): void };
type Labelled<L extends string, Bound> = [L] extends [never]
  ? Bound
  : {
      /** The child of these label values. Keep it: looking it up is what costs. */
      labels(values: Readonly<Record<L, string>>): Bound;
      /** Forgets one child, when what it measured is gone. */
      remove(values: Readonly<Record<L, string>>): void;
    };

/** Without labels it is the bound metric itself. */
export type Counter<L extends string = never> = Labelled<L, BoundCounter>;
export type Gauge<L extends string = never> = Labelled<L, BoundGauge>;
export type Histogram<L extends string = never> = Labelled<L, BoundHistogram>;

export type HistogramOptions<L extends string> = {
  readonly labels?: readonly L[];
  readonly buckets?: readonly number[];
};

/** Label combinations of one metric before further ones become `other`. */
export const DEFAULT_LABEL_LIMIT = 1_000;
/** The value of every label of what came after the limit. */
export const OTHER_LABEL_VALUE = "other";
/** Upper bounds in seconds: 1 ms to 60 s, for calls and passes. */
export const DEFAULT_BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export type MetricsOptions = { readonly labelLimit?: number };

export function createMetrics(options: MetricsOptions = {}): Metrics {
  const registry = new Registry();
  const limit = options.labelLimit ?? DEFAULT_LABEL_LIMIT;
  const updates: (() => void)[] = [];
  const made = new Map<string, unknown>();
  /** Two services of one process may count the same thing: the second asks for the metric and gets the first one's. */
  const once = <Metric>(name: string, make: () => Metric): Metric => {
    const metric = (made.get(name) as Metric | undefined) ?? make();
    made.set(name, metric);
    return metric;
  };
  return {
    registry,
    contentType: registry.contentType,
    counter: (name, help, labels = []) => once(name, () => addCounter({ registry, limit, name, help }, labels)),
    gauge: (name, help, labels = []) => once(name, () => addGauge({ registry, limit, name, help }, labels)),
    histogram: (name, help, shape = {}) => once(name, () => addHistogram({ registry, limit, name, help }, shape)),
    onCollect: (update) => void updates.push(update),
    render: async () => {
      for (const update of updates) update();
      return registry.metrics();
    },
  };
}

type MetricHead = { readonly registry: Registry; readonly limit: number; readonly name: string; readonly help: string };

function addCounter<L extends string>(head: MetricHead, labelNames: readonly L[]): Counter<L> {
  const { name, help, registry, limit } = head;
  const create = (): NumberChild => new NumberChild();
  const family = new MetricFamily<L, NumberChild>({ labelNames, limit, otherValue: OTHER_LABEL_VALUE, create });
  const metric: PromCounter<L> = new PromCounter({
    name,
    help,
    labelNames,
    registers: [registry],
    collect: () => {
      metric.reset();
      family.forEach((values, child) => metric.inc(values, child.value));
    },
  });
  return family.surface() as unknown as Counter<L>;
}

function addGauge<L extends string>(head: MetricHead, labelNames: readonly L[]): Gauge<L> {
  const { name, help, registry, limit } = head;
  const create = (): NumberChild => new NumberChild();
  const family = new MetricFamily<L, NumberChild>({ labelNames, limit, otherValue: OTHER_LABEL_VALUE, create });
  const metric: PromGauge<L> = new PromGauge({
    name,
    help,
    labelNames,
    registers: [registry],
    collect: () => {
      metric.reset();
      family.forEach((values, child) => metric.set(values, child.value));
    },
  });
  return family.surface() as unknown as Gauge<L>;
}

function addHistogram<L extends string>(head: MetricHead, shape: HistogramOptions<L>): Histogram<L> {
  const { name, help, registry, limit } = head;
  const labelNames = shape.labels ?? [];
  const buckets = [...(shape.buckets ?? DEFAULT_BUCKETS_SECONDS)];
  const metric = new PromHistogram<L>({ name, help, labelNames, buckets, registers: [registry] });
  const family = new MetricFamily<L, BoundHistogram>({
    labelNames,
    limit,
    otherValue: OTHER_LABEL_VALUE,
    create: (values) => metric.labels(values),
    onRemove: (values) => metric.remove(values),
  });
  return family.surface() as unknown as Histogram<L>;
}
