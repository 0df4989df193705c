import { expect, test } from "bun:test";
import type { OutboxForm, OutboxRow, OutboxRowId, OutboxStatus, WaitingStatus } from "../domain/outbox-row.ts";
import type {
  OutboxAdmin,
  OutboxClaim,
  OutboxClaimAnswer,
  OutboxListedRow,
  OutboxRetryRule,
  OutboxSource,
} from "./outbox-source.ts";
import { recordedCase, writeMatrixLine } from "./queue-matrix.fixture.ts";

/** What a source brings to the suite: itself on a fresh pair of tables, the application that writes, and time. */
export interface OutboxSourceBench {
  /** Its tables are made by its own `init`. */
  readonly admin: OutboxAdmin;
  /** Commits them one after another, so that each is later than the one before it, or has the greater id. */
  insert(rows: readonly NewRow[]): Promise<void>;
  /** The application writes them and thinks better of it. */
  insertAndRollBack(rows: readonly NewRow[]): Promise<void>;
  /** The application writes what it should not into columns of that row, which both forms of the table have. */
  overwrite(id: OutboxRowId, values: Overwritten): Promise<void>;
  /** Moves all times in the table and in its control row back by so much; forth, if it is negative. */
  passTime(ms: number): Promise<void>;
  /** Another process at the same table; closed with the bench. */
  another(): Promise<OutboxAdmin>;
  /** The same database, where nobody has made tables of that name; closed with the bench. */
  elsewhere(): Promise<OutboxAdmin>;
  close(): Promise<void>;
}

/** `retry_count` and `status` as the table has them. */
export interface Overwritten {
  readonly status?: number | string;
  readonly retry_count?: number;
}

/** What an application writes. Of the older form, `client` and `type` have no column. */
export interface NewRow {
  readonly id: string;
  readonly group: string | null;
  readonly payload: string;
  readonly headers: string | null;
  readonly type: string;
  readonly client: string | null;
  readonly pool: string | null;
  readonly target: string;
  readonly deduplicationId: string | null;
}

/** Ids as SDKs make them: of one length, rising. */
export function idOf(number: number): OutboxRowId {
  return `0ROW${String(number).padStart(9, "0")}` as OutboxRowId;
}

export function newRow(number: number, overrides: Partial<NewRow> = {}): NewRow {
  return {
    id: idOf(number),
    group: null,
    payload: `{"number":${number}}`,
    headers: null,
    type: "EVENT",
    client: null,
    pool: null,
    target: "https://receiver.test/",
    deduplicationId: null,
    ...overrides,
  };
}

/** `["a", "b", null]`: rows 1, 2 and 3 of these groups. */
export function rowsOf(groups: readonly (string | null)[], from = 1): readonly NewRow[] {
  return groups.map((group, index) => newRow(from + index, { group }));
}

export const defaultRule: OutboxRetryRule = { maxRetries: 10, blockOnError: true };
const holder = "the suite";
const leaseTtlMs = 60_000;

type Claimed = Extract<OutboxClaimAnswer, { readonly kind: "claimed" }>;

/** What the cases share: the bench of the case that runs, and words for what they do all the time. */
export class OutboxCases {
  readonly #adapter: string;
  readonly #setup: (form: OutboxForm) => Promise<OutboxSourceBench>;
  readonly #timeoutMs: number;
  readonly #titles = new Map<string, string[]>();
  #suite = "";
  #form: OutboxForm = "platform";
  #bench: OutboxSourceBench | undefined;
  #epoch = 0;

  constructor(adapter: string, setup: (form: OutboxForm) => Promise<OutboxSourceBench>, timeoutMs: number) {
    this.#adapter = adapter;
    this.#setup = setup;
    this.#timeoutMs = timeoutMs;
  }

  /** Cases defined from now on belong to it, and run on that form of the table. */
  beginSuite(suite: string, form: OutboxForm): void {
    this.#suite = suite;
    this.#form = form;
  }

  test(title: string, run: () => Promise<void>): void {
    const place = { adapter: this.#adapter, suite: this.#suite, title, family: "outbox sources" };
    this.#titles.set(this.#suite, [...(this.#titles.get(this.#suite) ?? []), title]);
    const form = this.#form;
    const opened = async (): Promise<void> => {
      this.#bench = await this.#setup(form);
      this.#epoch = 0;
      try {
        await run();
      } finally {
        await this.#bench.close();
      }
    };
    test(title, recordedCase(place, opened, this.#timeoutMs), this.#timeoutMs);
  }

  /** Tells the matrix which cases there are. */
  recordSuites(): void {
    for (const [suite, cases] of this.#titles) {
      writeMatrixLine({ kind: "suite", adapter: this.#adapter, suite, cases, family: "outbox sources" });
    }
  }

  get bench(): OutboxSourceBench {
    if (this.#bench === undefined) throw new Error("no case runs");
    return this.#bench;
  }

  get admin(): OutboxAdmin {
    return this.bench.admin;
  }

  get source(): OutboxSource {
    return this.bench.admin.source;
  }

  insert(...rows: readonly NewRow[]): Promise<void> {
    return this.bench.insert(rows);
  }

  /** Of the lease, which the suite takes with the first question. */
  async epoch(): Promise<number> {
    if (this.#epoch === 0) this.#epoch = (await this.source.lease.acquire(holder, leaseTtlMs))?.epoch ?? 0;
    return this.#epoch;
  }

  async ask(overrides: Partial<OutboxClaim> = {}): Promise<OutboxClaimAnswer> {
    return this.source.claim({
      epoch: await this.epoch(),
      which: "new",
      maxRows: 100,
      maxBytes: 1_000_000,
      payloadMaxBytes: 100_000,
      after: null,
      maxScanned: 1_000,
      ...defaultRule,
      ...overrides,
    });
  }

  async claim(overrides: Partial<OutboxClaim> = {}): Promise<Claimed> {
    const answer = await this.ask(overrides);
    if (answer.kind !== "claimed") throw new Error(`the claim was answered ${answer.kind}`);
    return answer;
  }

  async claimRows(overrides: Partial<OutboxClaim> = {}): Promise<readonly OutboxRow[]> {
    return (await this.claim(overrides)).rows;
  }

  /** By the numbers of their ids. */
  async claimed(overrides: Partial<OutboxClaim> = {}): Promise<readonly number[]> {
    return numbersOf(await this.claimRows(overrides));
  }

  /** Claims just this row and says that it failed so often. */
  async fail(number: number, times = 1, status: WaitingStatus = 3): Promise<void> {
    for (let time = 0; time < times; time++) {
      const which = time === 0 ? "new" : "retries";
      if (time > 0) await this.bench.passTime(60_000);
      expect(await this.claimed({ maxRows: 1, which })).toEqual([number]);
      await this.source.settle([{ kind: "failed", id: idOf(number), status, error: "no", countsAsRetry: true }]);
    }
  }

  async done(...numbers: readonly number[]): Promise<void> {
    await this.source.settle(numbers.map((number) => ({ kind: "done" as const, id: idOf(number) })));
  }

  async refuse(number: number, error = "not so"): Promise<void> {
    await this.source.settle([{ kind: "refused", id: idOf(number), status: 2, error }]);
  }

  async listed(): Promise<readonly OutboxListedRow[]> {
    const states: readonly OutboxStatus[] = [0, 1, 2, 3, 4, 5, 6, 9];
    return (await this.admin.list({ states, group: null, limit: 1_000, after: null })).rows;
  }

  /** Of all rows there are, by the numbers of their ids. */
  async statuses(): Promise<Readonly<Record<number, OutboxStatus>>> {
    return Object.fromEntries((await this.listed()).map(({ id, status }) => [numberOf(id), status]));
  }

  async row(number: number): Promise<OutboxListedRow> {
    const found = (await this.listed()).find(({ id }) => id === idOf(number));
    if (found === undefined) throw new Error(`row ${number} is not there`);
    return found;
  }
}

export function numbersOf(rows: readonly { readonly id: OutboxRowId }[]): readonly number[] {
  return rows.map(({ id }) => numberOf(id));
}

function numberOf(id: OutboxRowId): number {
  return Number(id.slice("0ROW".length));
}
