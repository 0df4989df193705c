import { readFileSync } from "node:fs";

/** What a process has used so far, by the kernel's own account. Zeroes where there is no /proc. */
export interface ProcessUsage {
  readonly cpuSeconds: number;
  readonly peakMemoryMb: number;
  readonly residentMemoryMb: number;
}

const ticksPerSecond = 100;

export function processUsage(pid: number): ProcessUsage {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return {
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
      peakMemoryMb: kilobytes(status, "VmHWM") / 1024,
      residentMemoryMb: kilobytes(status, "VmRSS") / 1024,
    };
  } catch {
    return { cpuSeconds: 0, peakMemoryMb: 0, residentMemoryMb: 0 };
  }
}

function kilobytes(status: string, key: string): number {
  const match = new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(status);
  return match ? Number(match[1]) : 0;
}
