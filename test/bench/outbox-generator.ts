/**
 * The application of the scenario `outbox`, in its own process: one transaction for each row, with an order of its own,
 * on a schedule. Takes one JSON argument (`OutboxGeneratorPlan`), prints one JSON line (`OutboxGeneratorResult`).
 *
 * Transactions of a group are made one after another, as whoever wants order does it; each row carries the time it was
 * due, so that a commit that takes long counts.
 */
import { openPostgresApplication } from "../harness/application.ts";

export interface OutboxGeneratorPlan {
  /** Of the application's PostgreSQL. */
  readonly databaseUrl: string;
  readonly type: string;
  readonly groups: number;
  readonly dataBytes: number;
  readonly connections: number;
  /** Rows a second; latency is measured after the ramp. */
  readonly rate: number;
  readonly rampSeconds: number;
  readonly seconds: number;
}

export interface OutboxGeneratorResult {
  readonly committed: number;
  readonly cpuSeconds: number;
  readonly peakMemoryMb: number;
}

const msPerSecond = 1_000;
/** What the rest of the data takes. */
const dataFrameBytes = 60;

const plan = JSON.parse(process.argv[2] ?? "{}") as OutboxGeneratorPlan;
const application = await openPostgresApplication(plan.databaseUrl);
const pad = "x".repeat(Math.max(0, plan.dataBytes - dataFrameBytes));
const places = new Int32Array(plan.groups);
const tails: Promise<void>[] = Array.from({ length: plan.connections }, () => Promise.resolve());
let committed = 0;

const startedAt = performance.now();
const origin = performance.timeOrigin + startedAt;
const rampMs = plan.rampSeconds * msPerSecond;
const endMs = rampMs + plan.seconds * msPerSecond;
for (let index = 0; ; index += 1) {
  const dueMs = (index * msPerSecond) / plan.rate;
  if (dueMs >= endMs) break;
  const waitMs = dueMs - (performance.now() - startedAt);
  if (waitMs > 0.3) await Bun.sleep(waitMs);
  const group = index % plan.groups;
  const place = (places[group] ?? 0) + 1;
  places[group] = place;
  const order = { group, place, data: { t: dueMs < rampMs ? 0 : origin + dueMs, pad } };
  const connection = group % plan.connections;
  tails[connection] = (tails[connection] ?? Promise.resolve()).then(async () => {
    await application.transact(connection, { orders: [order], type: plan.type, commits: true });
    committed += 1;
  });
}
await Promise.all(tails);
const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
const cpuSeconds = (userCPUTime + systemCPUTime) / 1_000_000;
const result: OutboxGeneratorResult = { committed, cpuSeconds, peakMemoryMb: maxRSS / 1024 };
console.log(JSON.stringify(result));
await application.close();
