import type { Msg } from "@nats-io/transport-node";
import { AckPolicy, DeliverPolicy, type ConsumerConfig, type ConsumerInfo } from "@nats-io/jetstream";
import { CodedError } from "@flowcatalyst/foundation";
import type { NatsLink } from "./nats-link.ts";
import { isApiError, isMissing, natsApiCodes } from "./nats-link.ts";
import { LaneRoom } from "./nats-lane-room.ts";
import type { NatsNames } from "./nats-names.ts";
import { natsQueueLimits } from "./nats-queue-config.ts";
import { PullQuestion, type PullAnswer, type PullRequest } from "./pull-question.ts";

export interface NatsLaneDeps {
  readonly link: NatsLink;
  readonly names: NatsNames;
  readonly token: string;
  readonly consumer: LaneConsumer;
  /** Names for the subjects of questions, unique on this connection. */
  readonly nextReplySubject: () => string;
  /** Gives messages back to the server. */
  readonly giveBack: (messages: readonly Msg[]) => void;
}

/** How the consumer of every lane is to be. */
export interface LaneConsumer {
  readonly visibilityMs: number;
  readonly maxAckPending: number;
  readonly idleMs: number;
}

const NS_PER_MS = 1_000_000;

/** One lane of the queue: its consumer on the server, the questions that are open, and what came too late for one. */
export class NatsLane {
  readonly #deps: NatsLaneDeps;
  readonly #questions = new Set<PullQuestion>();
  #idle: PullQuestion[] = [];
  #kept: Msg[] = [];
  #cancelKeeping: () => void = () => undefined;
  #made: Promise<void> | null = null;
  #waiting = 0;
  #askedAtMs = 0;

  readonly #room: LaneRoom;

  constructor(deps: NatsLaneDeps) {
    this.#deps = deps;
    this.#room = new LaneRoom(deps.link, deps.names, deps.token);
  }

  /** Somebody waits for a message of it. */
  get isWaitedFor(): boolean {
    return this.#waiting > 0;
  }

  async receive({ max, waitMs }: PullRequest, signal: AbortSignal): Promise<readonly Msg[]> {
    const { clock } = this.#deps.link.deps;
    const untilMs = clock.monotonicMs() + waitMs;
    this.#waiting += 1;
    try {
      for (let isFirst = true; ; isFirst = false) {
        this.#deps.link.requireUp();
        if (signal.aborted) return [];
        if (this.#kept.length > 0) return this.#takeKept(max);
        await this.#make();
        if (signal.aborted) return [];
        const askedAtMs = clock.monotonicMs();
        const leftMs = Math.max(0, untilMs - askedAtMs);
        const answer = await this.#ask({ max, waitMs: Math.min(leftMs, natsQueueLimits.questionMaxMs) }, signal);
        if (answer.messages.length > 0) {
          this.#room.came();
          return answer.messages;
        }
        this.#deps.link.requireUp();
        if (answer.end === "refused") throw this.#refusal(answer.detail);
        // A server answers for a consumer that is no more with silence, most of the time.
        const isGone = answer.end === "gone" || answer.end === "lost";
        if (isGone) this.#made = null;
        const mayRepeat = leftMs > 0 || (isGone && isFirst);
        if (!mayRepeat || clock.monotonicMs() >= untilMs + natsQueueLimits.busyPauseMs) return await this.#none(signal);
        // Nothing, and at once, although there was time to wait: whatever the reason, the server is not to be hammered.
        const isSoon = clock.monotonicMs() - askedAtMs < natsQueueLimits.busyPauseMs;
        if (answer.end !== "done" || isSoon) await clock.sleep(natsQueueLimits.busyPauseMs, signal);
      }
    } finally {
      this.#waiting -= 1;
    }
  }

  /** The connection is gone: who waits is told, and what was kept comes again by itself. */
  lose(): void {
    this.#kept = [];
    this.#made = null;
    this.#idle = [];
    for (const question of this.#questions) question.lose();
    this.#questions.clear();
  }

  /** Ends the questions; gives what was kept. */
  close(): readonly Msg[] {
    for (const question of this.#questions) question.discard();
    this.#cancelKeeping();
    return this.#kept.splice(0);
  }

  async #none(signal: AbortSignal): Promise<readonly Msg[]> {
    if (!signal.aborted) await this.#room.nothingCame();
    return [];
  }

  async #ask(request: PullRequest, signal: AbortSignal): Promise<PullAnswer> {
    const question = this.#idle.pop() ?? this.#newQuestion();
    const answer = await question.ask(request, signal);
    if (question.isUsable) this.#idle.push(question);
    else this.#questions.delete(question);
    return answer;
  }

  #newQuestion(): PullQuestion {
    const { link, names, token, nextReplySubject } = this.#deps;
    const request = `$JS.API.CONSUMER.MSG.NEXT.${names.stream}.${token}`;
    const question = new PullQuestion(link, { request, reply: nextReplySubject() }, (message) => this.#keep(message));
    this.#questions.add(question);
    return question;
  }

  /** The next question may find a consumer that was corrected. */
  #refusal(detail: string): CodedError {
    const { link, names, token } = this.#deps;
    this.#made = null;
    return link.unavailable(`the consumer ${token} of the stream ${names.stream} takes no question of ours: ${detail}`);
  }

  #takeKept(max: number): readonly Msg[] {
    const taken = this.#kept.splice(0, max);
    if (this.#kept.length === 0) this.#cancelKeeping();
    return taken;
  }

  /** Who waits already has a question open, and gets it through that. */
  #keep(message: Msg): void {
    if (this.isWaitedFor) {
      this.#deps.giveBack([message]);
      return;
    }
    if (this.#kept.length === 0) {
      const { clock } = this.#deps.link.deps;
      const keepMs = Math.min(natsQueueLimits.keepMs, this.#deps.consumer.visibilityMs / 4);
      this.#cancelKeeping = clock.setTimer(keepMs, () => this.#deps.giveBack(this.#kept.splice(0)));
    }
    this.#kept.push(message);
  }

  /** Made or verified anew when the server may have removed it, because nobody asked for long. */
  #make(): Promise<void> {
    const nowMs = this.#deps.link.deps.clock.monotonicMs();
    if (nowMs - this.#askedAtMs > this.#deps.consumer.idleMs / 2) this.#made = null;
    this.#askedAtMs = nowMs;
    this.#made ??= this.#deps.link
      .call(() => this.#ensureConsumer())
      .catch((error: unknown) => {
        this.#made = null;
        throw error;
      });
    return this.#made;
  }

  async #ensureConsumer(): Promise<void> {
    const { link, names, token } = this.#deps;
    const { consumers } = link.manager;
    const wanted = this.#config();
    let found = await consumers.info(names.stream, token).catch(noneIfMissing);
    if (found === null) {
      try {
        found = await consumers.add(names.stream, wanted);
      } catch (error) {
        // Another router was faster, with other settings.
        if (!isApiError(error) || error.code !== natsApiCodes.consumerExists) throw error;
        found = await consumers.info(names.stream, token);
      }
    }
    this.#verify(found);
    const { ack_wait, max_ack_pending, inactive_threshold, max_deliver } = wanted;
    const changes = { ack_wait, max_ack_pending, inactive_threshold, max_deliver };
    const isSame = Object.entries(changes).every(([key, value]) => found.config[key as keyof ConsumerConfig] === value);
    if (!isSame) await consumers.update(names.stream, token, changes);
  }

  #config() {
    const { names, token, consumer } = this.#deps;
    return {
      durable_name: token,
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.All,
      filter_subject: names.lanePrefix + token,
      ack_wait: consumer.visibilityMs * NS_PER_MS,
      max_deliver: -1,
      max_ack_pending: consumer.maxAckPending,
      inactive_threshold: consumer.idleMs * NS_PER_MS,
    } as const;
  }

  #verify({ config }: ConsumerInfo): void {
    const { link, names, token } = this.#deps;
    const faults: string[] = [];
    if (config.deliver_subject !== undefined) faults.push("it pushes, must be asked");
    if (config.ack_policy !== AckPolicy.Explicit) faults.push(`ack_policy is ${config.ack_policy}, must be explicit`);
    if (config.filter_subject !== names.lanePrefix + token) faults.push("it is for other subjects");
    if (faults.length === 0) return;
    const message = `The consumer ${token} of the NATS stream ${names.stream} at ${link.where}: ${faults.join(", ")}.`;
    throw new CodedError("CONFIG_INVALID", { message });
  }
}

function noneIfMissing(error: unknown): null {
  if (isMissing(error)) return null;
  throw error;
}
