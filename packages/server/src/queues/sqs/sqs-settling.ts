import type { Clock, Random } from "@flowcatalyst/foundation";
import {
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  type BatchResultErrorEntry,
} from "@aws-sdk/client-sqs";
import type { Receipt, ReceiptResult } from "../../ports/queue.ts";
import type { HeldMessage, HeldMessages, SqsHandle } from "./held-messages.ts";
import { forEachAtOnce, inTens, sendEntries } from "./sqs-batches.ts";
import type { SqsService } from "./sqs-service.ts";

export interface SqsSettlingDeps {
  readonly service: SqsService;
  readonly held: HeldMessages;
  readonly clock: Clock;
  readonly random: Random;
}

interface Change<Handle extends SqsHandle> {
  readonly handle: Handle;
  readonly seconds: number;
}

/** Settling by receipts, ten to a call, a few calls at a time. What is not held here is dead. */
export class SqsSettling {
  readonly #deps: SqsSettlingDeps;

  constructor(deps: SqsSettlingDeps) {
    this.#deps = deps;
  }

  async ack(receipts: readonly Receipt[]): Promise<readonly ReceiptResult[]> {
    const { held } = this.#deps;
    const done = await this.#send(
      this.#changesOf(receipts, () => 0),
      (url, changes) => this.#delete(url, changes),
    );
    for (const { receipt } of done) held.let(receipt);
    return resultsOf(receipts, done);
  }

  /** The delay counts from now, within what SQS allows from the receipt on. */
  async nack(receipts: readonly Receipt[], delayMs: number): Promise<readonly ReceiptResult[]> {
    const { held } = this.#deps;
    const delaySeconds = Math.ceil(delayMs / 1_000);
    const changes = this.#changesOf(receipts, (message) => Math.min(delaySeconds, held.secondsLeft(message)));
    const done = await this.#send(changes, (url, some) => this.#changeVisibility(url, some));
    for (const { receipt } of done) held.let(receipt);
    return resultsOf(receipts, done);
  }

  /** What SQS does not let anybody hide for so long any more is let go. */
  async extend(receipts: readonly Receipt[], forMs: number): Promise<readonly ReceiptResult[]> {
    const { held, clock } = this.#deps;
    const seconds = Math.ceil(forMs / 1_000);
    const changes = this.#changesOf(receipts, () => seconds).filter((each) => held.secondsLeft(each.handle) > seconds);
    const untilMs = clock.monotonicMs() + forMs;
    const done = await this.#send(changes, (url, some) => this.#changeVisibility(url, some));
    for (const message of done) message.untilMs = untilMs;
    return resultsOf(receipts, done);
  }

  /** Ends messages that are not held, because nobody was given them. */
  async remove(handles: readonly SqsHandle[]): Promise<void> {
    await this.#send(atOnce(handles), (url, changes) => this.#delete(url, changes));
  }

  /** Lets others have messages that are not held, because nobody was given them. */
  async show(handles: readonly SqsHandle[]): Promise<void> {
    await this.#send(atOnce(handles), (url, changes) => this.#changeVisibility(url, changes));
  }

  #changesOf(
    receipts: readonly Receipt[],
    secondsOf: (message: HeldMessage) => number,
  ): readonly Change<HeldMessage>[] {
    const messages = new Set(receipts.map((receipt) => this.#deps.held.get(receipt)));
    return [...messages].flatMap((handle) => (handle === undefined ? [] : { handle, seconds: secondsOf(handle) }));
  }

  /** Answers with those that were done; the receipts of others are worth nothing, so they are held no longer. */
  async #send<Handle extends SqsHandle>(
    changes: readonly Change<Handle>[],
    send: (url: string, changes: readonly Change<Handle>[]) => Promise<readonly BatchResultErrorEntry[]>,
  ): Promise<ReadonlySet<Handle>> {
    const { held, clock, random } = this.#deps;
    const done = new Set<Handle>();
    const byUrl = Map.groupBy(changes, ({ handle }) => handle.url);
    const batches = [...byUrl].flatMap(([url, some]) => inTens(some).map((batch) => ({ url, batch })));
    await forEachAtOnce(batches, async ({ url, batch }) => {
      const accepted = new Set(await sendEntries(batch, { clock, random, send: (some) => send(url, some) }));
      for (const change of batch) {
        if (accepted.has(change)) done.add(change.handle);
        else held.let(change.handle.receipt);
      }
    });
    return done;
  }

  async #delete(url: string, changes: readonly Change<SqsHandle>[]): Promise<readonly BatchResultErrorEntry[]> {
    const { service } = this.#deps;
    const entries = changes.map(({ handle }, at) => ({ Id: String(at), ReceiptHandle: handle.receipt }));
    const command = new DeleteMessageBatchCommand({ QueueUrl: url, Entries: entries });
    const { Failed: failed = [] } = await service.call((options) => service.client.send(command, options));
    return failed;
  }

  async #changeVisibility(
    url: string,
    changes: readonly Change<SqsHandle>[],
  ): Promise<readonly BatchResultErrorEntry[]> {
    const { service } = this.#deps;
    const entries = changes.map(({ handle, seconds }, at) => {
      return { Id: String(at), ReceiptHandle: handle.receipt, VisibilityTimeout: seconds };
    });
    const command = new ChangeMessageVisibilityBatchCommand({ QueueUrl: url, Entries: entries });
    const { Failed: failed = [] } = await service.call((options) => service.client.send(command, options));
    return failed;
  }
}

function atOnce(handles: readonly SqsHandle[]): readonly Change<SqsHandle>[] {
  return handles.map((handle) => ({ handle, seconds: 0 }));
}

function resultsOf(receipts: readonly Receipt[], done: ReadonlySet<HeldMessage>): readonly ReceiptResult[] {
  const live = new Set([...done].map(({ receipt }) => receipt));
  return receipts.map((receipt) => (live.has(receipt) ? "done" : "dead"));
}
