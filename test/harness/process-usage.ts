import { readdirSync, readFileSync } from "node:fs";

/** What a process has used so far, by the kernel's own account. Zeroes where there is no /proc. */
export interface ProcessUsage {
  readonly cpuSeconds: number;
  readonly peakMemoryMb: number;
  readonly residentMemoryMb: number;
}

const ticksPerSecond = 100;

export function processUsage(pid: number): ProcessUsage {
  try {
    const fields = statFields(pid) ?? [];
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

/** CPU seconds that all processes and the kernel have used since the machine started. */
export function machineCpuSeconds(): number {
  try {
    // user, nice, system, idle, iowait, irq, softirq, steal
    const [, user, nice, system, , , irq, softirq] = readFileSync("/proc/stat", "utf8").split(/\s+/, 9).map(Number);
    return [user, nice, system, irq, softirq].reduce<number>((sum, ticks = 0) => sum + ticks, 0) / ticksPerSecond;
  } catch {
    return 0;
  }
}

/** A process and all that descend from it, parents first. */
export function processTree(root: number): readonly number[] {
  const childrenOf = Map.groupBy(liveProcesses(), ({ parent }) => parent);
  const tree = [root];
  for (const pid of tree) tree.push(...(childrenOf.get(pid) ?? []).map((child) => child.pid));
  return tree;
}

/**
 * What a server of many processes uses. CPU counts those that have ended as well; memory is the proportional share of
 * each process, so that what they share counts once, and its peak is for the caller to find by asking often.
 */
export function processTreeUsage(root: number): ProcessUsage {
  let cpuSeconds = endedChildrenSeconds(root);
  let memoryMb = 0;
  for (const pid of processTree(root)) {
    cpuSeconds += processUsage(pid).cpuSeconds;
    memoryMb += proportionalMb(pid);
  }
  return { cpuSeconds, peakMemoryMb: memoryMb, residentMemoryMb: memoryMb };
}

function liveProcesses(): { pid: number; parent: number }[] {
  const found: { pid: number; parent: number }[] = [];
  for (const name of listProcesses()) {
    const fields = statFields(Number(name));
    if (fields !== null) found.push({ pid: Number(name), parent: Number(fields[1]) });
  }
  return found;
}

function listProcesses(): readonly string[] {
  try {
    return readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}

/** The fields of /proc/PID/stat after the command's name, which may hold anything; null: it has ended. */
function statFields(pid: number): readonly string[] | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return null;
  }
}

function endedChildrenSeconds(pid: number): number {
  const fields = statFields(pid);
  return fields === null ? 0 : (Number(fields[13]) + Number(fields[14])) / ticksPerSecond;
}

function proportionalMb(pid: number): number {
  try {
    return kilobytes(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"), "Pss") / 1024;
  } catch {
    return 0;
  }
}

function kilobytes(status: string, key: string): number {
  const match = new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(status);
  return match ? Number(match[1]) : 0;
}
