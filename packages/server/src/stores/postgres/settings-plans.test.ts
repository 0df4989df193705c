import { afterAll, beforeAll, expect, test } from "bun:test";
import type { LeaseEpoch } from "../../ports/lease.ts";
import { planOf } from "../../postgres/query-plan.fixture.ts";
import type { SqlValue, Statement } from "../../postgres/statement.ts";
import { describeWithPostgres } from "../../postgres/test-database.fixture.ts";
import { readControlState } from "./delivery-control.ts";
import { eventTypeByCode } from "./event-type-repository.ts";
import { dropExpiredKeys, readKey } from "./idempotency-store.ts";
import { acquireLease, findEpoch } from "./lease-store.ts";
import { openTestStore, type TestStoreDatabase } from "./postgres-store.fixture.ts";
import { selectRevision } from "./revisions.ts";
import { readSecrets } from "./secret-store.ts";
import { matchingSubscriptions } from "./subscription-repository.ts";

describeWithPostgres("plans of settings on PostgreSQL", () => {
  let store: TestStoreDatabase;
  beforeAll(async () => {
    store = await openTestStore();
  });
  afterAll(() => store.close());

  /** The ways the statement touches tables, and there must be no others. */
  const touches = async <Row, Values extends readonly SqlValue[]>(
    statement: Statement<Row, Values>,
    values: NoInfer<Values>,
  ): Promise<readonly string[]> => {
    const { text } = await planOf(store.database, statement, values);
    const lines = text.split("\n").map((line) => line.trim());
    return lines.filter((line) => / Scan(?: Backward)? /.test(line) && !/^(?:CTE|Subquery) Scan/.test(line));
  };

  test("a fence looks up one epoch", async () => {
    expect(await touches(findEpoch, [1 as LeaseEpoch])).toEqual(["Index Scan leases_epoch_key"]);
  });

  test("a lease is renewed and looked at by its name", async () => {
    const index = "Index Scan leases_pkey";
    expect(await touches(acquireLease, ["stream", "one", 1])).toEqual([index, index]);
  });

  test("a revision is one look-up", async () => {
    expect(await touches(selectRevision, ["control"])).toEqual(["Index Scan revisions_pkey"]);
  });

  test("what matches is found without looking at the archived", async () => {
    expect(await touches(matchingSubscriptions, [])).toEqual(["Index Scan subscriptions_matching"]);
  });

  test("an event type is found by its code", async () => {
    expect(await touches(eventTypeByCode, ["a:b:c:d", null])).toEqual(["Index Scan event_types_by_any_code"]);
  });

  test("secrets are found by their ref", async () => {
    expect(await touches(readSecrets, ["subscription:sub_1", 0])).toEqual(["Index Scan secrets_pkey"]);
  });

  test("a key is one look-up, and those that are over are found by their time", async () => {
    expect(await touches(readKey, ["k"])).toEqual(["Index Scan idempotency_keys_pkey"]);
    const accesses = ["Index Scan idempotency_keys_by_expiry", "Index Scan idempotency_keys_pkey"];
    expect(await touches(dropExpiredKeys, [10])).toEqual(accesses);
  });

  test("what routers are told is pools and cancelled jobs, which are few, and the paused only", async () => {
    expect(await touches(readControlState, [])).toEqual([
      "Index Scan revisions_pkey",
      "Seq Scan dispatch_pools",
      "Index Only Scan subscriptions_paused",
      "Seq Scan cancelled_jobs",
    ]);
  });
});
