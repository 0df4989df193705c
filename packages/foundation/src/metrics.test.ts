import { expect, test } from "bun:test";
import { createMetrics, DEFAULT_LABEL_LIMIT } from "./metrics.ts";

function linesOf(text: string, name: string): string[] {
  return text.split("\n").filter((line) => line.startsWith(name));
}

test("counters, gauges and histograms are scraped with their labels", async () => {
  const metrics = createMetrics();
  const processed = metrics.counter("fc_processed_total", "Messages.", ["pool", "outcome"]);
  const delivered = processed.labels({ pool: "fast", outcome: "delivered" });
  delivered.inc();
  delivered.inc(2);
  processed.labels({ outcome: "failed", pool: "fast" }).inc();
  const depth = metrics.gauge("fc_depth", "Depth.", ["pool"]).labels({ pool: "fast" });
  depth.set(7);
  depth.dec();
  const seconds = metrics.histogram("fc_seconds", "Time.", { labels: ["pool"], buckets: [0.1, 1] });
  seconds.labels({ pool: "fast" }).observe(0.5);
  const text = await metrics.render();
  expect(linesOf(text, "fc_processed_total")).toEqual([
    'fc_processed_total{pool="fast",outcome="delivered"} 3',
    'fc_processed_total{pool="fast",outcome="failed"} 1',
  ]);
  expect(linesOf(text, "fc_depth")).toEqual(['fc_depth{pool="fast"} 6']);
  expect(linesOf(text, "fc_seconds_bucket")).toEqual([
    'fc_seconds_bucket{le="0.1",pool="fast"} 0',
    'fc_seconds_bucket{le="1",pool="fast"} 1',
    'fc_seconds_bucket{le="+Inf",pool="fast"} 1',
  ]);
});

test("without labels a metric is its own child and shows 0 from the start", async () => {
  const metrics = createMetrics();
  const total = metrics.counter("fc_a_total", "A.");
  const lag = metrics.gauge("fc_lag_seconds", "Lag.");
  metrics.histogram("fc_h", "H.").observe(1);
  expect(linesOf(await metrics.render(), "fc_a_total")).toEqual(["fc_a_total 0"]);
  total.inc();
  lag.set(1.5);
  const text = await metrics.render();
  expect(linesOf(text, "fc_a_total")).toEqual(["fc_a_total 1"]);
  expect(linesOf(text, "fc_lag_seconds")).toEqual(["fc_lag_seconds 1.5"]);
  expect(linesOf(text, "fc_h_count")).toEqual(["fc_h_count 1"]);
});

test("a second scrape counts nothing twice", async () => {
  const metrics = createMetrics();
  metrics.counter("fc_a_total", "A.", ["x"]).labels({ x: "1" }).inc(5);
  await metrics.render();
  expect(linesOf(await metrics.render(), "fc_a_total")).toEqual(['fc_a_total{x="1"} 5']);
});

test("label values beyond the limit are counted together as other, and nothing is lost", async () => {
  const metrics = createMetrics({ labelLimit: 3 });
  const counter = metrics.counter("fc_a_total", "A.", ["target"]);
  const histogram = metrics.histogram("fc_h", "H.", { labels: ["target"], buckets: [1] });
  for (let i = 0; i < 100; i++) {
    counter.labels({ target: `t${i}` }).inc();
    histogram.labels({ target: `t${i}` }).observe(0.5);
  }
  const text = await metrics.render();
  expect(linesOf(text, "fc_a_total")).toEqual([
    'fc_a_total{target="t0"} 1',
    'fc_a_total{target="t1"} 1',
    'fc_a_total{target="t2"} 1',
    'fc_a_total{target="other"} 97',
  ]);
  expect(linesOf(text, "fc_h_count").at(-1)).toBe('fc_h_count{target="other"} 97');
});

test("the limit is a thousand unless said otherwise", async () => {
  const metrics = createMetrics();
  const counter = metrics.counter("fc_a_total", "A.", ["target"]);
  for (let i = 0; i < 2_000; i++) counter.labels({ target: `t${i}` }).inc();
  expect(linesOf(await metrics.render(), "fc_a_total{")).toHaveLength(DEFAULT_LABEL_LIMIT + 1);
});

test("a removed child makes room and is scraped no more", async () => {
  const metrics = createMetrics({ labelLimit: 1 });
  const state = metrics.gauge("fc_state", "S.", ["target"]);
  const seconds = metrics.histogram("fc_h", "H.", { labels: ["target"], buckets: [1] });
  state.labels({ target: "a" }).set(1);
  seconds.labels({ target: "a" }).observe(1);
  state.remove({ target: "a" });
  seconds.remove({ target: "a" });
  seconds.remove({ target: "never seen" });
  state.labels({ target: "b" }).set(2);
  const text = await metrics.render();
  expect(linesOf(text, "fc_state")).toEqual(['fc_state{target="b"} 2']);
  expect(linesOf(text, "fc_h_count")).toEqual([]);
});

test("gauges can be brought up to date by the scrape", async () => {
  const metrics = createMetrics();
  const depth = metrics.gauge("fc_depth", "Depth.");
  const queue = [1, 2, 3];
  metrics.onCollect(() => depth.set(queue.length));
  expect(linesOf(await metrics.render(), "fc_depth")).toEqual(["fc_depth 3"]);
  queue.pop();
  expect(linesOf(await metrics.render(), "fc_depth")).toEqual(["fc_depth 2"]);
});

test("values with quotes and line ends are escaped", async () => {
  const metrics = createMetrics();
  metrics.counter("fc_a_total", "A.", ["x"]).labels({ x: 'a"b\nc\\d' }).inc();
  expect(linesOf(await metrics.render(), "fc_a_total")).toEqual(['fc_a_total{x="a\\"b\\nc\\\\d"} 1']);
});
