/**
 * The load generator: its own process. Takes one JSON argument (`GeneratorPlan`), prints one JSON line
 * (`GeneratorResult`).
 *
 * Every event carries its group, its place in the group and its scheduled time. Groups are divided among the
 * connections, so that no two requests under way share a group: what is sent in order must arrive in order.
 */
export interface GeneratorPlan {
  readonly url: string;
  readonly token?: string;
  readonly type: string;
  /** Types are `type` + index below this, bound to the group, so that a group's events of one type stay in order. */
  readonly typeCount?: number;
  /** Stand-alone messages for a router instead of events: where they are to be delivered. */
  readonly messageTarget?: string;
  readonly groups: number;
  readonly dataBytes: number;
  readonly batch: number;
  readonly connections: number;
  /** Closed loop: as fast as accepted, until `seconds` or `events` are reached. */
  readonly seconds?: number;
  readonly events?: number;
  /** Open loop: events a second, with the ramp before the hold. Latency is measured in the hold only. */
  readonly rate?: number;
  readonly rampSeconds?: number;
  /** Sends a deduplicationId, so that a request whose answer was lost can be repeated. */
  readonly deduplicate?: boolean;
}

export interface GeneratorResult {
  readonly accepted: number;
  readonly seconds: number;
  readonly overloaded: number;
  readonly retried: number;
  readonly cpuSeconds: number;
  readonly peakMemoryMb: number;
}

/** The server answered, and will not take it however often it is sent. */
class Refusal extends Error {}

const plan = JSON.parse(process.argv[2] ?? "{}") as GeneratorPlan;
const places = new Int32Array(plan.groups);
const pad = "x".repeat(Math.max(0, plan.dataBytes - 60));
const giveUpAfterMs = 60_000;
let accepted = 0;
let overloaded = 0;
let retried = 0;

const startedAt = performance.now();
if (plan.rate === undefined) await closedLoop();
else await openLoop(plan.rate);
const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
const result: GeneratorResult = {
  accepted,
  seconds: (performance.now() - startedAt) / 1000,
  overloaded,
  retried,
  cpuSeconds: (userCPUTime + systemCPUTime) / 1_000_000,
  peakMemoryMb: maxRSS / 1024,
};
console.log(JSON.stringify(result));

function event(group: number, scheduledMs: number): string {
  const place = (places[group] ?? 0) + 1;
  places[group] = place;
  const type = plan.typeCount ? `${plan.type}${typeIndex(plan.typeCount, group, place)}` : plan.type;
  const dedup = plan.deduplicate ? `,"deduplicationId":"${group}.${place}"` : "";
  const data = `{"g":${group},"n":${place},"t":${scheduledMs},"pad":"${pad}"}`;
  if (plan.messageTarget !== undefined) {
    return (
      `{"id":"m${group}.${place}","poolCode":"BENCH","mediationType":"HTTP","target":"${plan.messageTarget}",` +
      `"messageGroupId":"g${group}","payload":${data}}`
    );
  }
  return `{"type":"${type}","source":"bench","messageGroup":"g${group}"${dedup},"data":${data}}`;
}

function typeIndex(typeCount: number, group: number, place: number): number {
  if (typeCount <= plan.groups) return group % typeCount;
  return (group + plan.groups * (place % Math.floor(typeCount / plan.groups))) % typeCount;
}

async function send(body: string, path: string, count: number): Promise<void> {
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (plan.token !== undefined) headers["authorization"] = `Bearer ${plan.token}`;
  const until = performance.now() + giveUpAfterMs;
  for (;;) {
    try {
      const response = await fetch(plan.url + path, { method: "POST", headers, body });
      const text = await response.text();
      if (response.status === 201 || response.status === 200) {
        accepted += count;
        return;
      }
      if (response.status !== 503) throw new Refusal(`${response.status} ${text.slice(0, 500)}`);
      overloaded += 1;
    } catch (error) {
      if (error instanceof Refusal || !plan.deduplicate) throw error;
      retried += 1;
    }
    if (performance.now() > until) throw new Error("the server has not accepted anything for a minute");
    await Bun.sleep(50);
  }
}

async function closedLoop(): Promise<void> {
  const until = startedAt + (plan.seconds ?? 3600) * 1000;
  const perConnection = plan.events === undefined ? Infinity : Math.ceil(plan.events / plan.connections);
  const connection = async (index: number): Promise<void> => {
    const own = [];
    for (let group = index; group < plan.groups; group += plan.connections) own.push(group);
    if (own.length === 0) return;
    let turn = 0;
    let sent = 0;
    while (performance.now() < until && sent < perConnection) {
      const count = Math.min(plan.batch, perConnection - sent);
      const parts: string[] = [];
      for (let i = 0; i < count; i += 1) parts.push(event(own[turn++ % own.length] ?? 0, 0));
      if (plan.messageTarget === undefined) await send(`{"events":[${parts.join(",")}]}`, "/api/events/batch", count);
      else await send(`[${parts.join(",")}]`, "/api/router/publish", count);
      sent += count;
    }
  };
  await Promise.all(Array.from({ length: plan.connections }, (_, index) => connection(index)));
}

/** One event a request; a group whose last request is still under way queues behind it. */
async function openLoop(rate: number): Promise<void> {
  const rampMs = (plan.rampSeconds ?? 5) * 1000;
  const endMs = rampMs + (plan.seconds ?? 60) * 1000;
  const tails: Promise<void>[] = Array.from({ length: plan.groups }, () => Promise.resolve());
  const origin = performance.timeOrigin + startedAt;
  for (let index = 0; ; index += 1) {
    const dueMs = (index * 1000) / rate;
    if (dueMs >= endMs) break;
    const waitMs = dueMs - (performance.now() - startedAt);
    if (waitMs > 0.3) await Bun.sleep(waitMs);
    const group = index % plan.groups;
    const body = event(group, dueMs < rampMs ? 0 : origin + dueMs);
    tails[group] = (tails[group] ?? Promise.resolve()).then(() => send(body, "/api/events", 1));
  }
  await Promise.all(tails);
}
