import { headers, type Msg } from "@nats-io/transport-node";
import type { StoredMsg } from "@nats-io/jetstream";
import { describeError, isCodedError } from "@flowcatalyst/foundation";
import type { MessageId, PoolCode } from "../../domain/ids.ts";
import type { DeadLetter, DeadLetterKey, DeadLetterPage } from "../../ports/queue.ts";
import { isMissing, type NatsLink } from "./nats-link.ts";
import { shortHeaderText, textOfHeader, type NatsNames } from "./nats-names.ts";
import { natsQueueLimits } from "./nats-queue-config.ts";
import { isNoResponders, readPubAck } from "./pub-ack.ts";

/** A message that is to be set aside. */
export interface NewDeadLetter {
  /** Its place in the stream it comes from: the same letter is not written twice. */
  readonly seq: number;
  /** With the place it is one message for ever, also of a stream that was removed and made again. */
  readonly publishedAtMs: number;
  readonly id: MessageId | null;
  readonly lane: PoolCode | null;
  readonly reason: string;
  readonly body: Uint8Array;
}

const header = { reason: "Fc-Reason", lane: "Fc-Lane", id: "Fc-Id", cut: "Fc-Body-Cut" } as const;
/** Places read at once. */
const readStep = 64;

export interface NatsDeadLettersDeps {
  readonly link: NatsLink;
  readonly names: NatsNames;
  /** Verifies the queue's streams, and makes what is not there, as at opening. */
  readonly ensureStreams: () => Promise<unknown>;
}

/**
 * The stream of dead letters: written by publishing, read from its newest place down.
 *
 * **Guarantees.** Any message can be written, whatever a stranger put into it: id, lane and reason are cut to what
 * their headers may take once they are escaped, and the body to what the headers leave of the server's `max_payload`,
 * which the reason then says. A stream that was removed by hand is made again with the next letter. A letter that was
 * removed is overwritten on the disk, because a server of 2.9 that is killed soon after would otherwise have it again.
 */
export class NatsDeadLetters {
  readonly #link: NatsLink;
  readonly #names: NatsNames;

  readonly #ensureStreams: () => Promise<unknown>;
  /** Several letters that find no stream make it once. */
  #restoring: Promise<void> | null = null;

  constructor({ link, names, ensureStreams }: NatsDeadLettersDeps) {
    this.#link = link;
    this.#names = names;
    this.#ensureStreams = ensureStreams;
  }

  /** Throws QUEUE_UNAVAILABLE unless the stream has it. */
  async write(letter: NewDeadLetter): Promise<void> {
    let answer = await this.#send(letter);
    if (answer !== null && isNoResponders(answer)) {
      await this.#restore();
      answer = await this.#send(letter);
    }
    const result = readPubAck(answer);
    if (result.kind === "published" || result.kind === "duplicate") return;
    throw this.#link.unavailable(`a dead letter cannot be written: ${result.detail}`);
  }

  async #send(letter: NewDeadLetter): Promise<Msg | null> {
    this.#link.requireUp();
    const { connection, replies, maxPayloadBytes } = this.#link;
    const { entries, body } = packLetter(letter, this.#names.stream, maxPayloadBytes);
    const messageHeaders = headers();
    for (const [name, value] of entries) messageHeaders.set(name, value);
    const batch = replies.expect(1, natsQueueLimits.answerWithinMs);
    connection.publish(this.#names.deadSubject, body, { reply: batch.subjectOf(0), headers: messageHeaders });
    const [answer] = await batch.answers;
    return answer ?? null;
  }

  #restore(): Promise<void> {
    this.#restoring ??= this.#makeStreams().finally(() => {
      this.#restoring = null;
    });
    return this.#restoring;
  }

  async #makeStreams(): Promise<void> {
    const { deps, where } = this.#link;
    deps.logger.warn({ where }, "NATS: nobody takes dead letters; looking whether their stream is there");
    try {
      await this.#ensureStreams();
    } catch (error) {
      const text = isCodedError(error) ? error.publicMessage : describeError(error);
      throw this.#link.unavailable(`a dead letter cannot be written: ${text}`, error);
    }
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
      return await this.#link.call(() => streams.deleteMessage(this.#names.deadStream, seq, true));
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

/** The headers and the body of a letter, together within the server's limit for one message. */
export function packLetter(
  { seq, publishedAtMs, id, lane, reason, body }: NewDeadLetter,
  stream: string,
  maxPayloadBytes: number,
): { entries: readonly (readonly [string, string])[]; body: Uint8Array } {
  const { deadNameMaxBytes, deadReasonMaxBytes } = natsQueueLimits;
  const told = shortHeaderText(reason, Math.min(deadReasonMaxBytes, Math.floor(maxPayloadBytes / 4)));
  const entries: [string, string][] = [["Nats-Msg-Id", `${stream}:${seq}:${publishedAtMs}`]];
  if (lane !== null) entries.push([header.lane, shortHeaderText(lane, deadNameMaxBytes)]);
  if (id !== null) entries.push([header.id, shortHeaderText(id, deadNameMaxBytes)]);
  const whole: [string, string][] = [...entries, [header.reason, told]];
  if (body.length <= maxPayloadBytes - headerBytes(whole)) return { entries: whole, body };
  const cut = (bytes: number): [string, string][] => [
    ...entries,
    [header.reason, `${told} (the body is cut to its first ${bytes} of ${body.length} bytes)`.trim()],
    [header.cut, String(body.length)],
  ];
  // The number that is told has as many digits as this one at most.
  const room = Math.max(0, maxPayloadBytes - headerBytes(cut(body.length)));
  return { entries: cut(room), body: body.subarray(0, room) };
}

/** As they travel: a first line, a line for each, and an empty one. */
function headerBytes(entries: readonly (readonly [string, string])[]): number {
  let bytes = "NATS/1.0\r\n\r\n".length;
  for (const [name, value] of entries) bytes += `${name}: ${value}\r\n`.length;
  return bytes;
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
