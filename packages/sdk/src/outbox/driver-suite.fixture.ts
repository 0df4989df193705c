import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { createOutbox, type OutboxDriver, type SyncOutboxDriver } from "@flowcatalyst/sdk/outbox";

/** What every driver has to do, whatever its library. */
export interface StoredRow {
  readonly id: string;
  readonly type: string;
  readonly message_group: string | null;
  readonly payload: string;
  readonly status: number;
  readonly retry_count: number;
  readonly client_id: string | null;
  readonly payload_size: number;
  readonly headers: unknown;
  readonly error_message: string | null;
  readonly created_at: unknown;
  readonly updated_at: unknown;
}

export interface DriverWorld<Tx> {
  /** The table's name for the outbox. */
  readonly table: string;
  /** Opens a transaction, and commits it if the work ends; rolls back and throws on if it throws. */
  transact(work: (tx: Tx) => unknown): Promise<void>;
  /** What a reader might give by mistake, with the library's words for it; none if the library cannot tell. */
  readonly mistakes: readonly { readonly name: string; readonly tx: Tx }[];
  /** All rows, by created_at, then by id. */
  rows(): Promise<readonly StoredRow[]>;
  close(): Promise<void>;
}

export interface DriverCase<Tx> {
  readonly name: string;
  readonly driver: OutboxDriver<Tx> | SyncOutboxDriver<Tx>;
  /** Why it cannot run here. */
  readonly skip: string | false;
  open(): Promise<DriverWorld<Tx>>;
}

export const randomName = (): string => `fc_sdk_${randomBytes(6).toString("hex")}`;

/** Skips by name when a server is not there. */
export function withoutUrl(variable: string): string | false {
  return process.env[variable] === undefined ? `no ${variable}` : false;
}

const awkward = {
  quotes: `it's "quoted" \\ and \\' back`,
  marks: "? ?? $1 $2 :name @name %s {}",
  text: "Žluťoučký 🐎 \u2028 \n\t\u0000",
};

function outboxOf<Tx>(driver: OutboxDriver<Tx> | SyncOutboxDriver<Tx>, table: string) {
  const options = { table, source: "shop", clientId: "cli_0000000000001" };
  return driver.kind === "sync" ? createOutbox(driver, options) : createOutbox(driver, options);
}

export function driverSuite<Tx>({ name, driver, skip, open }: DriverCase<Tx>): void {
  describe(skip === false ? name : `${name} (${skip})`, () => {
    let world: DriverWorld<Tx>;
    before(async () => {
      if (skip === false) world = await open();
    });
    after(async () => {
      if (skip === false) await world.close();
    });
    const options = { skip };

    test("what is committed is there, as it was given", options, async () => {
      const outbox = outboxOf(driver, world.table);
      let ids: readonly string[] = [];
      const from = (await world.rows()).length;
      await world.transact(async (tx) => {
        const job = { targetUrl: "https://example.test/", payload: awkward, clientId: null };
        const auditLog = { entityType: "Order", entityId: "1", operation: "Paid" };
        ids = [
          ...(await outbox.enqueue(tx, { type: "order.created", messageGroup: "order-'1'", data: awkward })),
          ...(await outbox.enqueueJobs(tx, job)),
          ...(await outbox.enqueueAuditLogs(tx, auditLog)),
        ];
      });
      const rows = (await world.rows()).slice(from);
      assert.deepEqual(
        rows.map((row) => row.id),
        ids,
      );
      assert.deepEqual(
        rows.map((row) => [row.type, row.message_group, row.client_id]),
        [
          ["EVENT", "order-'1'", "cli_0000000000001"],
          ["DISPATCH_JOB", null, null],
          ["AUDIT_LOG", null, "cli_0000000000001"],
        ],
      );
      for (const row of rows) {
        const { status, retry_count, headers, error_message, payload_size } = row;
        const rest = { status, retry_count, headers, error_message };
        assert.deepEqual(rest, { status: 0, retry_count: 0, headers: null, error_message: null });
        assert.equal(payload_size, Buffer.byteLength(row.payload));
        assert.ok(row.created_at !== null && row.updated_at !== null);
      }
      assert.deepEqual(JSON.parse(rows[0]?.payload ?? "").data, awkward);
      assert.deepEqual(JSON.parse(rows[1]?.payload ?? "").payload, awkward);
    });

    test("what is rolled back is not there", options, async () => {
      const outbox = outboxOf(driver, world.table);
      const from = (await world.rows()).length;
      const fault = new Error("the application changed its mind");
      await assert.rejects(
        world.transact(async (tx) => {
          const written = outbox.enqueue(tx, { type: "order.created" });
          if (written instanceof Promise) await written;
          throw fault;
        }),
        fault,
      );
      assert.equal((await world.rows()).length, from);
    });

    test("many entries keep their order", options, async () => {
      const outbox = outboxOf(driver, world.table);
      const from = (await world.rows()).length;
      const numbers = Array.from({ length: 150 }, (_, number) => number);
      let ids: readonly string[] = [];
      await world.transact(async (tx) => {
        // Two of 200 KiB, so that a statement of 64 rows is never the only size.
        const data = (number: number) => ({ number, padding: "x".repeat(number % 75 === 0 ? 200_000 : 10) });
        ids = await outbox.enqueue(
          tx,
          numbers.map((number) => ({ type: "order.changed", messageGroup: "one", data: data(number) })),
        );
      });
      const rows = (await world.rows()).slice(from);
      assert.deepEqual(
        rows.map((row) => row.id),
        ids,
      );
      assert.deepEqual(
        rows.map((row) => JSON.parse(row.payload).data.number),
        numbers,
      );
    });

    test("what is no open transaction is refused, with what to give instead", options, async () => {
      const outbox = outboxOf(driver, world.table);
      for (const mistake of world.mistakes) {
        await assert.rejects(
          async () => outbox.enqueue(mistake.tx, { type: "order.created" }),
          (error) => error instanceof TypeError && error.message.startsWith("tx"),
          mistake.name,
        );
      }
    });
  });
}
