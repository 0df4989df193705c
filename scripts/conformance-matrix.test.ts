import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MatrixLine } from "../packages/server/src/ports/queue-matrix.fixture.ts";
import { formatMatrix, matrixOf, readMatrices, type Cell } from "./conformance-matrix.ts";
import { ROOT } from "./run-command.ts";

let folders: string[] = [];
afterEach(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  folders = [];
});

function temporaryFile(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), "matrix-"));
  folders.push(folder);
  return join(folder, name);
}

function began(adapter: string, title: string): MatrixLine {
  return { kind: "began", adapter, suite: "core", title };
}

function passed(adapter: string, title: string): MatrixLine {
  return { kind: "passed", adapter, suite: "core", title };
}

function cellOf(lines: readonly MatrixLine[], adapter: string, title: string): Cell | undefined {
  const { adapters, rows } = matrixOf(lines);
  return rows.find((row) => row.title === title)?.cells[adapters.indexOf(adapter)];
}

describe("a cell", () => {
  const suite: MatrixLine = { kind: "suite", adapter: "nats", suite: "core", cases: ["a", "b"] };

  test("is what the case came to", () => {
    const lines = [suite, began("nats", "a"), passed("nats", "a"), began("nats", "b")];
    expect(cellOf(lines, "nats", "a")).toBe("passed");
    expect(cellOf(lines, "nats", "b")).toBe("FAILED");
  });

  test("is a failure if one of two runs failed, whichever came first", () => {
    expect(cellOf([began("nats", "a"), began("nats", "a"), passed("nats", "a")], "nats", "a")).toBe("FAILED");
  });

  test("tells a case that was not asked for from one that did not run", () => {
    const none: MatrixLine = { kind: "suite", adapter: "sqlite", suite: "core", cases: null };
    const fewer: MatrixLine = { kind: "suite", adapter: "rabbitmq", suite: "core", cases: ["b"] };
    const lines = [suite, none, fewer];
    expect(cellOf(lines, "nats", "a")).toBe("not run");
    expect(cellOf(lines, "sqlite", "a")).toBe("not declared");
    expect(cellOf(lines, "rabbitmq", "a")).toBe("not declared");
    expect(cellOf(lines, "rabbitmq", "b")).toBe("not run");
    expect(cellOf(lines, "postgres", "a")).toBe("not run");
  });

  test("needs no suite to have been declared: end-to-end tests only say that they passed", () => {
    expect(cellOf([passed("activemq", "x")], "activemq", "x")).toBe("passed");
    expect(cellOf([passed("activemq", "x")], "nats", "x")).toBe("not run");
  });
});

test("prints within 110 columns, every word of title and cell readable, unknown queues behind the known", () => {
  const title = "received together they come in order, and the next waits for the last of them, however many there are";
  const lines: MatrixLine[] = [
    { kind: "suite", adapter: "rabbitmq", suite: "core", cases: null },
    began("kafka", title),
    passed("kafka", title),
  ];
  const text = formatMatrix(matrixOf(lines));
  for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(110);
  expect(text).toMatch(/sqlite +postgres +nats +sqs-fifo +sqs- +activemq +rabbitmq +kafka/);
  const row = text.slice(text.indexOf("  received"));
  expect(row.split("\n")[0]).toMatch(/(not run +){6}not +passed$/);
  expect(row.split("\n")[1]).toMatch(/ declared$/);
  const words = row
    .split("\n")
    .slice(0, 4)
    .map((line) => line.slice(0, 38).trim());
  expect(words.join(" ").trim()).toBe(title);
  expect(text).toEndWith("cells: 1 passed, 1 not declared, 6 not run, 0 FAILED");
});

test("outbox sources have a matrix of their own, with their own columns", () => {
  const path = temporaryFile("lines");
  const ofSource: MatrixLine = { ...passed("mysql", "a"), family: "outbox sources" };
  const lines = [passed("nats", "a"), began("mysql", "a"), ofSource];
  writeFileSync(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  const [queues, sources] = readMatrices(path);
  expect(queues?.family).toBe("queues");
  expect(sources?.adapters).toEqual(["sqlite", "postgres", "mysql", "mongodb"]);
  expect(sources?.rows).toEqual([{ suite: "core", title: "a", cells: ["not run", "not run", "passed", "not run"] }]);
  if (sources !== undefined) expect(formatMatrix(sources)).toStartWith("outbox sources, case by case:");
});

test("nothing was collected: there is no matrix; half a line is passed over", () => {
  expect(readMatrices("/nowhere/at/all")).toEqual([]);
  const path = temporaryFile("lines");
  writeFileSync(path, "");
  expect(readMatrices(path)).toEqual([]);
  writeFileSync(path, `${JSON.stringify(passed("nats", "a"))}\n{"kind":"pas`);
  expect(readMatrices(path).map(({ rows }) => rows.length)).toEqual([1]);
});

test("the suite of a queue is collected from its own process: every case it defines has passed", async () => {
  const path = temporaryFile("lines");
  const file = "./packages/server/src/queues/sqlite/sqlite-queue.conformance.test.ts";
  const child = Bun.spawn([process.execPath, "test", file], {
    cwd: ROOT,
    env: { ...process.env, FC_TEST_MATRIX: path },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, summary] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  expect({ exitCode: await child.exited, summary }).toMatchObject({ exitCode: 0 });
  expect(output).not.toContain("not declared");
  const [matrix] = readMatrices(path);
  const column = matrix?.rows.map(({ cells }) => cells[matrix.adapters.indexOf("sqlite")]) ?? [];
  expect(column.length).toBeGreaterThan(30);
  expect(new Set(column)).toEqual(new Set<Cell>(["passed"]));
  expect(readFileSync(path, "utf8")).toContain('"suite":"one lane for many","cases":null');
});
