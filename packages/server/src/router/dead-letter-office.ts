/**
 * What an operator does with messages that were set aside: looks at them, replays them, discards them.
 *
 * A replay publishes the message to its queue again and then removes the letter, through the queue's own
 * `settleDeadLetters`. Between the two the process may die. The letter is still there then, and the next replay
 * publishes under the same deduplication id, which is made of the letter's key and time: within the queue's window that
 * is one message, beyond it two, never none. The id is another one than the message had before, or a queue that
 * remembers it would swallow the message; and another for each time a message is set aside, so that one that fails
 * again can be replayed again. A stand-alone message keeps its own id, by which its receivers know it. A message of the
 * platform has no other id than its own, so it gets a new one, and what it is about are its jobs: by that id the
 * router knows to ask about them when it receives it, and those that are not owed any more are dropped.
 *
 * What cannot be read cannot be replayed; it stays where it is, and so does what the queue refuses. Everything can be
 * asked for as a dry run, which looks at the same letters and changes nothing.
 *
 * A replayed message goes to the end of its group: what came behind it has been delivered since.
 */
import { createHash } from "node:crypto";
import { CodedError, type Clock, type Logger } from "@flowcatalyst/foundation";
import { wireLimits, type DeadLetterSettlement, type SettleDeadLettersAnswer } from "@flowcatalyst/contracts";
import type { MessageId } from "../domain/ids.ts";
import type { QueueMessage } from "../domain/message.ts";
import { decodeMessage, describeFaults } from "../domain/message-codec.ts";
import type { DeadLetter, DeadLetterKey, PublishResult } from "../ports/queue.ts";
import { letterPage, type DeadLetterQueue, type LetterFilter, type LetterPage } from "./dead-letter-pages.ts";
import { replayIdPrefix } from "./message-shape.ts";

export interface DeadLetterOfficeDeps {
  /** Those of the router now, in the order in which they are shown. */
  readonly queues: () => readonly DeadLetterQueue[];
  readonly clock: Clock;
  readonly logger: Logger;
}

export type SettlingAct = "replay" | "discard";

/** What is asked of letters that are named. */
export interface NamedLetters {
  readonly keys: readonly DeadLetterKey[];
  /** Null: the only queue. */
  readonly queue: string | null;
  readonly dryRun: boolean;
}

export interface LettersRequest {
  readonly limit: number;
  readonly cursor: string | null;
  /** Null: all queues. */
  readonly queue: string | null;
  readonly filter: LetterFilter;
}

interface Verdict {
  readonly id: string | null;
  readonly status: DeadLetterSettlement["status"];
  readonly code?: string;
  readonly error?: string;
}

export class DeadLetterOffice {
  readonly #deps: DeadLetterOfficeDeps;

  constructor(deps: DeadLetterOfficeDeps) {
    this.#deps = deps;
  }

  /** Throws NOT_FOUND, CURSOR_INVALID. */
  list(request: LettersRequest): Promise<LetterPage> {
    return letterPage(this.#queuesOf(request.queue), { ...request, untilMs: null });
  }

  /** One letter with all of its body; null: there is none. Throws NOT_FOUND or VALIDATION_FAILED about the queue. */
  async find(key: DeadLetterKey, queueName: string | null): Promise<{ queue: string; letter: DeadLetter } | null> {
    const queue = this.#queueOf(queueName);
    const found: DeadLetter[] = [];
    await queue.settleDeadLetters([key], async (letter) => {
      found.push(letter);
      return "keep";
    });
    const [letter] = found;
    return letter === undefined ? null : { queue: queue.name, letter };
  }

  /** Throws NOT_FOUND or VALIDATION_FAILED about the queue. */
  async settleNamed(act: SettlingAct, { keys, queue, dryRun }: NamedLetters): Promise<SettleDeadLettersAnswer> {
    const results = await this.#settle({ act, dryRun, queue: this.#queueOf(queue) }, keys);
    return { ...this.#told(act, { results, dryRun }), unpaged: [] };
  }

  /** One page of them, and how to go on. Throws NOT_FOUND, CURSOR_INVALID. */
  async settlePage(
    act: SettlingAct,
    request: LettersRequest & { readonly dryRun: boolean },
  ): Promise<SettleDeadLettersAnswer> {
    const { dryRun } = request;
    const untilMs = this.#deps.clock.now();
    const page = await letterPage(this.#queuesOf(request.queue), { ...request, untilMs });
    const results: DeadLetterSettlement[] = [];
    for (const queue of new Set(page.letters.map((found) => found.queue))) {
      const keys = page.letters.filter((found) => found.queue === queue).map(({ letter }) => letter.key);
      results.push(...(await this.#settle({ act, dryRun, queue }, keys)));
    }
    const told = this.#told(act, { results, dryRun });
    // Whoever gives out only what one look shows gives out others once these are gone.
    const nextCursor = told.count > 0 && !dryRun ? (page.sameCursor ?? page.nextCursor) : page.nextCursor;
    return { ...told, ...(nextCursor === null ? {} : { nextCursor }), unpaged: [...page.unpaged] };
  }

  #told(act: SettlingAct, { results, dryRun }: { results: DeadLetterSettlement[]; dryRun: boolean }) {
    const count = results.filter(({ status }) => status === "REPLAYED" || status === "DISCARDED").length;
    if (!dryRun && count > 0) this.#deps.logger.info({ act, count }, "dead letters were settled");
    return { dryRun, count, results };
  }

  async #settle(
    { act, dryRun, queue }: { readonly act: SettlingAct; readonly dryRun: boolean; readonly queue: DeadLetterQueue },
    keys: readonly DeadLetterKey[],
  ): Promise<DeadLetterSettlement[]> {
    const verdicts = new Map<DeadLetterKey, Verdict>();
    const known = [...new Set(keys)];
    const settled = await queue.settleDeadLetters(known, async (letter) => {
      const verdict = act === "discard" ? discarded(letter) : await replayed(letter, { queue, dryRun });
      verdicts.set(letter.key, verdict);
      const goes = verdict.status === "REPLAYED" || verdict.status === "DISCARDED";
      return goes && !dryRun ? "remove" : "keep";
    });
    const gone = new Set(known.filter((_, at) => settled[at] === "missing"));
    return keys.map((key) => {
      const verdict = verdicts.get(key);
      // Published again it is, even if somebody else has removed the letter since.
      const isMissing = verdict === undefined || (gone.has(key) && verdict.status !== "REPLAYED");
      return { key, queue: queue.name, ...(isMissing ? missing(verdict?.id ?? null) : verdict) };
    });
  }

  #queuesOf(name: string | null): readonly DeadLetterQueue[] {
    return name === null ? this.#deps.queues() : [this.#named(name)];
  }

  #queueOf(name: string | null): DeadLetterQueue {
    if (name !== null) return this.#named(name);
    const queues = this.#deps.queues();
    const [only] = queues;
    if (only === undefined) throw new CodedError("NOT_FOUND", { message: "This router has no queue." });
    if (queues.length === 1) return only;
    const names = queues.map((queue) => queue.name).join(", ");
    const message = `is needed, because this router has several: ${names}`;
    throw new CodedError("VALIDATION_FAILED", { message: `queue ${message}.`, errors: [{ path: "queue", message }] });
  }

  #named(name: string): DeadLetterQueue {
    const queues = this.#deps.queues();
    const queue = queues.find((one) => one.name === name);
    if (queue !== undefined) return queue;
    const names = queues.map((one) => one.name).join(", ");
    throw new CodedError("NOT_FOUND", { message: `There is no queue ${name}; this router has ${names || "none"}.` });
  }
}

function missing(id: string | null): Verdict {
  return { id, status: "MISSING" };
}

function discarded({ id }: DeadLetter): Verdict {
  return { id, status: "DISCARDED" };
}

async function replayed(
  letter: DeadLetter,
  { queue, dryRun }: { readonly queue: DeadLetterQueue; readonly dryRun: boolean },
): Promise<Verdict> {
  const { id } = letter;
  const decoded = decodeMessage(letter.body, letter.lane ?? undefined);
  if (decoded.kind === "malformed") {
    return { id, status: "UNREADABLE", code: decoded.code, error: describeFaults(decoded.faults) };
  }
  if (dryRun) return { id, status: "REPLAYED" };
  const result = await publishedOnce(queue, again(decoded.message, replayIdOf(queue.name, letter)));
  switch (result.kind) {
    case "published":
    case "duplicate":
      return { id, status: "REPLAYED" };
    case "invalid":
      return { id, status: "REFUSED", code: result.code, error: result.detail };
    case "refused":
      return { id, status: "REFUSED", code: "QUEUE_UNAVAILABLE", error: result.detail };
  }
}

/** A queue out of reach keeps the letter, and says so in its place. */
async function publishedOnce(queue: DeadLetterQueue, message: QueueMessage): Promise<PublishResult> {
  try {
    const [result] = await queue.publish([message]);
    return result ?? { kind: "refused", detail: "no answer" };
  } catch (cause) {
    const detail = cause instanceof CodedError ? cause.publicMessage : "the queue could not be reached";
    return { kind: "refused", detail };
  }
}

function again(message: QueueMessage, replayId: string): QueueMessage {
  return message.kind === "standalone"
    ? { ...message, deduplicationId: replayId }
    : { ...message, id: replayId as MessageId };
}

/** A key may come again for another letter, once the first one is gone; its time does not. */
function replayIdOf(queue: string, { key, atMs }: DeadLetter): string {
  const hash = createHash("sha256")
    .update(JSON.stringify([queue, key, atMs]))
    .digest("hex");
  return replayIdPrefix + hash.slice(0, replayIdChars);
}

const replayIdChars = 32;

/** Of the body, as much as tells what it was. */
export function shownBody({ body }: DeadLetter): string {
  return body.slice(0, wireLimits.deadLetterBodyMaxChars);
}
