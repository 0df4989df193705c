import { expect } from "bun:test";
import type { ReceivedMessage, Receipt } from "../../ports/queue.ts";
import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import { adHoc } from "../../postgres/statement.ts";

/** What may never be found in the tables while no call is under way. Each answers with the places that are wrong. */
const impossible: Readonly<Record<string, string>> = {
  "a BLOCKED row with nothing before it": `
    SELECT m.seq FROM queue_messages m WHERE m.state = 2 AND NOT EXISTS (
      SELECT 1 FROM queue_messages e WHERE e.group_key = m.group_key AND e.seq < m.seq)`,
  "a row that may be given out with one before it": `
    SELECT m.seq FROM queue_messages m WHERE m.state IN (0, 1) AND m.group_key IS NOT NULL AND EXISTS (
      SELECT 1 FROM queue_messages e WHERE e.group_key = m.group_key AND e.seq < m.seq)`,
  "a FRESH row that a cursor has passed and nobody holds": `
    SELECT m.seq FROM queue_messages m JOIN queue_lanes l ON l.lane = m.lane
    WHERE m.state = 0 AND m.seq <= l.cursor AND NOT EXISTS (
      SELECT 1 FROM queue_claims c WHERE c.lane = m.lane AND m.seq BETWEEN c.first_seq AND c.last_seq)`,
  "a row held with no end": `
    SELECT seq FROM queue_messages WHERE state >= 3 AND due_at_ms IS NULL`,
  "a row in flight that belongs to nobody": `
    SELECT m.seq FROM queue_messages m WHERE m.state = 4 AND NOT EXISTS (
      SELECT 1 FROM queue_consumers c WHERE c.id = m.consumer_id)`,
};

interface Entry {
  readonly id: string;
  readonly group: string | null;
  /** Of its group, as one publisher published them one after another. */
  readonly place: number;
  isGone: boolean;
  holder: Receipt | null;
}

/**
 * What several publishers and consumers did, and whether the queue's promises held: nothing is given to two, nothing
 * before what comes earlier in its group, nothing is lost, nothing comes back after its ack.
 */
export class QueueLedger {
  readonly #entries = new Map<string, Entry>();
  readonly #groups = new Map<string, Entry[]>();

  /** Before the call, since a consumer may have it before the publisher hears so. */
  publishes(id: string, group: string | null): void {
    const siblings = group === null ? [] : (this.#groups.get(group) ?? []);
    const entry: Entry = { id, group, place: siblings.length, isGone: false, holder: null };
    this.#entries.set(id, entry);
    if (group === null) return;
    siblings.push(entry);
    this.#groups.set(group, siblings);
  }

  received(batch: readonly ReceivedMessage[]): void {
    for (const { message, receipt } of batch) {
      const entry = this.#entry(message.id);
      expect({ id: entry.id, isGone: entry.isGone, holder: entry.holder }).toEqual({
        id: entry.id,
        isGone: false,
        holder: null,
      });
      entry.holder = receipt;
      const siblings = entry.group === null ? [] : (this.#groups.get(entry.group) ?? []);
      const receipts = new Set(batch.map((each) => each.receipt));
      const before = siblings.slice(0, entry.place);
      const early = before.filter(({ isGone, holder }) => !isGone && (holder === null || !receipts.has(holder)));
      expect({ id: entry.id, before: early.map(({ id }) => id) }).toEqual({ id: entry.id, before: [] });
    }
  }

  /** Before the call: from now on somebody else may have it, or it is gone. */
  settles(id: string, how: "removed" | "given back"): void {
    const entry = this.#entry(id);
    entry.holder = null;
    if (how === "removed") entry.isGone = true;
  }

  get unsettled(): number {
    return [...this.#entries.values()].filter(({ isGone }) => !isGone).length;
  }

  /** Everything in flight may be given out again. */
  everythingExpired(): void {
    for (const entry of this.#entries.values()) entry.holder = null;
  }

  /** While no call is under way. */
  async checkTables(database: PostgresDatabase): Promise<void> {
    for (const [what, sql] of Object.entries(impossible)) {
      const found = await database.query(adHoc<{ seq: number }, []>(sql), []);
      expect({ what, seqs: found.map(({ seq }) => seq) }).toEqual({ what, seqs: [] });
    }
  }

  #entry(id: string): Entry {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw new Error(`${id} was never published`);
    return entry;
  }
}
