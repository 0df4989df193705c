/**
 * One process of the simulation, from its start to its death, and everything it does to the world outside.
 *
 * Whatever leaves the process (a transaction, a statement, a call to a target) passes through here, so this is where it
 * can be killed: between any two such steps. After its death nothing of it reaches the outside any more: its database
 * answers with a fault, its timers do not fire, its calls are not made. What was committed before stays; what was only
 * in its memory, or in a transaction under way, is gone. That is what SIGKILL does.
 */
import { CodedError } from "@flowcatalyst/foundation";
import type { SqliteDatabase, SqliteStatement } from "../../packages/server/src/stores/sqlite/database.ts";

export class Life {
  readonly number: number;
  isDead = false;
  readonly #onStep: (life: Life, what: string) => void;
  readonly #isOutage: () => boolean;

  /** `onStep` sees each step and may kill; `isOutage` says whether the disk refuses everything just now. */
  constructor(
    number: number,
    world: { readonly onStep: (life: Life, what: string) => void; readonly isOutage: () => boolean },
  ) {
    this.number = number;
    this.#onStep = world.onStep;
    this.#isOutage = world.isOutage;
  }

  /** Throws if the process is dead, or dies at this step. */
  step(what: string): void {
    this.requireAlive();
    this.#onStep(this, what);
    this.requireAlive();
  }

  requireAlive(): void {
    if (this.isDead) throw new CodedError("STORE_UNAVAILABLE", { message: "the process was killed" });
  }

  requireDisk(): void {
    this.requireAlive();
    if (this.#isOutage()) throw new CodedError("STORE_UNAVAILABLE", { message: "simulated outage" });
  }
}

/** The database as this process may use it. */
export function databaseOf(life: Life, real: SqliteDatabase): SqliteDatabase {
  const guard = <Result>(work: () => Result): Result => {
    life.requireDisk();
    return work();
  };
  const transact = <Result>(what: string, commit: () => Result): Result => {
    life.step(what);
    const result = guard(commit);
    life.step(`${what}ed`);
    return result;
  };
  const guardStatement = (statement: SqliteStatement<unknown, never[]>): SqliteStatement<unknown, never[]> => ({
    all: (...params) => guard(() => statement.all(...params)),
    get: (...params) => guard(() => statement.get(...params)),
    run: (...params) => guard(() => statement.run(...params)),
  });
  const statement = (sql: string): unknown => guardStatement(real.statement(sql));
  return {
    path: real.path,
    // Searches and checkpoints on threads of their own would run in real time.
    inMemory: true,
    statement: statement as SqliteDatabase["statement"],
    queryOnce: (sql, params) => guard(() => real.queryOnce(sql, params)),
    exec: (sql) => guard(() => real.exec(sql)),
    transaction: (work) => transact("commit", () => real.transaction(work)),
    durableTransaction: (work) => transact("flush", () => real.durableTransaction(work)),
    checkpoint: (mode) => guard(() => real.checkpoint(mode)),
    close: () => undefined,
  };
}
