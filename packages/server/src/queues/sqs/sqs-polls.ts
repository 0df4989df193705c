import type { Clock, Random } from "@flowcatalyst/foundation";
import { ReceiveMessageCommand, type Message } from "@aws-sdk/client-sqs";
import { sqsLimits } from "./sqs-queue-limits.ts";
import { sqsFaultName, type SqsService } from "./sqs-service.ts";

/** What one poll brought, and when it was asked for: no later than what it brought began to be hidden. */
export interface Arrival {
  readonly messages: readonly Message[];
  readonly askedAtMs: number;
}

export interface SqsPollsDeps {
  readonly service: SqsService;
  readonly clock: Clock;
  readonly random: Random;
  /** Lets others have messages that nobody here wants. */
  readonly giveBack: (messages: readonly Message[]) => Promise<void>;
}

export interface SqsPollsConfig {
  readonly url: string;
  readonly isFifo: boolean;
  readonly visibilitySeconds: number;
}

interface Asker {
  readonly max: number;
  readonly answer: (arrival: Arrival) => void;
  readonly fail: (error: unknown) => void;
}

interface Poll {
  /** Null: whoever asked has gone; what it brings is for the next one. */
  asker: Asker | null;
  readonly over: Promise<void>;
}

export interface PollRequest {
  readonly max: number;
  readonly waitMs: number;
}

/** A poll by the name under which SQS knows it again. */
interface Unanswered {
  readonly name: string;
  /** When what it may have brought is visible again, at the earliest. */
  readonly untilMs: number;
}

const ATTEMPT_BYTES = 16;

/**
 * The polls of one queue of SQS.
 *
 * A poll that was sent cannot be taken back: SQS may give it a message after whoever asked hung up, and the message is
 * then hidden from everybody for its visibility. So no poll is cut off. A question that ends before its poll (its wait
 * was not of whole seconds, or it was aborted) leaves the poll astray; the next question takes that one over, and what
 * a poll brings that is astray at its end goes to whoever waits, else is kept for a second, else given back.
 *
 * On a FIFO queue a poll without an answer may have locked groups. It is asked again under the name it had, and SQS
 * answers with the same messages. It does so while they are hidden and untouched; when they may not be any more, and
 * when SQS itself says no, the name is dropped, because it would be refused again and again.
 */
export class SqsPolls {
  readonly #deps: SqsPollsDeps;
  readonly #config: SqsPollsConfig;
  readonly #open = new Set<Poll>();
  readonly #askers = new Set<Asker>();
  #unanswered: Unanswered[] = [];
  readonly #kept: Arrival[] = [];
  #isClosed = false;

  constructor(deps: SqsPollsDeps, config: SqsPollsConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** Empty: nothing came within the wait, or the signal was aborted. */
  async ask({ max, waitMs }: PollRequest, signal: AbortSignal): Promise<Arrival> {
    const { clock } = this.#deps;
    const none = { messages: [], askedAtMs: clock.monotonicMs() };
    const giveUpAtMs = clock.monotonicMs() + waitMs;
    for (;;) {
      if (signal.aborted || this.#isClosed) return none;
      const kept = this.#kept.shift();
      if (kept !== undefined) return this.#shorten(kept, max);
      const beganAtMs = clock.monotonicMs();
      const leftMs = Math.max(0, giveUpAtMs - beganAtMs);
      const arrival = await this.#askOnce({ max, waitMs: leftMs }, signal);
      if (arrival.messages.length > 0) return arrival;
      if (clock.monotonicMs() < giveUpAtMs) {
        // A server that ends polls at once is not asked without a pause.
        if (clock.monotonicMs() - beganAtMs < sqsLimits.shortPollMs) await clock.sleep(sqsLimits.shortPollMs, signal);
        continue;
      }
      return waitMs === 0 && this.#hasStrays() ? this.#wait({ max, waitMs: sqsLimits.strayGraceMs }, signal) : none;
    }
  }

  /**
   * Ends all questions, waits for what polls under way may be bringing, though not for idle ones to their end, and
   * gives back what nobody took.
   */
  async close(): Promise<void> {
    this.#isClosed = true;
    const { clock, giveBack } = this.#deps;
    const none = { messages: [], askedAtMs: clock.monotonicMs() };
    for (const asker of this.#askers) asker.answer(none);
    const enough = new AbortController();
    const grace = clock.sleep(sqsLimits.closeGraceMs, enough.signal);
    await Promise.race([Promise.all([...this.#open].map(({ over }) => over)), grace]);
    enough.abort();
    await Promise.all(this.#kept.splice(0).map(({ messages }) => giveBack(messages)));
  }

  #hasStrays(): boolean {
    return [...this.#open].some(({ asker }) => asker === null);
  }

  /** Takes over a poll that is astray, or begins one. */
  #askOnce(request: PollRequest, signal: AbortSignal): Promise<Arrival> {
    const stray = request.waitMs === 0 ? undefined : [...this.#open].find(({ asker }) => asker === null);
    const seconds = Math.min(sqsLimits.maxPollSeconds, Math.ceil(request.waitMs / 1_000));
    // A poll that ends about when its wait does needs no timer.
    const endsInTime = stray === undefined && seconds * 1_000 <= request.waitMs + sqsLimits.pollSlackMs;
    return this.#wait({ ...request, waitMs: endsInTime ? null : request.waitMs }, signal, (asker) => {
      const poll = stray ?? this.#begin(request.max, seconds);
      poll.asker = asker;
      return poll;
    });
  }

  /** Until an answer comes, the wait (null: that of the poll) is over, or the signal aborts. */
  #wait(
    { max, waitMs }: { max: number; waitMs: number | null },
    signal: AbortSignal,
    attach?: (asker: Asker) => Poll,
  ): Promise<Arrival> {
    const { clock } = this.#deps;
    const { promise, resolve, reject } = Promise.withResolvers<Arrival>();
    let poll: Poll | null = null;
    let cancelTimer = (): void => undefined;
    const leave = (): void => {
      cancelTimer();
      signal.removeEventListener("abort", giveUp);
      this.#askers.delete(asker);
      if (poll?.asker === asker) poll.asker = null;
    };
    const giveUp = (): void => asker.answer({ messages: [], askedAtMs: clock.monotonicMs() });
    const asker: Asker = {
      max,
      answer: (arrival) => {
        leave();
        resolve(arrival);
      },
      fail: (error) => {
        leave();
        reject(error);
      },
    };
    this.#askers.add(asker);
    poll = attach?.(asker) ?? null;
    signal.addEventListener("abort", giveUp, { once: true });
    if (waitMs !== null) cancelTimer = clock.setTimer(waitMs, giveUp);
    return promise;
  }

  #begin(max: number, seconds: number): Poll {
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const poll: Poll = { asker: null, over };
    this.#open.add(poll);
    void this.#run(poll, max, seconds).then(resolve);
    return poll;
  }

  async #run(poll: Poll, max: number, seconds: number): Promise<void> {
    const askedAtMs = this.#deps.clock.monotonicMs();
    try {
      const messages = await this.#receive(max, seconds);
      this.#open.delete(poll);
      this.#handOver({ messages, askedAtMs }, poll.asker);
    } catch (error) {
      this.#open.delete(poll);
      poll.asker?.fail(error);
    }
  }

  async #receive(max: number, seconds: number): Promise<readonly Message[]> {
    const { service } = this.#deps;
    const { url, isFifo, visibilitySeconds } = this.#config;
    const attempt = isFifo ? this.#attempt() : null;
    const command = new ReceiveMessageCommand({
      QueueUrl: url,
      MaxNumberOfMessages: Math.min(max, sqsLimits.maxBatch),
      WaitTimeSeconds: seconds,
      VisibilityTimeout: visibilitySeconds,
      MessageSystemAttributeNames: ["ApproximateReceiveCount", "SentTimestamp"],
      ...(attempt === null ? {} : { ReceiveRequestAttemptId: attempt.name }),
    });
    try {
      const timeoutMs = seconds * 1_000 + sqsLimits.callTimeoutMs;
      const answer = await service.call((options) => service.client.send(command, options), { timeoutMs });
      return answer.Messages ?? [];
    } catch (error) {
      const isUnanswered = attempt !== null && sqsFaultName(error) === null;
      if (isUnanswered && this.#unanswered.length < sqsLimits.maxUnanswered) this.#unanswered.push(attempt);
      throw error;
    }
  }

  /** One that had no answer, as long as what it may have brought is hidden; else a new one. */
  #attempt(): Unanswered {
    const { clock, random } = this.#deps;
    const nowMs = clock.monotonicMs();
    this.#unanswered = this.#unanswered.filter(({ untilMs }) => untilMs > nowMs);
    const untilMs = nowMs + this.#config.visibilitySeconds * 1_000;
    return this.#unanswered.pop() ?? { name: Buffer.from(random.bytes(ATTEMPT_BYTES)).toString("hex"), untilMs };
  }

  #handOver(arrival: Arrival, asker: Asker | null): void {
    if (arrival.messages.length === 0) {
      asker?.answer(arrival);
      return;
    }
    const taker = asker ?? this.#askers.values().next().value;
    if (taker !== undefined) taker.answer(this.#shorten(arrival, taker.max));
    else this.#keep(arrival);
  }

  #keep(arrival: Arrival): void {
    this.#kept.push(arrival);
    this.#deps.clock.setTimer(sqsLimits.keepArrivedMs, () => {
      const at = this.#kept.indexOf(arrival);
      if (at === -1) return;
      this.#kept.splice(at, 1);
      void this.#deps.giveBack(arrival.messages);
    });
  }

  #shorten(arrival: Arrival, max: number): Arrival {
    const { messages, askedAtMs } = arrival;
    if (messages.length <= max) return arrival;
    void this.#deps.giveBack(messages.slice(max));
    return { messages: messages.slice(0, max), askedAtMs };
  }
}
