import type { PostgresDatabase } from "../../postgres/postgres-database.ts";
import { keyIs, statement } from "../../postgres/statement.ts";
import { postgresQueueLimits } from "./postgres-queue-config.ts";
import { freshRowsOf } from "./queue-rows.ts";

/** Only where really nothing is left: what this process remembers may have been taken back by a crash of the server. */
const removeFinished = statement<never, [claims: string]>(`
  DELETE FROM queue_claims c USING json_to_recordset($1::json) AS r (consumer bigint, claim bigint)
  WHERE ${keyIs("(c.consumer_id, c.claim)", "(r.consumer, r.claim)")} AND NOT EXISTS ${freshRowsOf("1")}`);

/** One receive of one consumer. */
export interface ClaimName {
  readonly consumer: number;
  readonly claim: number;
}

/**
 * What this consumer has received of FRESH rows and not settled, by receive: when the last row of a receive is settled,
 * its row in `queue_claims` has no more use and goes with some others. One that is forgotten goes when its time ends.
 */
export class HeldClaims {
  readonly #left = new Map<number, Set<number>>();
  #finished: ClaimName[] = [];
  #doubtful: ClaimName[] = [];

  took(claim: number, seqs: readonly number[]): void {
    if (seqs.length > 0) this.#left.set(claim, new Set(seqs));
  }

  /** The row does not belong to the receive any more. */
  settled({ consumer, claim, seq }: ClaimName & { readonly seq: number }): void {
    const left = this.#left.get(claim);
    if (left === undefined) return;
    left.delete(seq);
    if (left.size > 0) return;
    this.#left.delete(claim);
    this.#finished.push({ consumer, claim });
  }

  /** The answer of this receive was lost. */
  doubt(claim: ClaimName): void {
    this.#doubtful.push(claim);
  }

  takeDoubtful(): readonly ClaimName[] {
    const doubtful = this.#doubtful;
    this.#doubtful = [];
    return doubtful;
  }

  async removeFinished(database: PostgresDatabase): Promise<void> {
    if (this.#finished.length < postgresQueueLimits.finishedClaimsStep) return;
    const finished = this.#finished;
    this.#finished = [];
    await database.run(removeFinished, [JSON.stringify(finished)]);
  }

  /** The lease was lost, and with it everything held. */
  reset(): void {
    this.#left.clear();
    this.#finished = [];
  }
}
