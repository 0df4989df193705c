import { cpus, totalmem } from "node:os";
import type { ProcessUsage } from "../harness/process-usage.ts";
import type { DatabaseFigures, StatementFigures } from "./bench-database.ts";
import type { Percentiles, Rig } from "./rig.ts";

/** One run of one scenario, as printed and as kept in JSON. */
export interface Report {
  readonly scenario: string;
  readonly valid: boolean;
  /** Why it is not valid, or what else must be known. */
  readonly notes: readonly string[];
  readonly figures: Readonly<Record<string, number>>;
  readonly latency?: Readonly<Record<string, Percentiles>>;
  readonly yardstickPerSecond?: number;
  /** pipeline / yardstick; absent when the run is invalid or the receiver was the bound. */
  readonly ratio?: number;
  readonly usage?: Readonly<Record<string, UsagePerThousand>>;
  readonly database?: DatabaseReport;
  /** Name and version of the broker that carried the messages. */
  readonly broker?: string;
  readonly phases?: Readonly<Record<string, PhaseReport>>;
}

/** Who was busy during a part of a run. */
export interface PhaseReport {
  readonly seconds: number;
  /** By process: CPU seconds a second; `others`: the rest of the machine and the kernel. */
  readonly cores: Readonly<Record<string, number>>;
  readonly bound: string;
}

/** What the server of the database says of itself. */
export interface DatabaseReport extends DatabaseFigures {
  readonly perDelivery: Readonly<Record<string, number>>;
}

export interface UsagePerThousand {
  readonly cpuSecondsPerThousand: number;
  readonly peakMemoryMb: number;
}

/** Below this the yardstick says more of the receiver than of the pipeline. */
export const receiverBound = 35_000;
/** From here on a thread or the machine has nothing left to give; the rest is what waiting for one another costs. */
const busyShare = 0.85;
/** What others may take before the run says more of them. */
const othersShare = 0.3;
const statementShownChars = 90;

export function withRatio(report: Report, deliveredPerSecond: number): Report {
  if (!report.valid || report.yardstickPerSecond === undefined) return report;
  if (report.yardstickPerSecond < receiverBound) {
    return { ...report, notes: [...report.notes, `RECEIVER-BOUND: yardstick ${report.yardstickPerSecond}/s`] };
  }
  return { ...report, ratio: Number((deliveredPerSecond / report.yardstickPerSecond).toFixed(3)) };
}

/** What the run has used, by process, and what the database counted. Stops the system, which ends its statistics. */
export async function resourcesOf(
  rig: Rig,
  delivered: number,
): Promise<{ usage: Record<string, UsagePerThousand>; database?: DatabaseReport }> {
  const usage = perThousand(rig.usage(), delivered);
  if (rig.system.database === null) return { usage };
  await rig.system.stop();
  const figures = await rig.system.database.figures();
  return { usage, database: { ...figures, perDelivery: perDelivery(figures, delivered) } };
}

export function perThousand(
  usage: Readonly<Record<string, ProcessUsage>>,
  delivered: number,
): Record<string, UsagePerThousand> {
  const per = (used: ProcessUsage): UsagePerThousand => ({
    cpuSecondsPerThousand: Number(((used.cpuSeconds * 1000) / Math.max(1, delivered)).toFixed(4)),
    peakMemoryMb: Math.round(used.peakMemoryMb),
  });
  return Object.fromEntries(Object.entries(usage).map(([name, used]) => [name, per(used)]));
}

/** What more of which would make it faster, by who was busy. */
export function boundOf(cores: Readonly<Record<string, number>>, machineCores: number): string {
  const { others = 0 } = cores;
  if (others >= othersShare) return `not to be told: others use ${others.toFixed(2)} cores of this machine`;
  const total = Object.values(cores).reduce((sum, share) => sum + share, 0);
  const shares = Object.entries(cores).filter(([name]) => name !== "others");
  shares.sort(([, a], [, b]) => b - a);
  const [name, most] = shares[0] ?? ["nobody", 0];
  if (total >= machineCores * busyShare) return `the machine's ${machineCores} cores, of which ${name} uses most`;
  if (most >= busyShare) return `the ${name}, one of whose threads is busy all the time`;
  return `waiting for answers of one another: ${(machineCores - total).toFixed(2)} cores are idle`;
}

function perDelivery(figures: DatabaseFigures, delivered: number): Record<string, number> {
  const { statements } = figures;
  const calls = (counted: readonly StatementFigures[]): number =>
    counted.reduce((total, { calls }) => total + calls, 0);
  const counted =
    statements === null
      ? {}
      : { statements: calls(statements), "writing statements": calls(statements.filter(({ writes }) => writes)) };
  const totals = {
    "row writes": figures.rowWrites,
    ...counted,
    transactions: figures.transactions,
    "WAL bytes": figures.walBytes,
  };
  return Object.fromEntries(
    Object.entries(totals).map(([name, total]) => [name, Number((total / Math.max(1, delivered)).toFixed(3))]),
  );
}

export function print(report: Report): void {
  const lines = [`${report.scenario}: ${report.valid ? "VALID" : "INVALID"}`];
  for (const note of report.notes) lines.push(`  ${note}`);
  // An invalid run prints no throughput: a wrong answer has no speed.
  if (report.valid) {
    for (const [name, value] of Object.entries(report.figures)) lines.push(`  ${name.padEnd(28)} ${format(value)}`);
    for (const [name, p] of Object.entries(report.latency ?? {})) {
      lines.push(
        `  latency ${name}: p50 ${p.p50} ms, p95 ${p.p95} ms, p99 ${p.p99} ms, max ${p.max} ms (n=${p.count})`,
      );
    }
    if (report.yardstickPerSecond !== undefined)
      lines.push(`  yardstick                    ${report.yardstickPerSecond}/s`);
    if (report.ratio !== undefined) lines.push(`  ratio                        ${report.ratio}`);
  }
  if (report.broker !== undefined) lines.push(`  broker                       ${report.broker}`);
  for (const [name, { seconds, cores, bound }] of Object.entries(report.phases ?? {})) {
    const shares = Object.entries(cores).map(([process, share]) => `${process} ${share.toFixed(2)}`);
    lines.push(`  ${name}, ${seconds} s: cores used: ${shares.join(", ")}; bound: ${bound}`);
  }
  for (const [name, usage] of Object.entries(report.usage ?? {})) {
    lines.push(`  ${name.padEnd(10)} ${usage.cpuSecondsPerThousand} CPU s per 1,000, peak ${usage.peakMemoryMb} MB`);
  }
  if (report.database !== undefined) lines.push(...databaseLines(report.database));
  console.log(lines.join("\n"));
}

/** A statement of its own would have one call for each delivery; these have many rows a call. */
function databaseLines(database: DatabaseReport): string[] {
  const settings = Object.entries(database.settings).map(([name, value]) => `${name}=${value}`);
  const lines = [`  PostgreSQL ${database.version}: ${settings.join(" ")}`];
  for (const [name, value] of Object.entries(database.perDelivery)) {
    lines.push(`  ${`${name}/delivery`.padEnd(28)} ${format(value)}`);
  }
  const writing = (database.statements ?? []).filter(({ writes }) => writes);
  if (writing.length > 0) lines.push("  writing statements: calls, rows a call, ms a call");
  for (const { calls, rows, milliseconds, text } of writing) {
    const figures = [String(calls), format(rows / calls), (milliseconds / calls).toFixed(2)];
    lines.push(`  ${figures.map((figure) => figure.padStart(9)).join(" ")}  ${text.slice(0, statementShownChars)}`);
  }
  lines.push("  tables: MB, MB of indexes, rows, dead rows, inserted, updated (in place), deleted, vacuums");
  for (const table of database.tables) {
    const { tableMb, indexMb, liveRows, deadRows, inserted, updated, updatedInPlace, deleted, vacuums } = table;
    const sizes = `${tableMb} ${indexMb} ${liveRows} ${deadRows}`;
    lines.push(`    ${table.name}: ${sizes} ${inserted} ${updated} (${updatedInPlace}) ${deleted} ${vacuums}`);
  }
  return lines;
}

export function machineLine(report: Report, extra: Record<string, unknown>): string {
  return JSON.stringify({
    ...report,
    ...extra,
    at: new Date().toISOString(),
    bun: Bun.version,
    machine: { cores: cpus().length, memoryGib: Math.round(totalmem() / 2 ** 30), cpu: cpus()[0]?.model ?? "unknown" },
  });
}

function format(value: number): string {
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  return value.toFixed(value < 1 ? 3 : 2);
}
