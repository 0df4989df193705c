/**
 * Applications: they publish events, and try again with the same deduplication id until they are answered, as the SDK
 * does. Some send without one: then an unanswered event may or may not have been accepted.
 */
import { describeError } from "@flowcatalyst/foundation";
import type { NewEvent } from "../../packages/server/src/domain/event.ts";
import { taskGroupKey } from "../../packages/server/src/domain/group-key.ts";
import type { NewTaskJob } from "../../packages/server/src/domain/dispatch-job.ts";
import type { Dice } from "./dice.ts";
import type { Incarnation } from "./incarnation.ts";
import { eventTypes, type Scenario } from "./scenario.ts";
import type { SimulatedTime } from "./simulated-time.ts";

/** An event as its sender knows it. */
export interface SentEvent {
  readonly number: number;
  readonly type: string;
  readonly even: boolean;
  readonly group: string | null;
  readonly deduplicationId: string | null;
  /** Subscriptions that existed for sure when it was sent, or may have come into being only afterwards. */
  readonly sentAtMs: number;
  /** Its id, once it was answered. */
  id: string | null;
}

export interface PublisherDeps {
  readonly scenario: Scenario;
  readonly time: SimulatedTime;
  readonly dice: Dice;
  readonly current: () => Incarnation | null;
  readonly note: (text: string) => void;
}

const RETRY_MS = 700;

export class Publisher {
  readonly sent: SentEvent[] = [];
  /** Ids of tasks that were answered. */
  readonly tasks = new Set<string>();
  isDone = false;
  readonly #deps: PublisherDeps;

  constructor(deps: PublisherDeps) {
    this.#deps = deps;
  }

  async run(): Promise<void> {
    const { scenario, dice, time } = this.#deps;
    const pending: Promise<void>[] = [];
    let tasksLeft = scenario.tasks;
    for (let left = scenario.events; left > 0;) {
      const count = Math.min(left, dice.int(1, scenario.batchMax));
      left -= count;
      const batch = this.#draw(count);
      pending.push(this.#publish(batch));
      // Impatient: the same once more, before there was an answer.
      if (dice.chance(0.1) && mayRepeat(batch)) pending.push(this.#publish(batch));
      if (tasksLeft > 0 && dice.chance(0.5)) pending.push(this.#createTask(tasksLeft--));
      const meanPauseMs = (scenario.chaosMs * 0.8 * count) / scenario.events;
      await time.sleep(dice.int(0, Math.ceil(2 * meanPauseMs)));
    }
    await Promise.all(pending);
    this.isDone = true;
  }

  #draw(count: number): SentEvent[] {
    const { scenario, dice, time } = this.#deps;
    return Array.from({ length: count }, () => {
      const number = this.sent.length;
      const event: SentEvent = {
        number,
        type: dice.pick(eventTypes),
        even: number % 2 === 0,
        group: dice.chance(0.1) ? null : `g${dice.int(1, scenario.groups)}`,
        deduplicationId: dice.chance(0.8) ? `d${number}` : null,
        sentAtMs: time.elapsedMs,
        id: null,
      };
      this.sent.push(event);
      return event;
    });
  }

  async #publish(batch: readonly SentEvent[]): Promise<void> {
    const { time } = this.#deps;
    for (;;) {
      const process = this.#deps.current();
      const isTried = process !== null;
      if (isTried && ((await this.#append(batch, process)) || !mayRepeat(batch))) return;
      await time.sleep(RETRY_MS);
    }
  }

  /** False: not answered. */
  async #append(batch: readonly SentEvent[], process: Incarnation): Promise<boolean> {
    const { note } = this.#deps;
    try {
      const appended = await process.events.append(batch.map((event) => newEvent(event, process)));
      for (const [at, { event }] of appended.entries()) {
        const sent = batch[at];
        if (sent !== undefined) sent.id = event.id;
      }
      note(`p${process.life.number} accepted events ${batch[0]?.number} to ${batch.at(-1)?.number}`);
      return true;
    } catch (error) {
      note(`events from ${batch[0]?.number} not answered: ${describeError(error)}`);
      return false;
    }
  }

  async #createTask(number: number): Promise<void> {
    const { scenario, dice, time } = this.#deps;
    const template = dice.pick(scenario.subscriptions);
    const group = dice.chance(0.7) ? `g${dice.int(1, scenario.groups)}` : null;
    while (!(await this.#tryTask({ number, template, group }))) await time.sleep(RETRY_MS);
  }

  /** False: not answered, and to be tried again under the same key. */
  async #tryTask(sketch: TaskSketch): Promise<boolean> {
    const process = this.#deps.current();
    if (process === null) return false;
    try {
      const [created] = await process.store.jobCommands.createTasks([newTask(sketch, process)]);
      if (created !== undefined) this.tasks.add(created.job.id);
      return true;
    } catch {
      return false;
    }
  }
}

/** Only what carries a deduplication id may be sent again. */
function mayRepeat(batch: readonly SentEvent[]): boolean {
  return batch.every(({ deduplicationId }) => deduplicationId !== null);
}

function newEvent(event: SentEvent, process: Incarnation): NewEvent {
  const nowMs = process.clock.now();
  return {
    id: process.ids.event(),
    clientId: null,
    type: event.type,
    source: "/simulation",
    subject: null,
    timeMs: nowMs,
    messageGroup: event.group,
    correlationId: null,
    causationId: null,
    deduplicationId: event.deduplicationId,
    senderId: null,
    dataContentType: "application/json",
    dataSchema: null,
    dataKind: "json",
    data: JSON.stringify({ n: event.number, even: event.even }),
    contextData: [],
    extensions: {},
    createdAtMs: nowMs,
  };
}

interface TaskSketch {
  readonly number: number;
  readonly template: Scenario["subscriptions"][number];
  readonly group: string | null;
}

function newTask({ number, template, group }: TaskSketch, process: Incarnation): NewTaskJob {
  const nowMs = process.clock.now();
  const { targetUrl, poolCode, mode, format, timeoutSeconds, retry, maxAgeSeconds, legacySignature } = template;
  return {
    kind: "TASK",
    id: process.ids.job(),
    clientId: null,
    eventId: null,
    subscriptionId: null,
    code: "task",
    messageGroup: group,
    groupKey: taskGroupKey(null, mode, group),
    profile: {
      key: `task:${template.id}`,
      subscriptionId: null,
      headers: {},
      secretRef: null,
      targetUrl,
      poolCode,
      mode,
      format,
      timeoutSeconds,
      retry,
      maxAgeSeconds,
      legacySignature,
    },
    payload: JSON.stringify({ task: number }),
    contentType: "application/json",
    dueAtMs: nowMs,
    idempotencyKey: `task-${number}`,
    metadata: {},
    createdAtMs: nowMs,
  };
}
