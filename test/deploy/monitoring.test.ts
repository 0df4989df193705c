import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { anchorsOf, readDocument, root, tableRowsOf } from "../docs/markdown.ts";
import { parseYaml, readDeployFile } from "./deploy-file.ts";

/**
 * Alerts and dashboard go by metrics that exist. The list of those is the table of docs/reference/http-api.md, which
 * test/docs/reference.test.ts holds to a running server.
 */

interface Rules {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[];
}

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string; readonly runbook: string };
}

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly datasource: { readonly uid: string } }[];
}

const operations = "docs/guides/operations.md";
const rules = parseYaml<Rules>(readDeployFile("prometheus/alerts.yaml")).groups.flatMap((group) => group.rules);
const dashboard = JSON.parse(readDeployFile("grafana/flowcatalyst.json")) as { readonly panels: readonly Panel[] };
const panels = dashboard.panels.filter(({ type }) => type !== "row");

/** Names and their labels; a histogram is asked for by its buckets, sum and count. */
const metricsOfTable = new Map(
  tableRowsOf("docs/reference/http-api.md")
    .filter(([name = ""]) => /^`(fc|http)_\w+`$/.test(name))
    .map(([name = "", labels = ""]) => [name.slice(1, -1), new Set(labels.match(/\w+/g) ?? [])]),
);
/** Only installations with an outbox processor have these: they stand in a list of their own. */
const metricsOfOutbox = Array.from(
  readDocument("docs/reference/http-api.md").matchAll(/^- `(fc_outbox_\w+)`(?: \(([^)]*)\))?:/gm),
  ([, name = "", labels = ""]) => [name, new Set(labels.match(/\w+/g) ?? [])] as const,
);
const metrics = new Map([...metricsOfTable, ...metricsOfOutbox]);
/** Given by Prometheus to every series, and to buckets. */
const labelsOfScrape = ["instance", "job", "le"];

function metricsIn(expr: string): readonly string[] {
  const withoutText = expr.replaceAll(/"[^"]*"/g, '""');
  return Array.from(withoutText.matchAll(/\b(?:fc|http)_\w+\b/g), ([name]) => name.replace(/_(bucket|sum|count)$/, ""));
}

function labelsIn(expr: string): readonly string[] {
  const withoutText = expr.replaceAll(/"[^"]*"/g, '""');
  const lists = Array.from(withoutText.matchAll(/\b(?:by|on) ?\(([^)]*)\)/g), (match) => match[1] ?? "");
  const matchers = Array.from(withoutText.matchAll(/(\w+) ?(?:=~|!~|!=|=)""/g), (match) => match[1] ?? "");
  return [...lists.flatMap((list) => list.match(/\w+/g) ?? []), ...matchers];
}

function faultsOf(expr: string): readonly string[] {
  const used = metricsIn(expr);
  const labels = new Set([...labelsOfScrape, ...used.flatMap((name) => [...(metrics.get(name) ?? [])])]);
  return [
    ...used.filter((name) => !metrics.has(name)).map((name) => `no metric ${name}`),
    ...labelsIn(expr)
      .filter((label) => !labels.has(label))
      .map((label) => `no label ${label}`),
  ];
}

test("the table of metrics is read", () => {
  expect(metricsOfTable.size).toBeGreaterThan(20);
  expect(metricsOfOutbox.length).toBeGreaterThan(5);
  expect(faultsOf("sum by (pool) (fc_no_such_metric)")).toEqual(["no metric fc_no_such_metric", "no label pool"]);
});

describe.each(rules.map((rule) => [rule.alert, rule] as const))("alert %s", (name, rule) => {
  test("goes by metrics and labels that exist, says what it is about, and where to read on", () => {
    expect(faultsOf(rule.expr)).toEqual([]);
    expect(metricsIn(rule.expr).length + Number(rule.expr.startsWith("up{"))).toBeGreaterThan(0);
    expect(name).toMatch(/^FlowCatalyst[A-Z]\w+$/);
    expect(["critical", "warning", "info"]).toContain(rule.labels.severity);
    expect(rule.annotations.summary.length * rule.annotations.description.length).toBeGreaterThan(0);
    const [page = "", anchor = ""] = rule.annotations.runbook.split("#");
    expect(page).toBe(operations);
    expect(anchorsOf(operations)).toContain(anchor);
  });
});

test("the alerts of the issue are there, with its times", () => {
  const alert = (name: string): Rule | undefined => rules.find((rule) => rule.alert === name);
  expect(alert("FlowCatalystNoLeader")?.for).toBe("1m");
  expect(alert("FlowCatalystPendingJobs")?.for).toBe("10m");
  expect(alert("FlowCatalystPendingJobs")?.expr.trimEnd()).toEndWith("> 10000");
  expect(alert("FlowCatalystBreakerOpen")?.for).toBe("5m");
  expect(alert("FlowCatalystStreamLag")?.expr.trimEnd()).toEndWith("> 60");
});

test("the guide to operations has every alert and no other", () => {
  const named = Array.from(readDocument(operations).matchAll(/^### (FlowCatalyst\w+)$/gm), (match) => match[1] ?? "");
  expect(named.toSorted()).toEqual(rules.map(({ alert }) => alert).toSorted());
});

test("the dashboard goes by metrics and labels that exist", () => {
  for (const { title, targets = [] } of panels) {
    expect([title, targets.length > 0]).toEqual([title, true]);
    for (const { expr, datasource } of targets) {
      expect([title, ...faultsOf(expr)]).toEqual([title]);
      expect([title, metricsIn(expr).length > 0, datasource.uid]).toEqual([title, true, "${datasource}"]);
    }
  }
});

test("every metric is on the dashboard, but for those of the embedded store and of outboxes", () => {
  const shown = new Set(panels.flatMap(({ targets = [] }) => targets.flatMap(({ expr }) => metricsIn(expr))));
  const missing = [...metricsOfTable.keys()].filter((name) => !shown.has(name) && !name.startsWith("fc_store_"));
  expect(missing).toEqual([]);
});

test("no panel lies on another one", () => {
  const cells = new Set<string>();
  let area = 0;
  for (const { gridPos } of dashboard.panels) {
    area += gridPos.w * gridPos.h;
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) cells.add(`${x},${y}`);
    }
    expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
  }
  expect(cells.size).toBe(area);
  expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
});

test.skipIf(Bun.which("promtool") === null)(
  "promtool finds the rules right, and each fires when it should",
  async () => {
    for (const [command, file] of [
      ["check", "alerts.yaml"],
      ["test", "alerts.test.yaml"],
    ] as const) {
      const path = join(root, "deploy/prometheus", file);
      const promtool = Bun.spawn(["promtool", command, "rules", path], { stdout: "pipe", stderr: "pipe" });
      const [out, err] = await Promise.all([
        new Response(promtool.stdout).text(),
        new Response(promtool.stderr).text(),
      ]);
      expect(`${await promtool.exited} ${err}`, out).toStartWith("0 ");
    }
  },
);
