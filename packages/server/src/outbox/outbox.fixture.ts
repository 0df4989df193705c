import {
  createMetrics,
  seededRandom,
  silentLogger,
  systemClock,
  type LogFields,
  type Metrics,
} from "@flowcatalyst/foundation";
import { createOutboxPublisher } from "../remote/index.ts";
import { MemoryOutbox } from "./memory-outbox.fixture.ts";
import { createOutboxProcessor, type OutboxProcessor, type OutboxProcessorConfig } from "./outbox-processor.ts";

/** An item as it arrived, with the group it says. */
export interface ReceivedItem {
  readonly id: string;
  readonly group: string | null;
  readonly item: Readonly<Record<string, unknown>>;
}

export interface ReceivedBatch {
  readonly path: string;
  readonly items: readonly ReceivedItem[];
}

export type Answer = Response | "SUCCESS" | readonly string[];

/** A platform on a real port that answers what a test says; SUCCESS for every item unless told otherwise. */
export class ScriptedPlatform {
  readonly batches: ReceivedBatch[] = [];
  answer: (batch: ReceivedBatch) => Answer | Promise<Answer> = () => "SUCCESS";
  /** Requests under way, by group: more than one of a group at once is a fault. */
  readonly overlaps: string[] = [];
  readonly #underWay = new Map<string, number>();
  readonly #server: Bun.Server<undefined>;

  constructor() {
    this.#server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: (request) => this.#serve(request) });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  /** Ids of all items taken, in the order they were answered. */
  readonly taken: ReceivedItem[] = [];

  async #serve(request: Request): Promise<Response> {
    const body: unknown = await request.json();
    const batch = { path: new URL(request.url).pathname, items: itemsOf(body) };
    this.batches.push(batch);
    const groups = new Set(batch.items.flatMap(({ group }) => (group === null ? [] : [group])));
    for (const group of groups) {
      if ((this.#underWay.get(group) ?? 0) > 0) this.overlaps.push(group);
      this.#underWay.set(group, (this.#underWay.get(group) ?? 0) + 1);
    }
    const answer = await this.answer(batch);
    for (const group of groups) this.#underWay.set(group, (this.#underWay.get(group) ?? 0) - 1);
    return this.#respond(batch, answer);
  }

  #respond({ items }: ReceivedBatch, answer: Answer): Response {
    if (answer instanceof Response) return answer;
    const statuses = answer === "SUCCESS" ? items.map(() => "SUCCESS") : answer;
    items.forEach((item, at) => statuses[at] === "SUCCESS" && this.taken.push(item));
    return Response.json({ results: statuses.map((status) => ({ status, error: status === "SUCCESS" ? "" : "no" })) });
  }

  stop(): Promise<void> {
    return this.#server.stop(true);
  }
}

function itemsOf(body: unknown): readonly ReceivedItem[] {
  if (!isRecord(body)) throw new Error("no object");
  const items: unknown = body["items"] ?? body["messages"];
  if (!Array.isArray(items)) throw new Error("no items");
  return items.map((item: unknown) => {
    if (!isRecord(item)) throw new Error("no object");
    const id = item["deduplicationId"] ?? item["idempotencyKey"] ?? item["id"];
    const group = item["messageGroup"] ?? item["messageGroupId"];
    return { id: String(id), group: typeof group === "string" ? group : null, item };
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export interface OutboxBench {
  readonly outbox: MemoryOutbox;
  readonly platform: ScriptedPlatform;
  readonly processor: OutboxProcessor;
  readonly metrics: Metrics;
  /** What it told operators, in order, with the reason if it gave one. */
  readonly said: readonly string[];
  start(): void;
  /** So much time passes at once, for whoever measures how long something takes; timers are not early. */
  passTime(ms: number): void;
  stop(): Promise<void>;
  close(): Promise<void>;
}

/** The processor between a scripted source and a scripted platform, on the machine's clock. */
export function openOutboxBench(changes: Partial<OutboxProcessorConfig> = {}): OutboxBench {
  const machine = systemClock();
  let passedMs = 0;
  const clock = { ...machine, monotonicMs: () => machine.monotonicMs() + passedMs };
  const outbox = new MemoryOutbox(clock);
  const platform = new ScriptedPlatform();
  const metrics = createMetrics();
  const publisher = createOutboxPublisher(
    { clock },
    { baseUrl: () => platform.url, token: null, userAgent: "FlowCatalyst/test", timeoutMs: 5_000 },
  );
  const said: string[] = [];
  const say = ({ reason }: LogFields, message: string): void => {
    said.push(typeof reason === "string" ? `${message}: ${reason}` : message);
  };
  const logger = { ...silentLogger(), info: say, warn: say };
  const processor = createOutboxProcessor(
    { source: outbox, publisher, clock, random: seededRandom(1), logger, metrics },
    {
      holder: "one",
      pollIntervalMs: 20,
      batchMaxRows: 500,
      concurrency: 10,
      maxRetries: 10,
      blockOnError: true,
      retentionMs: 0,
      ...changes,
    },
  );
  let running: { readonly stop: AbortController; readonly stopped: Promise<void> } | null = null;
  const stop = async (): Promise<void> => {
    running?.stop.abort();
    await running?.stopped;
    running = null;
  };
  return {
    outbox,
    platform,
    processor,
    metrics,
    said,
    start: () => {
      const told = new AbortController();
      running = { stop: told, stopped: processor.run(told.signal) };
    },
    passTime: (ms) => void (passedMs += ms),
    stop,
    close: async () => {
      await stop();
      await platform.stop();
    },
  };
}
