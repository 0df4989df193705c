import { cpus, totalmem } from "node:os";
import type { ProcessUsage } from "../harness/process-usage.ts";
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
}

export interface UsagePerThousand {
  readonly cpuSecondsPerThousand: number;
  readonly peakMemoryMb: number;
}

/** Below this the yardstick says more of the receiver than of the pipeline. */
const receiverBoundBelow = 35_000;

export function withRatio(report: Report, deliveredPerSecond: number): Report {
  if (!report.valid || report.yardstickPerSecond === undefined) return report;
  if (report.yardstickPerSecond < receiverBoundBelow) {
    return { ...report, notes: [...report.notes, `RECEIVER-BOUND: yardstick ${report.yardstickPerSecond}/s`] };
  }
  return { ...report, ratio: Number((deliveredPerSecond / report.yardstickPerSecond).toFixed(3)) };
}

export function usagePerThousand(rig: Rig, delivered: number): Record<string, UsagePerThousand> {
  const per = (usage: ProcessUsage): UsagePerThousand => ({
    cpuSecondsPerThousand: Number(((usage.cpuSeconds * 1000) / Math.max(1, delivered)).toFixed(4)),
    peakMemoryMb: Math.round(usage.peakMemoryMb),
  });
  return Object.fromEntries(Object.entries(rig.usage()).map(([name, usage]) => [name, per(usage)]));
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
  for (const [name, usage] of Object.entries(report.usage ?? {})) {
    lines.push(`  ${name.padEnd(10)} ${usage.cpuSecondsPerThousand} CPU s per 1,000, peak ${usage.peakMemoryMb} MB`);
  }
  console.log(lines.join("\n"));
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
  return Number.isInteger(value) ? value.toLocaleString("en-US") : value.toFixed(2);
}
