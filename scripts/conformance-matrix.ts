/**
 * The matrices that `npm test` prints: what each case of the conformance suites came to on each queue, and on each
 * outbox source.
 *
 * Tests write lines to the file of FC_TEST_MATRIX (packages/server/src/ports/queue-matrix.fixture.ts), from many
 * processes and in any order. A cell is `passed`; `FAILED`, if the case began and did not pass as often;
 * `not declared`, if the queue is not asked for it; `not run`, if its server was absent or a pattern left it out.
 */
import { existsSync, readFileSync } from "node:fs";
import type { MatrixLine } from "../packages/server/src/ports/queue-matrix.fixture.ts";
import { textTable } from "./text-table.ts";

const QUEUES = "queues";

/** By matrix, the columns that are there even if nothing ran for them; others follow. */
const KNOWN_ADAPTERS: Readonly<Record<string, readonly string[]>> = {
  [QUEUES]: ["sqlite", "postgres", "nats", "sqs-fifo", "sqs-standard", "activemq", "rabbitmq"],
  "outbox sources": ["sqlite", "postgres", "mysql", "mongodb"],
};

export type Cell = "passed" | "FAILED" | "not declared" | "not run";

export interface MatrixRow {
  readonly suite: string;
  readonly title: string;
  /** By position of the adapters. */
  readonly cells: readonly Cell[];
}

export interface Matrix {
  /** What its columns are. */
  readonly family: string;
  readonly adapters: readonly string[];
  readonly rows: readonly MatrixRow[];
}

/** Those of which any case ran. */
export function readMatrices(path: string): readonly Matrix[] {
  if (!existsSync(path)) return [];
  const texts = readFileSync(path, "utf8").split("\n");
  const lines = texts.flatMap((text) => lineOf(text) ?? []);
  const families = Map.groupBy(lines, ({ family = QUEUES }) => family);
  return [...families.values()].map((ofFamily) => matrixOf(ofFamily));
}

/** A process that was killed may leave half a line. */
function lineOf(text: string): MatrixLine | null {
  try {
    const line: unknown = JSON.parse(text);
    return isLine(line) ? line : null;
  } catch {
    return null;
  }
}

function isLine(value: unknown): value is MatrixLine {
  return typeof value === "object" && value !== null && "kind" in value && "adapter" in value && "suite" in value;
}

/** Of lines of one family. */
export function matrixOf(lines: readonly MatrixLine[]): Matrix {
  const collected = new Collected();
  for (const line of lines) collected.add(line);
  const family = lines[0]?.family ?? QUEUES;
  const known = KNOWN_ADAPTERS[family] ?? [];
  const others = [...collected.adapters].filter((name) => !known.includes(name)).toSorted();
  const adapters = [...known, ...others];
  const rows = [...collected.titles].flatMap(([suite, titles]) =>
    [...titles].map((title) => ({
      suite,
      title,
      cells: adapters.map((adapter) => collected.cell(adapter, suite, title)),
    })),
  );
  return { family, adapters, rows };
}

class Collected {
  readonly adapters = new Set<string>();
  /** By suite, in the order in which they were first heard of. */
  readonly titles = new Map<string, Set<string>>();
  readonly #began = new Map<string, number>();
  readonly #passed = new Map<string, number>();
  readonly #asked = new Map<string, readonly string[] | null>();

  add(line: MatrixLine): void {
    this.adapters.add(line.adapter);
    const titles = this.titles.get(line.suite) ?? new Set<string>();
    this.titles.set(line.suite, titles);
    if (line.kind === "suite") {
      this.#asked.set(keyOf(line.adapter, line.suite), line.cases);
      for (const title of line.cases ?? []) titles.add(title);
      return;
    }
    titles.add(line.title);
    const counts = line.kind === "began" ? this.#began : this.#passed;
    const key = keyOf(line.adapter, line.suite, line.title);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }

  cell(adapter: string, suite: string, title: string): Cell {
    const key = keyOf(adapter, suite, title);
    const [began, passed] = [this.#began.get(key) ?? 0, this.#passed.get(key) ?? 0];
    if (began > passed) return "FAILED";
    if (passed > 0) return "passed";
    const asked = this.#asked.get(keyOf(adapter, suite));
    return asked === undefined || asked?.includes(title) === true ? "not run" : "not declared";
  }
}

function keyOf(...parts: readonly string[]): string {
  return JSON.stringify(parts);
}

const CELL_WIDTH = 8;
const WIDTH = 110;
const TITLE_MIN_WIDTH = 30;

/** Within 110 columns, as long as there are no more columns than eight. */
export function formatMatrix({ family, adapters, rows }: Matrix): string {
  const titleWidth = Math.max(WIDTH - adapters.length * (CELL_WIDTH + 1), TITLE_MIN_WIDTH);
  const widths = [titleWidth, ...adapters.map(() => CELL_WIDTH)];
  const lines = [`${family}, case by case:`, "", ...textTable([["", ...adapters]], widths)];
  let suite: string | null = null;
  for (const row of rows) {
    if (row.suite !== suite) lines.push("", `${row.suite}:`);
    ({ suite } = row);
    lines.push(...textTable([[`  ${row.title}`, ...row.cells]], widths));
  }
  return [...lines, "", totals(rows)].join("\n");
}

/** One line, so that what did not run is seen without reading the whole. */
function totals(rows: readonly MatrixRow[]): string {
  const counts = new Map<Cell, number>();
  for (const cell of rows.flatMap(({ cells }) => cells)) counts.set(cell, (counts.get(cell) ?? 0) + 1);
  const order: readonly Cell[] = ["passed", "not declared", "not run", "FAILED"];
  return `cells: ${order.map((cell) => `${counts.get(cell) ?? 0} ${cell}`).join(", ")}`;
}
