import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { removeDataDir, startServer, temporaryDataDir } from "../harness/server-process.ts";
import { processUsage } from "../harness/process-usage.ts";
import type { Report } from "./report.ts";
import type { Scenario } from "./scenarios.ts";

interface StartFigures {
  readonly startMs: number;
  readonly idleMb: number;
}

/** Time to the first answered request, and memory 10 s after ready, of each service from the compiled executable. */
export const startup: Scenario = async (options) => {
  const executable = options.executable ?? resolve(import.meta.dir, "../../dist/flowcatalyst");
  if (!existsSync(executable)) {
    const built = Bun.spawnSync([process.execPath, resolve(import.meta.dir, "../../scripts/build.ts")]);
    if (built.exitCode !== 0) throw new Error(`the executable could not be built: ${built.stderr.toString()}`);
  }
  const rounds = options.short ? 1 : 5;
  const dev = await startRounds(executable, ["dev"], { rounds, short: options.short });
  const queueDir = temporaryDataDir();
  const routerArgs = ["router", "--queue", `sqlite:${join(queueDir, "queue.db")}`];
  const alone = await startRounds(executable, routerArgs, { rounds, short: options.short });
  removeDataDir(queueDir);
  const report: Report = {
    scenario: "startup",
    valid: true,
    notes: [],
    figures: {
      "dev first answer ms": dev.startMs,
      "dev idle MB": dev.idleMb,
      "router first answer ms": alone.startMs,
      "router idle MB": alone.idleMb,
    },
  };
  return report;
};

async function startRounds(
  executable: string,
  args: readonly string[],
  run: { rounds: number; short: boolean },
): Promise<StartFigures> {
  const starts: number[] = [];
  let idleMb = 0;
  for (let round = 0; round < run.rounds; round += 1) {
    const server = await startServer({ executable, args });
    starts.push(server.startedInMs);
    if (round === run.rounds - 1) {
      await Bun.sleep(run.short ? 1_000 : 10_000);
      idleMb = Math.round(processUsage(server.pid).residentMemoryMb);
    }
    await server.stop();
    removeDataDir(server.dataDir);
  }
  starts.sort((a, b) => a - b);
  return { startMs: Number((starts[starts.length >> 1] ?? 0).toFixed(1)), idleMb };
}
