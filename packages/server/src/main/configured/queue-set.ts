/**
 * The queues that a configuration names, opened, changed and closed while the router runs.
 *
 * ```mermaid
 * stateDiagram-v2
 *   direction LR
 *   [*] --> opening: named
 *   opening --> opening: cannot be opened, tried again with backoff
 *   opening --> open: added to the router
 *   open --> leaving: not named any more, or otherwise
 *   opening --> [*]: not named any more
 *   leaving --> [*]: the router has let go of it, and it is closed
 * ```
 *
 * Each queue goes its own way, so that one that hangs or cannot be opened holds up no other. A queue that is named
 * otherwise than before (another address, other connections) leaves and comes again, the new one after the old one is
 * closed: the router knows it by its name, and a file has one owner. So it is with a queue that only gets another
 * name: received from under both, its groups would be delivered in two places at once. No message is lost by that,
 * because the router settles or gives back all it holds of a queue before it lets go.
 *
 * A fault nobody foresaw while a queue is added, removed or closed is logged, shown as the queue's fault, and the queue
 * is tried again like one that cannot be opened.
 */
import { backoffMs, describeError, type Clock, type Logger, type Random } from "@flowcatalyst/foundation";
import type { Router } from "../../router/router.ts";
import type { Warnings } from "../../router/warnings.ts";
import { aborted } from "../http-service.ts";
import type { OpenQueue } from "../queue-at.ts";
import { queueKeyOf } from "../router-queue.ts";
import type { ConfiguredQueue } from "./router-config-shapes.ts";

export const queueSetLimits = { reopen: { baseMs: 1_000, capMs: 30_000, jitter: "equal" } } as const;

export interface QueueSetDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly warnings: Warnings;
  readonly open: (queue: ConfiguredQueue) => Promise<OpenQueue>;
}

type RouterDoor = Pick<Router, "addQueue" | "removeQueue">;

interface Entry {
  readonly queue: ConfiguredQueue;
  readonly unwanted: AbortController;
  opened: OpenQueue | null;
  fault: string | null;
  done: Promise<void>;
}

export class QueueSet {
  readonly #deps: QueueSetDeps;
  readonly #entries = new Map<string, Entry>();
  #wanted: readonly ConfiguredQueue[] = [];
  #router: RouterDoor | null = null;
  #isClosing = false;

  constructor(deps: QueueSetDeps) {
    this.#deps = deps;
  }

  /** Before the first queues are named. */
  attach(router: RouterDoor): void {
    this.#router = router;
  }

  /** All that shall be open from now on; what is open and not among them goes. */
  want(queues: readonly ConfiguredQueue[]): void {
    // An answer may come in while everything is being closed.
    this.#wanted = this.#isClosing ? [] : queues;
    this.#reconcile();
  }

  /** Those that can be received from, in the order in which they were named. */
  opened(): readonly OpenQueue[] {
    return this.#wanted.flatMap(({ name }) => this.#entries.get(name)?.opened ?? []);
  }

  /** Why some are not open. */
  faults(): readonly string[] {
    return [...this.#entries.values()].flatMap(({ queue, fault }) =>
      fault === null ? [] : [`${queue.name}: ${fault}`],
    );
  }

  /** After the router has stopped. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.want([]);
    await Promise.all([...this.#entries.values()].map(({ done }) => done));
  }

  #reconcile(): void {
    const wanted = new Map(this.#wanted.map((queue) => [queue.name, queue]));
    for (const [name, entry] of this.#entries) {
      const queue = wanted.get(name);
      if (queue === undefined || !Bun.deepEquals(queue, entry.queue)) entry.unwanted.abort();
    }
    for (const [name, queue] of wanted) if (!this.#entries.has(name)) this.#begin(queue);
  }

  #begin(queue: ConfiguredQueue): void {
    const entry: Entry = {
      queue,
      unwanted: new AbortController(),
      opened: null,
      fault: null,
      done: Promise.resolve(),
    };
    this.#entries.set(queue.name, entry);
    entry.done = this.#live(entry).then(() => {
      this.#entries.delete(queue.name);
      if (!this.#isClosing) this.#reconcile();
    });
  }

  /** From its naming to its end; never rejects. */
  async #live(entry: Entry): Promise<void> {
    const { clock, random } = this.#deps;
    const { signal } = entry.unwanted;
    await Promise.race([this.#otherNameLeft(entry), aborted(signal)]);
    for (let failures = 0; !signal.aborted; failures += 1) {
      if (await this.#serve(entry)) return;
      await clock.sleep(backoffMs(queueSetLimits.reopen, failures, random), signal);
    }
  }

  /** Until the same queue, under the name it had before, is closed. */
  async #otherNameLeft({ queue }: Entry): Promise<void> {
    const uri = queueKeyOf(queue.uri);
    const leaving = [...this.#entries.values()].filter(
      (other) => other.unwanted.signal.aborted && queueKeyOf(other.queue.uri) === uri,
    );
    await Promise.all(leaving.map(({ done }) => done));
  }

  /** False: it could not be opened, or not be added. */
  async #serve(entry: Entry): Promise<boolean> {
    const { queue, unwanted } = entry;
    let opened: OpenQueue | null = null;
    try {
      opened = await this.#deps.open(queue);
      if (!unwanted.signal.aborted) {
        this.#router?.addQueue(opened.queue);
        entry.opened = opened;
        entry.fault = null;
        await aborted(unwanted.signal);
        entry.opened = null;
        if (!this.#isClosing) await this.#router?.removeQueue(queue.name);
      }
      await opened.close();
      return true;
    } catch (error) {
      entry.opened = null;
      if (unwanted.signal.aborted)
        this.#deps.logger.warn({ queue: queue.name, error: describeError(error) }, faultAtEnd);
      else this.#note(entry, error);
      await this.#closeQuietly(opened);
      return false;
    }
  }

  #note(entry: Entry, error: unknown): void {
    const { name } = entry.queue;
    entry.fault = describeError(error);
    const message = `the queue cannot be opened: ${entry.fault}`;
    this.#deps.warnings.add({ category: "QUEUE", severity: "ERROR", message, source: name });
  }

  async #closeQuietly(opened: OpenQueue | null): Promise<void> {
    try {
      await opened?.close();
    } catch (error) {
      this.#deps.logger.warn({ error: describeError(error) }, faultAtEnd);
    }
  }
}

const faultAtEnd = "A queue could not be closed in order";
