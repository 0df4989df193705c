import { headers } from "@nats-io/transport-node";
import type { StoredMsg } from "@nats-io/jetstream";
import type { MessageId, PoolCode } from "../../domain/ids.ts";
import type { DeadLetter, DeadLetterKey, DeadLetterPage } from "../../ports/queue.ts";
import { isMissing, type NatsLink } from "./nats-link.ts";
import { headerText, textOfHeader, type NatsNames } from "./nats-names.ts";
import { natsQueueLimits } from "./nats-queue-config.ts";
import { readPubAck } from "./pub-ack.ts";

/** A message that is to be set aside. */
export interface NewDeadLetter {
  /** Its place in the stream it comes from: the same letter is not written twice. */
  readonly seq: number;
  readonly id: MessageId | null;
  readonly lane: PoolCode | null;
  readonly reason: string;
  readonly body: Uint8Array;
}

const header = { reason: "Fc-Reason", lane: "Fc-Lane", id: "Fc-Id", cut: "Fc-Body-Cut" } as const;
/** Places read at once. */
const readStep = 64;

/** The stream of dead letters: written by publishing, read from its newest place down. */
export class NatsDeadLetters {
  readonly #link: NatsLink;
  readonly #names: NatsNames;

  constructor(link: NatsLink, names: NatsNames) {
    this.#link = link;
    this.#names = names;
  }

  /** Throws QUEUE_UNAVAILABLE unless the stream has it. */
  async write(letter: NewDeadLetter): Promise<void> {
    this.#link.requireUp();
    const { connection, replies, maxPayloadBytes } = this.#link;
    const messageHeaders = headers();
    messageHeaders.set("Nats-Msg-Id", `${this.#names.stream}:${letter.seq}`);
    messageHeaders.set(header.reason, headerText(letter.reason.slice(0, natsQueueLimits.reasonMaxChars)));
    if (letter.lane !== null) messageHeaders.set(header.lane, headerText(letter.lane));
    if (letter.id !== null) messageHeaders.set(header.id, headerText(letter.id));
    let { body } = letter;
    const room = maxPayloadBytes - natsQueueLimits.headerMaxBytes;
    if (body.length > room) {
      messageHeaders.set(header.cut, String(body.length));
      body = body.subarray(0, room);
    }
    const batch = replies.expect(1, natsQueueLimits.answerWithinMs);
    connection.publish(this.#names.deadSubject, body, { reply: batch.subjectOf(0), headers: messageHeaders });
    const [answer] = await batch.answers;
    const result = readPubAck(answer ?? null);
    if (result.kind === "published" || result.kind === "duplicate") return;
    throw this.#link.unavailable(`a dead letter cannot be written: ${result.detail}`);
  }

  async count(): Promise<number> {
    return (await this.#state()).messages;
  }

  async list({ limit, after }: { limit: number; after: DeadLetterKey | null }): Promise<DeadLetterPage> {
    const state = await this.#state();
    let below = after === null ? state.last_seq + 1 : Math.min(placeOf(after) ?? 0, state.last_seq + 1);
    const letters: DeadLetter[] = [];
    while (letters.length <= limit && below > state.first_seq && state.messages > 0) {
      const from = Math.max(state.first_seq, below - Math.min(readStep, limit + 1 - letters.length));
      const places = Array.from({ length: below - from }, (_, at) => below - 1 - at);
      const found = await Promise.all(places.map((seq) => this.#read(seq)));
      letters.push(...found.filter((letter) => letter !== null));
      below = found.every((letter) => letter === null) ? await this.#overGap(from, state.first_seq) : from;
    }
    const next = letters.length > limit ? (letters[limit - 1]?.key ?? null) : null;
    return { letters: letters.slice(0, limit), next };
  }

  read(key: DeadLetterKey): Promise<DeadLetter | null> {
    const seq = placeOf(key);
    return seq === null ? Promise.resolve(null) : this.#read(seq);
  }

  /** Whether it was there. */
  async remove(key: DeadLetterKey): Promise<boolean> {
    const seq = placeOf(key);
    if (seq === null) return false;
    const { streams } = this.#link.manager;
    try {
      return await this.#link.call(() => streams.deleteMessage(this.#names.deadStream, seq, false));
    } catch (error) {
      if (isMissing(error) || (await this.#read(seq)) === null) return false;
      throw error;
    }
  }

  async #state() {
    const { streams } = this.#link.manager;
    return (await this.#link.call(() => streams.info(this.#names.deadStream))).state;
  }

  async #read(seq: number): Promise<DeadLetter | null> {
    const { direct } = this.#link.manager;
    const stored = await this.#link.call(() => direct.getMessage(this.#names.deadStream, { seq }));
    return stored === null ? null : toDeadLetter(stored);
  }

  /**
   * One above the newest letter below this place, roughly: reading goes on from there. The server finds the next letter
   * upwards only, so it is asked from ever further down, and then the half that has one is halved.
   */
  async #overGap(below: number, first: number): Promise<number> {
    for (let span = readStep * 2; ; span *= 2) {
      const from = Math.max(first, below - span);
      const found = await this.#nextFrom(from);
      if (found === null || found >= below) {
        if (from === first) return first;
        continue;
      }
      let [low, high] = [found, below];
      while (high - low > readStep) {
        const middle = Math.floor((low + high) / 2);
        const place = await this.#nextFrom(middle);
        if (place !== null && place < high) low = place;
        else high = middle;
      }
      return high;
    }
  }

  async #nextFrom(seq: number): Promise<number | null> {
    const { direct } = this.#link.manager;
    const question = { seq, next_by_subj: this.#names.deadSubject };
    const stored = await this.#link.call(() => direct.getMessage(this.#names.deadStream, question));
    return stored?.seq ?? null;
  }
}

function toDeadLetter(stored: StoredMsg): DeadLetter {
  const text = (name: string): string | null => {
    const value = stored.header.get(name);
    return value === "" ? null : textOfHeader(value);
  };
  return {
    key: String(stored.seq) as DeadLetterKey,
    id: text(header.id) as MessageId | null,
    lane: text(header.lane) as PoolCode | null,
    reason: text(header.reason) ?? "",
    body: stored.string(),
    atMs: stored.time.getTime(),
  };
}

function placeOf(key: DeadLetterKey): number | null {
  const place = Number(key);
  return /^\d{1,15}$/.test(key) && place > 0 ? place : null;
}
